// How many tasks and calls of this process have not ended, and who waits until there are fewer.

interface Waiter {
  readonly limit: number;
  readonly told: () => void;
}

export class Unfinished {
  readonly #count: () => number;
  readonly #waiters = new Set<Waiter>();

  constructor(count: () => number) {
    this.#count = count;
  }

  get count(): number {
    return this.#count();
  }

  /** One of them has ended. */
  ended(): void {
    if (this.#waiters.size === 0) return;
    const count = this.#count();
    for (const waiter of this.#waiters) {
      if (count >= waiter.limit) continue;
      this.#waiters.delete(waiter);
      waiter.told();
    }
  }

  /** Tells once when fewer than `limit` have not ended; returns what forgets it. */
  below(limit: number, told: () => void): () => void {
    const waiter = { limit, told };
    this.#waiters.add(waiter);
    return () => void this.#waiters.delete(waiter);
  }
}
