// Lets only so many pieces of work be under way at once; the others wait their turn, in order.

import { Deque } from "./deque.ts";

export class Gate {
  readonly #places: number;
  readonly #waiting = new Deque<() => void>();
  #inside = 0;

  constructor(places: number) {
    this.#places = places;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#inside < this.#places) this.#inside += 1;
    else await new Promise<void>((resolve) => this.#waiting.pushBack(resolve));
    try {
      return await work();
    } finally {
      // The place goes on to who waits longest.
      const next = this.#waiting.popFront();
      if (next === undefined) this.#inside -= 1;
      else next();
    }
  }
}
