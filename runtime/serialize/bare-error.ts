// Errors made from their parts.

import { BUILTIN_ERRORS } from "./format.ts";

/** Of the engine's class with this name, or of Error. */
export function builtinPrototype(name: string): object {
  const classes = globalThis as unknown as Record<string, { prototype: object } | undefined>;
  return ((BUILTIN_ERRORS.has(name) ? classes[name] : undefined) ?? Error).prototype;
}

/** A real error of any class, without running its constructor and without a stack: that comes with its properties. */
export function bareError(prototype: object): Error {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  const error = new Error();
  Error.stackTraceLimit = limit;
  Reflect.deleteProperty(error, "stack");
  return Object.setPrototypeOf(error, prototype) as Error;
}

export function setHidden(target: object, key: string | symbol, value: unknown): void {
  Object.defineProperty(target, key, { value, writable: true, configurable: true, enumerable: false });
}
