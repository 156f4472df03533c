// Waiting for a prompt answer without going to sleep.
//
// Most of a short call inside a machine is the kernel waking two sleeping processes: 55 µs a round trip, against 9 µs when both
// loops keep looking. So after a write the loop is kept turning for a moment (a pending setImmediate makes it poll instead of
// sleep). It must pay: a moment in which nothing arrived is a miss, and after n misses in a row the next 2^n - 1 moments are
// left out. Tasks of milliseconds therefore cost next to nothing, calls in quick succession are answered at once. One a thread,
// for all sockets.

import { availableParallelism } from "node:os";
import type { Clock } from "../seams.ts";

/** Longer than a trivial call takes there and back, shorter than anybody would call a busy machine. */
const MOMENT_MS = 0.1;
/** After so many misses in a row one moment in 1,024 is tried. */
const MISSES_MAX = 10;

export class LoopPoller {
  readonly #clock: Clock;
  readonly #enabled: boolean;
  #until = 0;
  #polling = false;
  #misses = 0;
  #leftOut = 0;

  /** Off on a machine with one processor: whoever is to answer needs it. */
  constructor(clock: Clock, enabled: boolean) {
    this.#clock = clock;
    this.#enabled = enabled && availableParallelism() > 1;
  }

  /** Something was written, to which an answer may come. */
  expect(): void {
    if (!this.#enabled) return;
    if (this.#polling) this.#until = this.#clock.now() + MOMENT_MS;
    else if (this.#leftOut > 0) this.#leftOut--;
    else {
      this.#polling = true;
      this.#until = this.#clock.now() + MOMENT_MS;
      setImmediate(this.#poll);
    }
  }

  /** Something was read. */
  arrived(): void {
    if (this.#polling) this.#misses = 0;
  }

  readonly #poll = (): void => {
    if (this.#clock.now() < this.#until) return void setImmediate(this.#poll);
    this.#polling = false;
    this.#leftOut = 2 ** this.#misses - 1;
    this.#misses = Math.min(this.#misses + 1, MISSES_MAX);
  };
}
