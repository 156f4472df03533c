// Secret values that this process has seen: they are "***" in whatever a task tells.

const seen = new Set<string>();
/** Shorter ones would hide half of every text. */
const LENGTH_MIN = 3;
const SEEN_MAX = 1000;

export function keepSecret(value: string): void {
  if (value.length >= LENGTH_MIN && seen.size < SEEN_MAX) seen.add(value);
}

export function masked(text: string): string {
  let hidden = text;
  for (const secret of seen) {
    for (const form of new Set([secret, encodeURIComponent(secret)])) hidden = hidden.replaceAll(form, "***");
  }
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
    }
    if (error.cause !== undefined) error.cause = maskError(error.cause, depth + 1);
  } catch {
    // A frozen error is told as another one.
    return new Error(masked(String(error)));
  }
  return error;
}
