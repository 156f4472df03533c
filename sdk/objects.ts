// get, put, wait and their relatives.

import { GetTimeoutError, InvalidArgumentError } from "../runtime/errors.ts";
import {
  currentSession, entryOf, isHandle, isRef, isStream, type ObjectRef, type ObjectRefStream, type WaitOptions,
} from "../runtime/owner/index.ts";
import { bool, type Checks, checkOptions, checkWait, whole } from "../runtime/option-checks.ts";
import { patiently } from "./patience.ts";
import { isScope, lifetimeOf, type Scope } from "./scopes.ts";
import type { RemoteArgs, RemoteFunction } from "./types.ts";

/** What has no type, `any`, has none as a value either. */
type ValueOf<R> = 0 extends 1 & R ? R : R extends ObjectRef<infer V> ? V : never;
type ValuesOf<T> = 0 extends 1 & T ? T : { -readonly [K in keyof T]: ValueOf<T[K]> };

/**
 * The value of a ref, waiting until it is there; of a list or record of refs, their values in order or by key. Throws as soon
 * as any of them has failed: TaskError when user code threw (it is also an instance of the thrown class), else the system's
 * typed error.
 *
 * @param options `timeoutMs`: GetTimeoutError after that; `signal`: rejects with its reason.
 */
export function get<T>(ref: ObjectRef<T>, options?: WaitOptions): Promise<T>;
export function get<const T extends readonly ObjectRef[]>(refs: T, options?: WaitOptions): Promise<ValuesOf<T>>;
export function get<T extends Readonly<Record<string, ObjectRef>>>(refs: T, options?: WaitOptions): Promise<ValuesOf<T>>;
export function get(refs: unknown, options?: WaitOptions): Promise<unknown> {
  return isRef(refs) ? refs.value(options) : getMany(refs, options);
}

async function getMany(refs: unknown, given: WaitOptions | undefined): Promise<unknown> {
  const options = checkWait("get", given);
  if (typeof refs !== "object" || refs === null || !isCollection(refs)) {
    throw new InvalidArgumentError(`get: expected a ref, or a list or record of refs, not ${describe(refs)}`);
  }
  const keys = Array.isArray(refs) ? undefined : Object.keys(refs);
  const list = keys === undefined ? (refs as unknown[]) : Object.values(refs);
  const entries = list.map((ref, index) => {
    if (isRef(ref)) return entryOf(ref);
    throw new InvalidArgumentError(
      `get: element ${keys === undefined ? index : JSON.stringify(keys[index])} is ${describe(ref)}, not an ObjectRef`,
    );
  });
  if (entries.length === 0) return keys === undefined ? [] : {};
  // Of the session that still has work to do, if refs of an ended one are among them.
  const { session } = entries.find((entry) => entry.state === "pending") ?? entries[0];
  const values = await session.getAll(entries, options);
  return keys === undefined ? values : Object.fromEntries(keys.map((key, index) => [key, values[index]]));
}

/** A list or a record: not what only looks like one without refs, a promise, a Map or the handle of an actor. */
function isCollection(refs: object): boolean {
  if (isStream(refs) || isHandle(refs)) return false;
  const proto = Object.getPrototypeOf(refs);
  return Array.isArray(refs) || proto === null || Object.getPrototypeOf(proto) === null || Object.keys(refs).length > 0;
}

export interface PutOptions extends WaitOptions {
  /** It lives until that is freed, whatever becomes of this process: see `scope()`. */
  readonly scope?: Scope | undefined;
}

/**
 * Stores a value and gives a ref to it. Waits while the object store is full. Large buffers must not change until it
 * resolves.
 *
 * @throws GetTimeoutError when there was no room within `timeoutMs`.
 */
export async function put<T>(value: T, options?: PutOptions): Promise<ObjectRef<T>> {
  if (isRef(value)) throw new InvalidArgumentError("put: the value is an ObjectRef already; pass it on as it is");
  const session = currentSession();
  if (options === undefined) return session.put(value) as Promise<ObjectRef<T>>;
  const { scope, ...waiting } = checkWait("put", options, { scope: isScope });
  const put = () => session.put(value, scope && lifetimeOf(scope)) as Promise<ObjectRef<T>>;
  return patiently(session, "put: the object store had no room", waiting, put, (ref) => ref.release());
}

/**
 * Waits until `numReturns` (default 1) of the refs are ready or have failed, or the timeout has passed; never throws for a
 * failed object. Both lists keep the order of the input, and `ready` has at most `numReturns`.
 *
 * @param options `fetchLocal` (default true): an object is ready when it is on this node, and is brought here; with false it is
 * when it has been made, wherever that was.
 */
