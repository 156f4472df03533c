// Secret values that this process has seen: they are "***" in whatever a task tells.

import { isPlain } from "../graph/structure.ts";

const seen = new Set<string>();
/** As they are written in texts, URLs and JSON; long ones first, since one may be a part of another. */
let forms: readonly string[] = [];
/** Shorter ones would hide half of every text. */
const LENGTH_MIN = 3;
const SEEN_MAX = 1000;

export function keepSecret(value: string): void {
  if (value.length < LENGTH_MIN || seen.size >= SEEN_MAX || seen.has(value)) return;
  seen.add(value);
  const written = [...seen].flatMap((one) => [
    one, encodeURIComponent(one), JSON.stringify(one).slice(1, -1), Buffer.from(one).toString("base64"),
  ]);
  forms = [...new Set(written)].sort((a, b) => b.length - a.length);
}

/** For whoever shows what is told here and elsewhere: a secret may be read by one task and shown by another. */
export function knownSecrets(): string[] {
  return [...seen];
}

export function isSecretName(name: string): boolean {
  return /secret|passw|token|api_?key|private/i.test(name);
}

/** The password, also as it stands there and as HTTP sends it, and what is named like one behind the question mark. */
export function secretsOf(url: URL): string[] {
  const named = [...url.searchParams].filter(([name]) => isSecretName(name) || /key/i.test(name)).map(([, value]) => value);
  if (url.password === "") return named;
  try {
    const [user, password] = [decodeURIComponent(url.username), decodeURIComponent(url.password)];
    return [password, url.password, Buffer.from(`${user}:${password}`).toString("base64"), ...named];
  } catch {
    // It is not encoded as it should be, and is a secret nonetheless.
    return [url.password, ...named];
  }
}

/** Connections of the environment, whether or not anybody asked for them: any code can read them. */
export function keepSecretsAround(): void {
  for (const name of Object.keys(process.env)) {
    const value = name.startsWith("TROUPE_CONN_") ? process.env[name] : undefined;
    if (value !== undefined && URL.canParse(value)) secretsOf(new URL(value)).forEach(keepSecret);
  }
}

export function masked(text: string): string {
  let hidden = text;
  for (const form of forms) hidden = hidden.replaceAll(form, "***");
  return hidden;
}

/** How deep, and how many things, of what is thrown are looked at. */
const DEPTH_MAX = 8;
const PARTS_MAX = 10_000;

/** What was thrown without secrets in its texts; of an error the same object, so that its class is kept. */
export function maskError(error: unknown): unknown {
  return seen.size === 0 ? error : maskPart(error, 0, { parts: 0 });
}

function maskPart(part: unknown, depth: number, looked: { parts: number }): unknown {
  if (typeof part === "string") return masked(part);
  if (typeof part !== "object" || part === null || depth > DEPTH_MAX || (looked.parts += 1) > PARTS_MAX) return part;
  const inner = (one: unknown): unknown => maskPart(one, depth + 1, looked);
  if (part instanceof Error) return maskFields(part, inner);
  if (Array.isArray(part)) return part.map(inner);
  if (part instanceof Map) return new Map([...part].map(([key, value]) => [inner(key), inner(value)]));
  if (part instanceof Set) return new Set([...part].map(inner));
  if (part instanceof URL) return inner(part.href);
  return isPlain(part) ? Object.fromEntries(Object.entries(part).map(([name, value]) => [masked(name), inner(value)])) : part;
}

function maskFields(error: Error, inner: (part: unknown) => unknown): Error {
  try {
    // These are not among what it enumerates.
    const hidden = ["message", "stack", "cause", "errors"].filter((name) => Object.hasOwn(error, name));
    const fields = error as unknown as Record<string, unknown>;
    for (const name of new Set([...hidden, ...Object.keys(error)])) {
      const now = inner(fields[name]);
      if (now !== fields[name]) fields[name] = now;
    }
    return error;
  } catch {
    // A frozen error is told as another one.
    return new Error(masked(String(error)));
  }
}
