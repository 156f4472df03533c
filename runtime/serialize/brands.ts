// Marks by which the codec knows the SDK's own things without importing them. They hold across copies of the package.

/** On ObjectRef.prototype: encoded by `EncodeHooks.ref`. */
export const REF_BRAND: unique symbol = Symbol.for("troupe.ref");
/** On the prototype of handles (also on a handle that is a proxy or a function): encoded by `EncodeHooks.handle`. */
export const HANDLE_BRAND: unique symbol = Symbol.for("troupe.handle");
/** On the prototypes of remote functions and remote classes: nothing of one changes. */
export const REMOTE_FUNCTION_BRAND: unique symbol = Symbol.for("troupe.remote-function");
export const REMOTE_CLASS_BRAND: unique symbol = Symbol.for("troupe.remote-class");
/** A method that supplies a stand-in: `[restore, args]`; the copy is `restore(...args)`. */
export const REDUCE_BRAND: unique symbol = Symbol.for("troupe.reduce");

export interface Reducible {
  [REDUCE_BRAND](): readonly [restore: Function, args: readonly unknown[]];
}

/** An object that belongs to its process: wherever it would travel it is refused, in its own words. */
export const STAYS_BRAND: unique symbol = Symbol.for("troupe.stays");

export interface Staying {
  /** "a Cluster, …", and what to do instead. */
  readonly [STAYS_BRAND]: { readonly what: string; readonly fix: string };
}
