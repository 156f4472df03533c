// What a run has told so far, and those who listen: from any place on, to the last event.

import type { InstanceName } from "../engine/plan.ts";

export interface DagEvent {
  readonly seq: number;
  readonly at: Date;
  readonly type: "run" | "task" | "metric" | "log" | "progress";
  readonly taskId?: string | undefined;
  readonly mapIndex?: InstanceName["mapIndex"];
  readonly attempt?: number | undefined;
  readonly state?: string | undefined;
  readonly name?: string | undefined;
  readonly value?: unknown;
}

export interface EventPage {
  readonly events: readonly DagEvent[];
  /** Where the next page begins. */
  readonly next: number;
  /** The run is over, and these are its last events. */
  readonly over: boolean;
}

export class EventLog {
  readonly #events: DagEvent[] = [];
  #waiting = new Set<() => void>();
  #over = false;

  add(event: Omit<DagEvent, "seq">): void {
    this.#events.push({ seq: this.#events.length, ...event });
    this.#wake();
  }

  /** More may come again: the run goes on. */
  reopen(): void {
    this.#over = false;
  }

  end(): void {
    this.#over = true;
    this.#wake();
  }

  async *from(seq: number): AsyncGenerator<DagEvent, void, undefined> {
    for (let next = seq; ; next += 1) {
      while (next >= this.#events.length) {
        if (this.#over) return;
        await this.#more();
      }
      yield this.#events[next];
    }
  }

  /** What there is from an event on; when there is nothing yet, it waits so long for it. */
  async page(from: number, limit: number, waitMs: number): Promise<EventPage> {
    if (from >= this.#events.length && !this.#over && waitMs > 0) await this.#more(waitMs);
    const events = this.#events.slice(from, from + limit);
    const next = from + events.length;
    return { events, next, over: this.#over && next >= this.#events.length };
  }

  #more(waitMs?: number): Promise<void> {
    return new Promise((resolve) => {
      const woken = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(woken);
        resolve();
      };
      // Who waits for something has more than this that keeps the process.
      const timer = waitMs === undefined ? undefined : setTimeout(woken, waitMs).unref();
      this.#waiting.add(woken);
    });
  }

  #wake(): void {
    const waiting = [...this.#waiting];
    for (const wake of waiting) wake();
  }
}
