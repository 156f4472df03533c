// A bounded queue that many processes put into and take from.

import { GetTimeoutError, QueueClosedError } from "../runtime/errors.ts";
import type { WaitOptions } from "../runtime/owner/index.ts";
import { REDUCE_BRAND } from "../runtime/serialize/index.ts";
import { get } from "./objects.ts";
import { QueueHost } from "./queue-host.ts";
import { remote } from "./remote.ts";
import { checkOptions, whole } from "../runtime/option-checks.ts";
import { checkCount, hostOptions, SHARED_CHECKS, SharedHost, type SharedOptions, TURNS } from "./shared-host.ts";
import type { ActorHandle } from "./types.ts";

export interface QueueOptions extends SharedOptions {
  /** Items it holds at most: who puts more waits. Default 1000. */
  readonly maxSize?: number | undefined;
}

const MAX_SIZE = 1000;

/**
 * First in, first out. It lives in an actor, so a Queue can be sent anywhere, and ends with its last handle unless it has a
 * lifetime of its own. What a process takes and never got, because it ended, is taken by the next one.
 */
export class Queue<T> {
  readonly #host: SharedHost<ActorHandle<QueueHost>>;

  constructor(options: QueueOptions = {}) {
    const restored = (options as { [RESTORED]?: ActorHandle<QueueHost> })[RESTORED];
    if (restored === undefined) checkOptions("Queue", options, { ...SHARED_CHECKS, maxSize: whole(1) });
    this.#host = new SharedHost(restored ?? created(options));
  }

  /**
   * Puts one item in, waiting for room.
   *
   * @throws GetTimeoutError when there was none within `timeoutMs`; QueueClosedError.
   */
  async put(item: T, options?: WaitOptions): Promise<void> {
    await this.putMany([item], options);
  }

  /** Puts them in one after the other, waiting for room. Those before one that failed stay in. */
  async putMany(items: readonly T[], options?: WaitOptions): Promise<void> {
    if (items.length === 0) return;
    const { handle } = this.#host;
    let left = items;
    const served = await this.#host.wait("Queue.put", options, (who, _number, waitMs) => handle.put.remote(who, left, waitMs),
      ({ accepted, closed }) => {
        left = left.slice(accepted);
        return left.length === 0 || closed;
      }, () => {});
    if (left.length === 0) return;
    if (served !== undefined) throw new QueueClosedError("Queue.put: the queue is closed");
    throw new GetTimeoutError(`Queue.put: the queue was still full after ${options?.timeoutMs} ms`);
  }

  /**
   * Takes the first item, waiting for one.
   *
   * @throws GetTimeoutError when none came within `timeoutMs`; QueueClosedError when it is closed and empty.
   */
  async get(options?: WaitOptions): Promise<T> {
    const [item] = await this.getMany(1, options);
    return item;
  }

  /** Takes up to `count` items, waiting for the first. */
  async getMany(count: number, options?: WaitOptions): Promise<T[]> {
    checkCount("Queue.getMany: count", count);
    const { handle } = this.#host;
    const served = await this.#host.wait("Queue.get", options,
      (who, number, waitMs) => handle.take.remote(who, number, count, waitMs),
      ({ items, closed }) => items.length > 0 || closed,
      (who, number) => void handle.settle.remote(who, number, false));
    if (served === undefined) throw new GetTimeoutError(`Queue.get: no item came within ${options?.timeoutMs} ms`);
    if (served.outcome.closed) throw new QueueClosedError("Queue.get: the queue is closed and empty");
    handle.settle.remote(this.#host.enter(), served.number, true);
    return served.outcome.items as T[];
  }

  /** Items in it. */
  size(): Promise<number> {
    return get(this.#host.handle.size.remote());
  }

  /** Nothing more comes in: whoever puts gets QueueClosedError, whoever takes gets what is left, then QueueClosedError. */
  async close(): Promise<void> {
    await get(this.#host.handle.close.remote());
  }

  /** Takes items until it is closed and empty. */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, void> {
    for (;;) {
      let item: T;
      try {
        item = await this.get();
      } catch (error) {
        if (error instanceof QueueClosedError) return;
        throw error;
      }
      yield item;
    }
  }

  /** Drops this handle at once; dropping the object is enough in the end. */
  release(): void {
    this.#host.release();
  }

  [Symbol.dispose](): void {
    this.#host.release();
  }

  /** @internal */
  [REDUCE_BRAND](): readonly [restore: Function, args: readonly unknown[]] {
    return [restoreQueue, [this.#host.handle]];
  }
}

const RESTORED = Symbol("restored");

/** @internal The queue in another process. */
export function restoreQueue<T>(handle: ActorHandle<QueueHost>): Queue<T> {
  return new Queue({ [RESTORED]: handle } as QueueOptions);
}

function created(options: QueueOptions): ActorHandle<QueueHost> {
  const maxSize = checkCount("Queue: maxSize", options.maxSize ?? MAX_SIZE);
  // Who waits for room must not be in the way of who makes some.
  const groups = {
    concurrencyGroups: { put: TURNS, take: TURNS },
    methods: { put: { concurrencyGroup: "put" }, take: { concurrencyGroup: "take" } },
  };
  return remote(QueueHost, { ...hostOptions(options), ...groups }).remote(maxSize);
}
