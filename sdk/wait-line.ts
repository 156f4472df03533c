// Those who wait for their turn, oldest first: each for its bound at most, and no longer than it can be served.

interface Waiting<W> {
  readonly wish: W;
  readonly who: string;
  readonly end: (served: boolean) => void;
}

export class WaitLine<W> {
  readonly #line = new Set<Waiting<W>>();

  get length(): number {
    return this.#line.size;
  }

  /** True when the wish was served; false when its time is over, its signal aborted, or who wished it has left. */
  wait(wish: W, who: string, waitMs: number, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false);
    return new Promise((resolve) => {
      const end = (served: boolean) => {
        this.#line.delete(one);
        clearTimeout(timer);
        signal.removeEventListener("abort", over);
        resolve(served);
      };
      const over = () => end(false);
      const one = { wish, who, end };
      const timer = setTimeout(over, waitMs);
      signal.addEventListener("abort", over);
      this.#line.add(one);
    });
  }

  /** In order, until there is nothing for the one whose turn it is. */
  serve(serve: (wish: W) => boolean): void {
    for (const { wish, end } of this.#line) {
      if (!serve(wish)) return;
      end(true);
    }
  }

  /** Whoever is gone waits no more; everybody, without a name. */
  leave(who?: string): void {
    for (const one of this.#line) if (who === undefined || one.who === who) one.end(false);
  }
}
