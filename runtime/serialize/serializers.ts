// Classes whose instances the user copies: how, by class. Shipped with the value, so the other side need not register them too.

import { InvalidArgumentError } from "../errors.ts";

export interface Serializer {
  readonly Class: Function;
  readonly serialize: (value: never) => unknown;
  readonly deserialize: (payload: never) => unknown;
}

/** Kept by prototype, which is what an instance is recognised by: a subclass may hold more and needs its own. */
const byPrototype = new WeakMap<object, Serializer>();

/**
 * Says how instances of exactly `Class` travel: `serialize` gives any value that can travel, `deserialize` makes an instance of
 * it. Both go with the value as code. Replaces an earlier registration.
 */
export function registerSerializer<T extends object, P>(
  Class: abstract new (...args: never[]) => T,
  how: { readonly serialize: (value: T) => P; readonly deserialize: (payload: P) => T },
): void {
  if (typeof Class !== "function" || typeof Class.prototype !== "object" || Class.prototype === null) {
    throw new InvalidArgumentError("registerSerializer: the first argument must be a class", { option: "Class" });
  }
  for (const part of ["serialize", "deserialize"] as const) {
    if (typeof how?.[part] !== "function") {
      throw new InvalidArgumentError(`registerSerializer(${Class.name}): ${part} must be a function`, { option: part });
    }
  }
  byPrototype.set(Class.prototype, { Class, serialize: how.serialize, deserialize: how.deserialize } as Serializer);
}

export function serializerOf(prototype: object): Serializer | undefined {
  return byPrototype.get(prototype);
}

/** One that came with a value: kept so that the copy can travel on. One's own registration goes first. */
export function learnSerializer(serializer: Serializer): void {
  const { prototype } = serializer.Class as { prototype?: object };
  if (typeof prototype === "object" && prototype !== null && !byPrototype.has(prototype)) byPrototype.set(prototype, serializer);
}
