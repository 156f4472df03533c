// When this process collects garbage for the sake of others: what only its garbage refers to stays pinned in the node's store, or
// counted at its owner, until V8 looks; and V8 looks when this heap is full, not when the store is.
//
// It looks soon when the node asks, before a large object is made where another may give its room back, and within seconds when
// the process idles and may hold something, or has much more on its heap than it had left: a process that waits for days does not
// keep what it began with. A collection stops user code, so the time they take together is bounded.

import type { Clock, Timer } from "../../seams.ts";

/** Collections come no closer than this. */
const APART_MS = 100;
const IDLE_CHECK_MS = 4000;
/** Below this share of busy time a process idles. */
const IDLE_SHARE = 0.05;
/** After this much work since the last collection there may be new garbage, whatever the work was. */
const WORK_MS = 10;
/** So much more than after the last collection is worth one: in bytes, and as a share of what was left then. */
const GROWN_BYTES = 32 * 1024 * 1024;
const GROWN_SHARE = 0.5;
/** Room for objects of this size that nobody touched before costs more time than a collection, which may give some back. */
const LARGE_BYTES = 32 * 1024 * 1024;
/** A collection that took long is not repeated before so many times its length. */
const REST = 10;

export interface GarbageParts {
  readonly clock: Clock;
  /** A full collection. */
  readonly collect: () => void;
  /** Milliseconds of work, ever. */
  readonly busyMs: () => number;
  /** Counts what may have left garbage however short it was: turns of messages from other processes, attempts that ended. */
  readonly stirs: () => number;
  /** What lies on this heap, garbage included. */
  readonly heapBytes: () => number;
  /** Whether anything of others may hang on this process's garbage. */
  readonly holds: () => boolean;
}

export class Garbage {
  readonly #parts: GarbageParts;
  #idle: Timer | undefined;
  #asked: Timer | undefined;
  #notBefore = 0;
  #busyAtCheck = 0;
  #busyAtCollection = 0;
  #stirsAtCollection = 0;
  #leftByCollection: number;
  /** In large objects, since the last collection. */
  #bytesMade = 0;

  constructor(parts: GarbageParts) {
    this.#parts = parts;
    this.#leftByCollection = parts.heapBytes();
    this.#watch();
  }

  /** The node is short of room. */
  asked(): void {
    if (this.#asked !== undefined) return;
    const { clock } = this.#parts;
    this.#asked = clock.after(Math.max(0, this.#notBefore - clock.now()), () => {
      this.#asked = undefined;
      this.#collect();
    });
  }

  /** This process pins so much itself that there may be garbage among it. Resolves when that is given back. */
  relieve(): Promise<void> {
    const { clock } = this.#parts;
    if (clock.now() < this.#notBefore) return Promise.resolve();
    this.#collect();
    // What was collected is told in a turn of its own.
    return new Promise((resolve) => clock.soon(() => clock.soon(resolve)));
  }

  /** This process is about to make an object. As much of what it made before may be garbage: that is asked for first. */
  beforeMaking(bytes: number): Promise<void> | undefined {
    if (bytes < LARGE_BYTES) return undefined;
    const mayReuse = this.#bytesMade >= bytes;
    const relieved = mayReuse ? this.relieve() : undefined;
    this.#bytesMade += bytes;
    return relieved;
  }

  close(): void {
    this.#asked?.cancel();
    this.#idle?.cancel();
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #watch(): void {
    const { clock, busyMs, stirs, heapBytes, holds } = this.#parts;
    this.#idle = clock.after(IDLE_CHECK_MS, () => {
      const busy = busyMs();
      const isIdle = busy - this.#busyAtCheck < IDLE_CHECK_MS * IDLE_SHARE;
      const hasWorked = busy - this.#busyAtCollection > WORK_MS || stirs() !== this.#stirsAtCollection;
      this.#busyAtCheck = busy;
      const grown = heapBytes() - this.#leftByCollection;
      const hasGrown = grown > Math.max(GROWN_BYTES, this.#leftByCollection * GROWN_SHARE);
      if (isIdle && hasWorked && clock.now() >= this.#notBefore && (hasGrown || holds())) {
        this.#collect();
        // What the first one frees V8 keeps for itself, until the second.
        if (hasGrown) this.#collect();
      }
      this.#watch();
    });
  }

  #collect(): void {
    const { clock, collect, busyMs, stirs, heapBytes } = this.#parts;
    const started = clock.now();
    collect();
    const now = clock.now();
    this.#notBefore = now + Math.max(APART_MS, (now - started) * REST);
    this.#busyAtCollection = busyMs();
    this.#stirsAtCollection = stirs();
    this.#leftByCollection = heapBytes();
    this.#bytesMade = 0;
  }
}
