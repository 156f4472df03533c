// Keeps the process alive on behalf of a channel whose socket is out of reach or shared.

import type { Clock, Timer } from "../seams.ts";

/** Longest delay a timer of Node takes; nobody holds a channel for 24 days without doing anything. */
const FOREVER_MS = 2 ** 31 - 1;

export class Hold {
  readonly #clock: Clock;
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  set(alive: boolean): void {
    if (alive) this.#timer ??= this.#clock.after(FOREVER_MS, () => (this.#timer = undefined), true);
    else {
      this.#timer?.cancel();
      this.#timer = undefined;
    }
  }
}
