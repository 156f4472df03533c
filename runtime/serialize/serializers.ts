// Classes whose instances the user copies: how, by class. Shipped with the value, so the other side need not register them too.

import { InvalidArgumentError } from "../errors.ts";

export interface Serializer {
  readonly Class: Function;
  readonly serialize: (value: never) => unknown;
  readonly deserialize: (payload: never) => unknown;
}

interface Registry {
  /** By prototype, which is what an instance is recognised by: a subclass may hold more and needs its own. */
  readonly byPrototype: WeakMap<object, Serializer>;
  /** How often it was added to. */
  changes: number;
}

/** One for all copies of the package in a process. */
const registry: Registry = ((globalThis as Record<symbol, unknown>)[Symbol.for("troupe.serializers")] ??= {
  byPrototype: new WeakMap(), changes: 0,
}) as Registry;

/**
 * Says how instances of exactly `Class` travel: `serialize` gives any value that can travel, `deserialize` makes an instance of
 * it; both at once, without a Promise. They go as code with each value, and with the class when that is captured later. An
 * instance of a subclass is refused until the subclass has a serializer too. Replaces an earlier registration.
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
  add(Class.prototype, { Class, serialize: how.serialize, deserialize: how.deserialize } as Serializer);
}

function add(prototype: object, serializer: Serializer): void {
  registry.byPrototype.set(prototype, serializer);
  registry.changes++;
}

/** Tells whether what was found out about classes still holds. */
export function serializerChanges(): number {
  return registry.changes;
}

export function serializerOf(prototype: object): Serializer | undefined {
  return registry.byPrototype.get(prototype);
}

/** One that came with a value or a class: kept so that the copy can travel on. One's own registration goes first. */
export function learnSerializer(serializer: Serializer): void {
  const { prototype } = serializer.Class as { prototype?: object };
  if (typeof prototype !== "object" || prototype === null || registry.byPrototype.has(prototype)) return;
  add(prototype, serializer);
}
