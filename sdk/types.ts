// The types of remote calls: what may be passed, what comes back.

import type { ObjectRef, ObjectRefStream } from "../runtime/owner/index.ts";
import type { ActorOptions, CallOptions, TaskOptions } from "./options.ts";

/** Each argument may be given as a value or as a ref to one: top-level refs are replaced by their values. */
export type RemoteArgs<A extends readonly unknown[]> = { [K in keyof A]: A[K] | ObjectRef<A[K]> };

/** What a generator function returns. */
type AnyGenerator<Y> = Generator<Y, unknown, never> | AsyncGenerator<Y, unknown, never>;

/** What `.remote()` returns for a function that returns R: one ref, as many as `numReturns` says, or a generator's stream. */
export type RefsOf<R, N extends number = 1> = [R] extends [never]
  ? ValueRefs<R, N>
  : 0 extends 1 & R
    ? ValueRefs<R, N>
    : [R] extends [AnyGenerator<infer Y>]
      ? ObjectRefStream<Y>
      : ValueRefs<R, N>;

type ValueRefs<R, N extends number> = N extends 1
  ? ObjectRef<Awaited<R>>
  : number extends N
    ? ObjectRef<Awaited<R>>
    : N extends 0
      ? ObjectRef<undefined>
      : Awaited<R> extends infer T extends readonly unknown[]
        ? TupleRefs<T>
        : ObjectRef<unknown>[];

/** A ref for each element. */
type TupleRefs<T extends readonly unknown[]> = { -readonly [K in keyof T]: ObjectRef<T[K]> };

/** A function that runs in the cluster. */
export interface RemoteFunction<A extends readonly unknown[], R, N extends number = 1> {
  /**
   * Submits a call and returns at once; never throws for remote reasons. Throws at the door what can't travel:
   * SerializationError (an argument), CaptureError (the function).
   */
  remote(...args: RemoteArgs<A>): RefsOf<R, N>;
  /** The same function with other options. */
  options<M extends number = N>(options: TaskOptions & { numReturns?: M }): RemoteFunction<A, R, M>;
  /** Runs it here, as a plain call. */
  local(...args: A): R;
}

type Method = (...args: never[]) => unknown;

/** A method of an actor, called through its handle. */
export interface RemoteMethod<A extends readonly unknown[], R, N extends number = 1> {
  remote(...args: RemoteArgs<A>): RefsOf<R, N>;
  options<M extends number = N>(options: CallOptions & { numReturns?: M }): RemoteMethod<A, R, M>;
}

/** The public methods of an actor. Fields and private members are not on the handle. */
export type ActorHandle<T> = {
  readonly [K in keyof T as T[K] extends Method ? (K extends string ? K : never) : never]: T[K] extends (
    ...args: infer A
  ) => infer R
    ? RemoteMethod<A, R>
    : never;
} & Disposable;

/** A class whose instances live in the cluster as actors. */
export interface RemoteClass<C extends abstract new (...args: never[]) => unknown> {
  /** Creates an actor and returns its handle at once; the constructor runs remotely. `await ready(handle)` waits for it. */
  remote(...args: RemoteArgs<ConstructorParameters<C>>): ActorHandle<InstanceType<C>>;
  options(options: ActorOptions): RemoteClass<C>;
}
