// Writing and reading values that say themselves what stands for them: those with a serializer or a reduce method.

import { types } from "node:util";
import { SerializationError, TroupeError } from "../errors.ts";
import { REDUCE_BRAND, type Reducible } from "./brands.ts";
import type { Encoder } from "./encoder.ts";
import * as f from "./format.ts";
import { Refusal, messageOf } from "./refusal.ts";
import type { Serializer } from "./serializers.ts";

export function encodeCustom(encoder: Encoder, value: object, serializer: Serializer, depth: number): void {
  const { Class, serialize, deserialize } = serializer;
  encoder.number(value);
  encoder.out.byte(f.CUSTOM);
  for (const part of [Class, serialize, deserialize]) encoder.function(part, depth);
  const payload = asked(value, `serializer of ${Class.name}`, () => serialize(value as never));
  if (types.isPromise(payload)) {
    const remedy = "serialize must be synchronous: read what takes time before the value is sent";
    throw new Refusal(value, `has a serializer (of ${Class.name}) that gives a Promise`, remedy);
  }
  encoder.scope(payload, depth, value, ".<serialized>");
}

export function encodeReduced(encoder: Encoder, value: Reducible, depth: number): void {
  encoder.number(value);
  const parts = asked(value, "reduce method", () => value[REDUCE_BRAND]());
  if (!Array.isArray(parts) || typeof parts[0] !== "function" || !Array.isArray(parts[1])) {
    throw new Refusal(value, "has a reduce method that does not give [function, array]", "give [restore, args]");
  }
  encoder.out.byte(f.REDUCED);
  encoder.function(parts[0] as Function, depth);
  encoder.scope(parts[1], depth, value, ".<reduced>");
}

function asked<T>(value: object, what: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw new Refusal(value, `cannot be copied because the ${what} threw`, messageOf(error), "", error);
  }
}

/** The value of what stands for it. What the user's code throws is named as such: the bytes are not to blame. */
export function restored(what: string, make: () => unknown): unknown {
  let value: unknown;
  try {
    value = make();
  } catch (error) {
    if (error instanceof TroupeError) throw error;
    throw new SerializationError(`${what} threw where the value arrived: ${messageOf(error)}`, { path: "" }, error);
  }
  if (!types.isPromise(value)) return value;
  // Nobody else will look at it.
  value.catch(() => undefined);
  throw new SerializationError(`${what} gave a Promise: it must make the value at once`, { path: "" });
}
