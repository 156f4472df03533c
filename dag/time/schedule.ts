// Which runs of a graph are due: a pure machine. Times in, runs out.
//
// A graph that does not catch up runs at the times that come while it is on; one that does runs for every time since its
// start, or since its last run, oldest first.

import type { Timetable } from "./timetable.ts";

export interface SchedulePlan {
  readonly timetable: Timetable;
  /** Both inclusive. */
  readonly startDate: Date | undefined;
  readonly endDate: Date | undefined;
  readonly catchup: boolean;
  readonly maxActiveRuns: number;
}

export interface DueRun {
  readonly logicalDate: Date;
  readonly dataInterval: { readonly start: Date; readonly end: Date };
}

export class Schedule {
  readonly #plan: SchedulePlan;
  #next: Date | undefined;
  #previous: Date | undefined;
  #active = 0;

  /** `last`: the newest run that was made for a time, in this life or one before. */
  constructor(plan: SchedulePlan, now: Date, last?: Date) {
    this.#plan = plan;
    this.#previous = last;
    this.#next = this.#within(this.#first(now, last));
  }

  /** The next time it is due; undefined when it never is again. */
  get next(): Date | undefined {
    return this.#next;
  }

  /** Runs to make now, no more than may be active. */
  due(now: Date): DueRun[] {
    const runs: DueRun[] = [];
    while (this.#next !== undefined && this.#next <= now && this.#active < this.#plan.maxActiveRuns) {
      runs.push(this.#runAt(this.#next));
      this.#active += 1;
      this.#advance(now);
    }
    return runs;
  }

  runEnded(): void {
    this.#active -= 1;
  }

  #runAt(at: Date): DueRun {
    const start = this.#previous ?? previousOf(this.#plan.timetable, at) ?? at;
    return { logicalDate: at, dataInterval: { start, end: at } };
  }

  #advance(now: Date): void {
    const { timetable, catchup } = this.#plan;
    const fired = this.#next as Date;
    const next = timetable.next(fired);
    // What was missed while the machine slept is not made up for.
    const missed = !catchup && next !== undefined && next <= now;
    this.#previous = missed ? undefined : fired;
    this.#next = this.#within(missed ? timetable.next(now) : next);
  }

  #first(now: Date, last: Date | undefined): Date | undefined {
    const { timetable, startDate, catchup } = this.#plan;
    if (last === undefined && timetable.first !== undefined) return timetable.first(now);
    if (last !== undefined && catchup) return timetable.next(last);
    // A time that is the start itself counts.
    const start = startDate === undefined ? undefined : justBefore(startDate);
    if (catchup && start !== undefined) return timetable.next(start);
    return timetable.next(start !== undefined && start > now ? start : now);
  }

  #within(at: Date | undefined): Date | undefined {
    const { endDate } = this.#plan;
    return at !== undefined && endDate !== undefined && at > endDate ? undefined : at;
  }
}

/** The time before `at`, as far as a timetable that only looks ahead can tell. */
export function previousOf(timetable: Timetable, at: Date): Date | undefined {
  const next = timetable.next(at);
  if (next === undefined) return undefined;
  let back = next.getTime() - at.getTime();
  for (let tries = 0; tries < 16; tries += 1, back *= 2) {
    let found: Date | undefined;
    let one = timetable.next(new Date(at.getTime() - back - 1));
    for (let steps = 0; one !== undefined && one < at && steps < 10_000; steps += 1) {
      found = one;
      one = timetable.next(one);
    }
    if (found !== undefined) return found;
  }
  return undefined;
}

/** All times after a moment, to `last` inclusive. */
export function* timesAfter(timetable: Timetable, moment: Date, last?: Date): IterableIterator<Date> {
  for (let at = timetable.next(moment); at !== undefined && (last === undefined || at <= last); at = timetable.next(at)) yield at;
}

/** Just before a time that counts itself. */
export function justBefore(time: Date): Date {
  return new Date(time.getTime() - 1);
}

/** All times of a span, both ends included. */
export function timesWithin(timetable: Timetable, from: Date, to: Date): Date[] {
  return [...timesAfter(timetable, justBefore(from), to)];
}
