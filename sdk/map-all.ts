// One function over many values, so many at a time: never more calls in flight than asked for, whatever the values come from.

import { InvalidArgumentError } from "../runtime/errors.ts";
import { checkWait, describeValue, whole } from "../runtime/option-checks.ts";
import type { ObjectRef, WaitOptions } from "../runtime/owner/index.ts";
import { cancel, get } from "./objects.ts";
import type { RemoteFunction } from "./types.ts";

export interface MapOptions extends WaitOptions {
  /** Calls in flight, and results not taken yet. Default 64. */
  readonly concurrency?: number;
}

/** Results in the order of the values: `await` it for all of them, or iterate it, which holds the next calls back. */
export interface Mapped<R> extends PromiseLike<R[]>, AsyncIterable<R> {}

const CONCURRENCY = 64;

/**
 * Calls `fn` with each value. The first failure is thrown, and ends what is in flight; so does leaving the loop early.
 *
 * @param values any iterable, also an endless or asynchronous one: it is read as calls end.
 */
export function mapAll<T, R>(
  fn: RemoteFunction<[T], R>, values: Iterable<T> | AsyncIterable<T>, options: MapOptions = {},
): Mapped<Awaited<R>> {
  const { concurrency = CONCURRENCY, ...waiting } = checkWait("mapAll", options, { concurrency: whole(1) });
  if (typeof (fn as Partial<typeof fn> | undefined)?.remote !== "function") {
    throw new InvalidArgumentError(`mapAll: expected a remote function, not ${describeValue(fn)}: remote(fn) makes one`);
  }
  const all = Object(values) as object;
  if (!(Symbol.iterator in all || Symbol.asyncIterator in all)) {
    throw new InvalidArgumentError(`mapAll: expected a list or another iterable of values, not ${describeValue(values)}`);
  }
  const results = () => resultsOf(fn, values, concurrency, waiting);
  return {
    [Symbol.asyncIterator]: results,
    then: (fulfilled, rejected) => collected(results()).then(fulfilled, rejected),
  };
}

async function* resultsOf<T, R>(
  fn: RemoteFunction<[T], R>, values: Iterable<T> | AsyncIterable<T>, concurrency: number, options: WaitOptions,
): AsyncGenerator<Awaited<R>, void, void> {
  const flying: ObjectRef<Awaited<R>>[] = [];
  try {
    for await (const value of values) {
      if (flying.length >= concurrency) yield await next(flying, options);
      flying.push(fn.remote(value) as ObjectRef<Awaited<R>>);
    }
    while (flying.length > 0) yield await next(flying, options);
  } finally {
    if (flying.length > 0) await cancel(flying);
  }
}

async function next<R>(flying: ObjectRef<R>[], options: WaitOptions): Promise<R> {
  const value = await get(flying[0], options);
  flying.shift();
  return value;
}

async function collected<R>(results: AsyncIterable<R>): Promise<R[]> {
  const all: R[] = [];
  for await (const result of results) all.push(result);
  return all;
}
