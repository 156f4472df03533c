// Actors that share work: each value goes to an actor that is free, the longest idle first.

import { GetTimeoutError, InvalidArgumentError } from "../runtime/errors.ts";
import { checkWait, describeValue } from "../runtime/option-checks.ts";
import { currentSession, type ObjectRef, type WaitOptions } from "../runtime/owner/index.ts";
import { get, wait } from "./objects.ts";

/** Sends a value to the actor it is given: `(worker, page) => worker.parse.remote(page)`. */
export type PoolCall<A, T, R> = (actor: A, value: T) => ObjectRef<R>;

export class ActorPool<A extends object> {
  readonly #idle: A[];
  /** First come, first served; each leaves when it has one. */
  readonly #waiting = new Set<(actor: A) => void>();
  #size: number;

  /** One call at a time goes to each; the actors are not ended with the pool. */
  constructor(actors: Iterable<A>) {
    const isIterable = typeof actors === "object" && actors !== null && Symbol.iterator in actors;
    if (!isIterable) throw new InvalidArgumentError(`ActorPool: expected a list of actors, not ${describeValue(actors)}`);
    this.#idle = [...actors];
    this.#size = this.#idle.length;
    if (this.#size === 0) throw new InvalidArgumentError("ActorPool: expected at least one actor");
  }

  /** Actors of the pool, busy or not. */
  get size(): number {
    return this.#size;
  }

  get idle(): number {
    return this.#idle.length;
  }

  /**
   * Waits for a free actor, and for its result; `timeoutMs` holds for each of both.
   *
   * @throws GetTimeoutError. A call that was made goes on; its actor is free again when it has ended.
   */
  async run<T, R>(call: PoolCall<A, T, R>, value: T, options?: WaitOptions): Promise<R> {
    checkWait("ActorPool.run", options)?.signal?.throwIfAborted();
    if (typeof call !== "function") {
      throw new InvalidArgumentError(`ActorPool.run: expected a function (actor, value) => ref, not ${describeValue(call)}`);
    }
    const actor = this.#idle.shift() ?? (await this.#freed(options));
    let result: ObjectRef<R>;
    try {
      result = call(actor, value);
    } catch (error) {
      this.#free(actor);
      throw error;
    }
    const ended = (): void => this.#free(actor);
    try {
      const found = await get(result, options);
      ended();
      return found;
    } catch (error) {
      // Also when only the wait for it is over.
      wait([result], { fetchLocal: false }).then(ended, ended);
      throw error;
    }
  }

  /** Results in the order of the values. Values are taken as actors become free. */
  async *map<T, R>(
    call: PoolCall<A, T, R>, values: Iterable<T> | AsyncIterable<T>, options?: WaitOptions,
  ): AsyncGenerator<R, void, void> {
    const running: Promise<R>[] = [];
    for await (const value of values) {
      if (running.length >= this.#size) yield await (running.shift() as Promise<R>);
      running.push(handled(this.run(call, value, options)));
    }
    for (const one of running) yield await one;
  }

  /** Results as they come. */
  async *mapUnordered<T, R>(
    call: PoolCall<A, T, R>, values: Iterable<T> | AsyncIterable<T>, options?: WaitOptions,
  ): AsyncGenerator<R, void, void> {
    const running = new Set<Promise<{ readonly result: R; readonly done: Promise<unknown> }>>();
    const next = async (): Promise<R> => {
      const { result, done } = await Promise.race(running);
      running.delete(done as never);
      return result;
    };
    for await (const value of values) {
      if (running.size >= this.#size) yield await next();
      const done: Promise<{ readonly result: R; readonly done: Promise<unknown> }> = handled(
        this.run(call, value, options).then((result) => ({ result, done })),
      );
      running.add(done);
    }
    while (running.size > 0) yield await next();
  }

  /** One more actor. */
  push(actor: A): void {
    this.#size += 1;
    this.#free(actor);
  }

  /** Takes a free actor out of the pool; undefined when all are busy. */
  pop(): A | undefined {
    const actor = this.#idle.pop();
    if (actor !== undefined) this.#size -= 1;
    return actor;
  }

  #freed(options: WaitOptions | undefined): Promise<A> {
    const timedOut = () => new GetTimeoutError(`ActorPool.run: no actor was free after ${options?.timeoutMs} ms`);
    return currentSession().waiting.until<A>(options, timedOut, (settle) => {
      this.#waiting.add(settle);
      return () => void this.#waiting.delete(settle);
    });
  }

  #free(actor: A): void {
    const [waiting] = this.#waiting;
    if (waiting === undefined) this.#idle.push(actor);
    else waiting(actor);
  }
}

/** Its rejection is seen when it is awaited; one that nobody gets to is none of an unhandled one. */
function handled<P extends Promise<unknown>>(promise: P): P {
  promise.catch(() => {});
  return promise;
}
