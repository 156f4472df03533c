// What a run has told so far, and those who listen: from any place on, to the last event.

import { type Coords, instanceName, type InstanceName } from "../engine/plan.ts";

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

/** An event as it is kept: a run may have some for each of a hundred thousand tasks. */
export interface KeptEvent {
  readonly at: number;
  readonly type: DagEvent["type"];
  readonly task: string | undefined;
  /** Of an instance of it. */
  readonly coords: Coords | undefined;
  readonly attempt: number | undefined;
  readonly state: string | undefined;
  readonly name: string | undefined;
  readonly value: unknown;
}

export class EventLog {
  readonly #events: KeptEvent[] = [];
  #waiting = new Set<() => void>();
  #over = false;

  add(event: KeptEvent): void {
    this.#events.push(event);
    if (this.#waiting.size > 0) this.#wake();
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
      yield eventOf(this.#events[next], next);
    }
  }

  /** What there is from an event on; when there is nothing yet, it waits so long for it. */
  async page(from: number, limit: number, waitMs: number): Promise<EventPage> {
    if (from >= this.#events.length && !this.#over && waitMs > 0) await this.#more(waitMs);
    const events = this.#events.slice(from, from + limit).map((event, i) => eventOf(event, from + i));
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

function eventOf({ at, type, task, coords, attempt, state, name, value }: KeptEvent, seq: number): DagEvent {
  const { id, mapIndex } = task === undefined || coords === undefined ? { id: task } : instanceName(task, coords);
  const all = { taskId: id, mapIndex, attempt, state, name, value };
  const known = Object.entries(all).filter(([, one]) => one !== undefined);
  return { seq, at: new Date(at), type, ...Object.fromEntries(known) };
}
