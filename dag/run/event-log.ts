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

export class EventLog {
  readonly #events: DagEvent[] = [];
  #waiting: (() => void)[] = [];
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
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
      yield this.#events[next];
    }
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}