export async function wait<R extends ObjectRef>(
  refs: readonly R[],
  given: WaitOptions & { numReturns?: number | undefined; fetchLocal?: boolean | undefined } = {},
): Promise<{ ready: R[]; pending: R[] }> {
  const { numReturns = 1, ...options } = checkWait("wait", given, WAIT_CHECKS);
  checkList("wait", refs);
  if (numReturns > refs.length) {
    throw new InvalidArgumentError(`wait: numReturns must be at most ${refs.length} (the refs given), not ${numReturns}`);
  }
  if (refs.length === 0) return { ready: [], pending: [] };
  const first = refs.find((ref) => isRef(ref) && ref.entry.state === "pending") ?? refs[0];
  if (!isRef(first)) throw new InvalidArgumentError("wait: element 0 is not an ObjectRef");
  return first.entry.session.waitFor(refs, numReturns, options);
}

const WAIT_CHECKS: Checks = { numReturns: whole(0), fetchLocal: bool };

/** Calls a remote function and waits for its result: `get(fn.remote(...args))`. */
export function run<A extends readonly unknown[], R>(fn: RemoteFunction<A, R>, ...args: RemoteArgs<A>): Promise<Awaited<R>> {
  return get(fn.remote(...args) as ObjectRef<Awaited<R>>);
}

/** Every outcome, as Promise.allSettled gives them; rejects only at the timeout or signal. */
export async function getSettled<const T extends readonly ObjectRef[]>(
  refs: T,
  options?: WaitOptions,
): Promise<{ -readonly [K in keyof T]: PromiseSettledResult<ValueOf<T[K]>> }> {
  checkList("getSettled", refs);
  const { pending } = await wait(refs, { ...checkWait("getSettled", options), numReturns: refs.length });
  if (pending.length > 0) {
    const text = `getSettled: ${pending.length} of ${refs.length} objects were not ready after ${options?.timeoutMs} ms`;
    throw new GetTimeoutError(text);
  }
  return (await Promise.allSettled(refs.map((ref) => get(ref, options)))) as never;
}

/** The refs one after the other as they become ready. */
export async function* asCompleted<R extends ObjectRef>(
  refs: readonly R[],
  options?: WaitOptions,
): AsyncGenerator<R, void, void> {
  checkList("asCompleted", refs);
  checkWait("asCompleted", options);
  let left = [...refs];
  while (left.length > 0) {
    const { ready, pending } = await wait(left, { ...options, numReturns: 1 });
    if (ready.length === 0)
      throw new GetTimeoutError(`asCompleted: no object became ready within ${options?.timeoutMs} ms`);
    yield* ready;
    left = pending;
  }
}

/** The first value that is there; the other calls are cancelled. Rejects when the first to end has failed. */
export async function first<T>(refs: readonly ObjectRef<T>[], options?: WaitOptions): Promise<T> {
  checkList("first", refs);
  checkWait("first", options);
  if (refs.length === 0) throw new InvalidArgumentError("first: expected at least one ref");
  const { ready: [winner] } = await wait(refs, { ...options, numReturns: 1 });
  if (winner === undefined) {
    throw new GetTimeoutError(`first: none of ${refs.length} objects was ready after ${options?.timeoutMs} ms`);
  }
  await cancel(refs.filter((ref) => ref !== winner));
  return get(winner, options);
}

/**
 * Ends what makes these results: their refs, or the next item of a stream, fail at once with TaskCancelledError; the code sees
 * its signal abort (see `getRuntimeContext().signal`), and what it waits for rejects. What has ended already stays as it is.
 *
 * @param options `force`: kill the process that runs the task, also in the middle of a loop (not for calls of actors:
 * InvalidArgumentError). `recursive` (default true): cancel also what the task has submitted.
 */
export async function cancel(
  refs: ObjectRef | ObjectRefStream | readonly (ObjectRef | ObjectRefStream)[],
  options: { force?: boolean | undefined; recursive?: boolean | undefined } = {},
): Promise<void> {
  const { force = false, recursive = true } = checkOptions("cancel", options, CANCEL_CHECKS);
  const list: readonly unknown[] = Array.isArray(refs) ? refs : [refs];
  const entries = list.map((ref, index) => {
    if (isRef(ref) || isStream(ref)) return entryOf(ref);
    throw new InvalidArgumentError(`cancel: element ${index} is ${describe(ref)}, not an ObjectRef or a stream`);
  });
  for (const entry of entries) entry.session.cancel(entry, { force, recursive });
}

const CANCEL_CHECKS: Checks = { force: bool, recursive: bool };

function checkList(what: string, refs: unknown): void {
  if (!Array.isArray(refs)) throw new InvalidArgumentError(`${what}: expected a list of refs, not ${describe(refs)}`);
}

function describe(value: unknown): string {
  if (value === null) return "null";
  if (value instanceof Promise) return "a promise (await it first)";
  if (isStream(value)) return "a stream (read its refs with for await)";
  if (isHandle(value)) return "an actor's handle (get what its calls give)";
  return typeof value === "object"
    ? Array.isArray(value)
      ? "an array"
      : "an object"
    : `${typeof value} ${String(value).slice(0, 40)}`;
}
