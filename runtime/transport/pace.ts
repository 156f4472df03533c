// A slow network for tests: large frames that this process sends leave one after the other at a rate, over whatever connections.

import type { Clock } from "../seams.ts";

/** Shorter frames wait for those before them on their own connection only. */
const PACED_FROM = 16 * 1024;

export class Pace {
  readonly #clock: Clock;
  /** Bytes a second; 0: any. */
  #rate = 0;
  #freeAt = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  set(rate: number): void {
    this.#rate = rate;
  }

  /** Milliseconds until a frame of so many bytes has left that is sent now. */
  take(bytes: number): number {
    if (this.#rate === 0 || bytes < PACED_FROM) return 0;
    const now = this.#clock.now();
    this.#freeAt = Math.max(now, this.#freeAt) + (bytes * 1000) / this.#rate;
    return this.#freeAt - now;
  }

  lane(): PacedLane {
    return new PacedLane(this.#clock, this);
  }
}

/** One of the two is called, once. */
interface Held {
  readonly send: () => void;
  readonly drop: () => void;
}

/** Of one connection, which keeps its order. */
export class PacedLane {
  readonly #clock: Clock;
  readonly #pace: Pace;
  readonly #waiting: (Held & { readonly bytes: number })[] = [];
  #pendingBytes = 0;
  /** When the last that waits leaves. */
  #lastAt = 0;

  constructor(clock: Clock, pace: Pace) {
    this.#clock = clock;
    this.#pace = pace;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** False: so many bytes may be sent at once. Else what is held is sent later, from memory of its own. */
  holds(bytes: number, held: () => Held): boolean {
    const now = this.#clock.now();
    const afterMs = this.#pace.take(bytes);
    if (afterMs === 0 && this.#waiting.length === 0) return false;
    this.#waiting.push({ ...held(), bytes });
    this.#pendingBytes += bytes;
    this.#lastAt = Math.max(this.#lastAt, now + afterMs);
    // Whoever's time has come sends the first, which came before it: so they keep their order.
    this.#clock.after(this.#lastAt - now, () => this.#next()?.send(), true);
    return true;
  }

  /** Nothing of what waits is sent any more. Safe to call twice. */
  end(): void {
    for (let next = this.#next(); next !== undefined; next = this.#next()) next.drop();
  }

  #next(): (Held & { readonly bytes: number }) | undefined {
    const next = this.#waiting.shift();
    this.#pendingBytes -= next?.bytes ?? 0;
    return next;
  }
}
