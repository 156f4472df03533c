// Secret values that this process has seen: they are "***" in whatever a task tells.

const seen = new Set<string>();
/** As they are written in texts, URLs and JSON; long ones first, since one may be a part of another. */
let forms: readonly string[] = [];
/** Shorter ones would hide half of every text. */
const LENGTH_MIN = 3;
const SEEN_MAX = 1000;

export function keepSecret(value: string): void {
  if (value.length < LENGTH_MIN || seen.size >= SEEN_MAX || seen.has(value)) return;
  seen.add(value);
  const written = [...seen].flatMap((one) => [one, encodeURIComponent(one), JSON.stringify(one).slice(1, -1)]);
  forms = [...new Set(written)].sort((a, b) => b.length - a.length);
}

/** For whoever shows what is told here and elsewhere: a secret may be read by one task and shown by another. */
export function knownSecrets(): string[] {
  return [...seen];
}

export function isSecretName(name: string): boolean {
  return /secret|passw|token|api_?key|private/i.test(name);
}

/** The password, and what is named like one behind the question mark. */
export function secretsOf(url: URL): string[] {
  const named = [...url.searchParams].filter(([name]) => isSecretName(name) || /key/i.test(name)).map(([, value]) => value);
  try {
    return [decodeURIComponent(url.password), ...named];
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

/** The error without secrets in its message, stack and texts; the same object, so that its class is kept. */
export function maskError(error: unknown, depth = 0): unknown {
  if (seen.size === 0 || depth > 8) return error;
  if (typeof error === "string") return masked(error);
  if (!(error instanceof Error)) return error;
  try {
    error.message = masked(error.message);
    if (error.stack !== undefined) error.stack = masked(error.stack);
    for (const [name, value] of Object.entries(error)) {
      if (typeof value === "string") (error as unknown as Record<string, unknown>)[name] = masked(value);
      else if (Array.isArray(value)) for (const one of value) if (one instanceof Error) maskError(one, depth + 1);
    }
    if (error.cause !== undefined) error.cause = maskError(error.cause, depth + 1);
  } catch {
    // A frozen error is told as another one.
    return new Error(masked(String(error)));
  }
  return error;
}
