// Objects in this node's store whose owner is gone: nobody counts their references any more.
//
// They are freed when the owner's death is heard of. Work it had handed out may still run and seal results for it, so the
// store is looked through again, after pauses that double.

import type { Clock } from "../../seams.ts";
import type { ObjectHandle, StoreHost } from "../../store/index.ts";

export type GoneOwner = Parameters<StoreHost["ownedBy"]>[0];

interface Watched {
  readonly owner: GoneOwner;
  pauseMs: number;
  nextAt: number;
}

const FIRST_PAUSE_MS = 500;
/** What is sealed later goes with the job. */
const LAST_PAUSE_MS = 600_000;
/** The oldest are forgotten beyond this. */
const OWNERS_MAX = 10_000;

export class Orphans {
  readonly #clock: Clock;
  readonly #host: StoreHost;
  readonly #free: (handle: ObjectHandle) => void;
  readonly #watched = new Set<Watched>();

  constructor(clock: Clock, host: StoreHost, free: (handle: ObjectHandle) => void) {
    this.#clock = clock;
    this.#host = host;
    this.#free = free;
  }

  ownerGone(owner: GoneOwner): void {
    this.#freeOf(owner);
    this.#watched.add({ owner, pauseMs: FIRST_PAUSE_MS, nextAt: this.#clock.now() + FIRST_PAUSE_MS });
    for (const oldest of this.#watched) {
      if (this.#watched.size <= OWNERS_MAX) break;
      this.#watched.delete(oldest);
    }
  }

  /** Now and then. */
  sweep(): void {
    const now = this.#clock.now();
    for (const watched of this.#watched) {
      if (watched.nextAt > now) continue;
      this.#freeOf(watched.owner);
      watched.pauseMs *= 2;
      watched.nextAt = now + watched.pauseMs;
      if (watched.pauseMs > LAST_PAUSE_MS) this.#watched.delete(watched);
    }
  }

  #freeOf(owner: GoneOwner): void {
    for (const handle of this.#host.ownedBy(owner)) this.#free(handle);
  }
}
