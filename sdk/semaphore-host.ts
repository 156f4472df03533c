// The actor behind a Semaphore: its permits, who holds them, and who waits for some. First come, first served.

import type { ObjectRef } from "../runtime/owner/index.ts";
import { getRuntimeContext } from "./runtime-context.ts";
import { Visitors } from "./visitors.ts";
import { WaitLine } from "./wait-line.ts";

interface Request {
  readonly who: string;
  readonly number: number;
  readonly permits: number;
}

export class SemaphoreHost {
  #free: number;
  readonly #line = new WaitLine<Request>();
  readonly #visitors = new Visitors<number>((who, held) => {
    this.#line.leave(who);
    for (const permits of held) this.#free += permits;
    this.#pump();
  });

  constructor(permits: number) {
    this.#free = permits;
  }

  enter([presence]: readonly [ObjectRef]): void {
    this.#visitors.enter(presence);
  }

  /** True when they are the caller's, until it gives them back or its process ends. */
  async acquire(who: string, number: number, permits: number, waitMs: number): Promise<boolean> {
    const waiting = this.#line.wait({ who, number, permits }, who, waitMs, getRuntimeContext().signal);
    this.#pump();
    return waiting;
  }

  release(who: string, number: number): void {
    this.#free += this.#visitors.takeBack(who, number) ?? 0;
    this.#pump();
  }

  available(): number {
    return this.#free;
  }

  #pump(): void {
    this.#line.serve(({ who, number, permits }) => {
      if (!this.#visitors.has(who)) return true;
      if (permits > this.#free) return false;
      this.#free -= permits;
      this.#visitors.give(who, number, permits);
      return true;
    });
  }
}
