// A value on its way or at rest: inline bytes, a place in a store, or an error.
import { INLINE_LIMIT_BYTES } from "../../store/index.ts";
import type { Draft, Value } from "../../transport/index.ts";

/** Received ones are complete; those made here leave out what they do not need. */
export type WireValue = Draft<Value>;

export function isError(value: WireValue): boolean {
  return (value.failure !== undefined && value.failure !== null) || hasBytes(value.error);
}

export function hasBytes(bytes: Uint8Array | null | undefined): boolean {
  return bytes !== undefined && bytes !== null && bytes.length > 0;
}

/** The code of an error: user code's own have the one that wraps them. */
export function codeOf(error: WireValue): string {
  return error.failure?.code ?? "TASK_ERROR";
}

/** What user code threw, to go along with a failure: without refs inside, which nobody would count, and not a large one. */
export function thrownIn({ error, codes, contained }: WireValue): WireValue | undefined {
  const fits = hasBytes(error) && (error?.length ?? 0) <= INLINE_LIMIT_BYTES && (contained ?? []).length === 0;
  return fits ? { error, codes } : undefined;
}

/** One error for several results: the refs inside were counted once, for the first of them. */
export function errorFor(index: number, error: WireValue): WireValue {
  return index === 0 || !error.contained ? error : { ...error, contained: [] };
}
