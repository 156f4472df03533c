// Permits that processes share: no more than so many do a thing at once, wherever they run.

import { GetTimeoutError, InvalidArgumentError } from "../runtime/errors.ts";
import type { WaitOptions } from "../runtime/owner/index.ts";
import { REDUCE_BRAND } from "../runtime/serialize/index.ts";
import { get } from "./objects.ts";
import { remote } from "./remote.ts";
import { SemaphoreHost } from "./semaphore-host.ts";
import { checkOptions, checkWait, whole } from "../runtime/option-checks.ts";
import { checkCount, hostOptions, SHARED_CHECKS, SharedHost, type SharedOptions, TURNS } from "./shared-host.ts";
import type { ActorHandle } from "./types.ts";

export interface SemaphoreOptions extends SharedOptions {
  readonly permits: number;
}

export interface AcquireOptions extends WaitOptions {
  /** Default 1. */
  readonly permits?: number | undefined;
}

/** What was acquired, until it is released or the process ends. */
export interface Permit {
  /** At once; once. */
  release(): void;
  [Symbol.dispose](): void;
}

/**
 * First come, first served. It lives in an actor, so a Semaphore can be sent anywhere, and ends with its last handle unless it
 * has a lifetime of its own. Permits of a process that ends come back.
 */
export class Semaphore {
  readonly #host: SharedHost<ActorHandle<SemaphoreHost>>;
  readonly permits: number;

  constructor(given: number | SemaphoreOptions) {
    const options = typeof given === "number" ? { permits: given } : given;
    this.permits = checkCount("Semaphore: permits", options.permits);
    const restored = (options as { [RESTORED]?: ActorHandle<SemaphoreHost> })[RESTORED];
    if (restored === undefined) checkOptions("Semaphore", options, { ...SHARED_CHECKS, permits: whole(1) });
    this.#host = new SharedHost(restored ?? created(options));
  }

  /**
   * Waits for permits.
   *
   * @throws GetTimeoutError when they were not free within `timeoutMs`.
   */
  async acquire(given: AcquireOptions = {}): Promise<Permit> {
    const { permits = 1, ...options } = checkWait("Semaphore.acquire", given, { permits: whole(1) });
    if (permits > this.permits) {
      throw new InvalidArgumentError(`Semaphore.acquire: ${permits} permits are never free at once: it has ${this.permits}`);
    }
    const { handle } = this.#host;
    const release = (who: string, number: number) => void handle.release.remote(who, number);
    const served = await this.#host.wait("Semaphore.acquire", options,
      (who, number, waitMs) => handle.acquire.remote(who, number, permits, waitMs), (isServed) => isServed, release);
    if (served === undefined) throw new GetTimeoutError(`Semaphore.acquire: not free after ${options.timeoutMs} ms`);
    let isHeld = true;
    const give = () => {
      if (isHeld) release(this.#host.enter(), served.number);
      isHeld = false;
    };
    return { release: give, [Symbol.dispose]: give };
  }

  /** Runs code under a permit. */
  async run<R>(code: () => R | Promise<R>, options?: AcquireOptions): Promise<R> {
    const permit = await this.acquire(options);
    try {
      return await code();
    } finally {
      permit.release();
    }
  }

  /** Permits that nobody holds. */
  available(): Promise<number> {
    return get(this.#host.handle.available.remote());
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
    return [restoreSemaphore, [this.#host.handle, this.permits]];
  }
}

const RESTORED = Symbol("restored");

/** @internal The semaphore in another process. */
export function restoreSemaphore(handle: ActorHandle<SemaphoreHost>, permits: number): Semaphore {
  return new Semaphore({ permits, [RESTORED]: handle } as SemaphoreOptions);
}

function created(options: SemaphoreOptions): ActorHandle<SemaphoreHost> {
  // Who waits must not be in the way of who gives back.
  const groups = { concurrencyGroups: { acquire: TURNS }, methods: { acquire: { concurrencyGroup: "acquire" } } };
  return remote(SemaphoreHost, { ...hostOptions(options), ...groups }).remote(options.permits);
}
