// What became of the last tasks and calls of this process, for the state API: a ring in columns, so that a task that ends costs
// no allocation and keeps nothing of its arguments alive.

import type { TaskDone } from "../../transport/index.ts";
import type { Link } from "../links.ts";

const KEPT_MAX = 10_000;
const KEPT_FIRST = 256;
/** Of a task. */
const FIGURES = 7;

export interface EndedTask {
  readonly number: number;
  readonly name: string;
  readonly attempt: number;
  /** Milliseconds of the clock. */
  readonly submittedAt: number;
  readonly endedAt: number;
  /** Microseconds since 1970 by the clock of the machine where the last attempt ran; 0 when it never ran. */
  readonly started: number;
  /** Microseconds in user code of the last attempt; 0 when it never ran. */
  readonly micros: number;
  /** Where it ran last. */
  readonly link: Link | undefined;
  readonly pid: number;
  readonly actor: string;
  /** "" when it succeeded. */
  readonly errorCode: string;
}

type Ran = Pick<TaskDone, "micros" | "pid" | "started">;

export class TaskHistory {
  #size = KEPT_FIRST;
  #next = 0;
  #count = 0;
  #ended = { FINISHED: 0, FAILED: 0 };
  /** number, attempt, submittedAt, endedAt, micros, pid, started. */
  #figures = new Float64Array(KEPT_FIRST * FIGURES);
  /** name, link, actor, errorCode: four a task. */
  readonly #facts: unknown[] = [];

  /** `ran`: what its worker told of the last attempt. */
  add(
    number: number, name: string, attempt: number, submittedAt: number, endedAt: number, ran: Ran | undefined,
    link: Link | undefined, actor: string, errorCode: string,
  ): void {
    if (this.#next === this.#size) this.#wrap();
    const at = this.#next * FIGURES;
    const figures = this.#figures;
    figures[at] = number;
    figures[at + 1] = attempt;
    figures[at + 2] = submittedAt;
    figures[at + 3] = endedAt;
    figures[at + 4] = ran?.micros ?? 0;
    figures[at + 5] = ran?.pid ?? 0;
    figures[at + 6] = ran?.started ?? 0;
    const fact = this.#next * 4;
    const facts = this.#facts;
    facts[fact] = name;
    facts[fact + 1] = link;
    facts[fact + 2] = actor;
    facts[fact + 3] = errorCode;
    this.#next += 1;
    this.#ended[errorCode === "" ? "FINISHED" : "FAILED"] += 1;
    if (this.#count < this.#size) this.#count += 1;
  }

  /** How many ended since the last time, by state. */
  takeEnded(): Readonly<Record<"FINISHED" | "FAILED", number>> {
    const ended = this.#ended;
    this.#ended = { FINISHED: 0, FAILED: 0 };
    return ended;
  }

  /** Newest first. */
  *all(): Generator<EndedTask> {
    for (let back = 1; back <= this.#count; back += 1) {
      const index = (this.#next - back + this.#size) % this.#size;
      const figures = this.#figures.subarray(index * FIGURES, (index + 1) * FIGURES);
      const [number, attempt, submittedAt, endedAt, micros, pid, started] = figures;
      const [name, link, actor, errorCode] = this.#facts.slice(index * 4, index * 4 + 4) as [
        string,
        Link | undefined,
        string,
        string,
      ];
      yield { number, name, attempt, submittedAt, endedAt, started, micros, pid, link, actor, errorCode };
    }
  }

  #wrap(): void {
    if (this.#size >= KEPT_MAX) {
      this.#next = 0;
      return;
    }
    this.#size = Math.min(KEPT_MAX, this.#size * 2);
    const wider = new Float64Array(this.#size * FIGURES);
    wider.set(this.#figures);
    this.#figures = wider;
  }
}
