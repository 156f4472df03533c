// Time of a run: the system's, or one that jumps.

import { InvalidArgumentError } from "../../sdk/index.ts";
import { dateOf } from "../time/dates.ts";

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** At the given time, or as soon as that is over. */
  at(time: number, act: () => void): Timer;
}

const TURNS = 10;
const LONGEST_MS = 2_147_483_647;

export const systemClock: Clock = {
  now: () => Date.now(),
  at: (time, act) => {
    let timer: NodeJS.Timeout;
    const arm = (): void => void (timer = setTimeout(ring, Math.min(LONGEST_MS, Math.max(0, time - Date.now()))));
    // Timers of the system can't wait longer than 24.8 days, and may come before their time by this clock.
    const ring = (): void => (Date.now() < time ? arm() : act());
    arm();
    return { cancel: () => clearTimeout(timer) };
  },
};

interface Entry {
  readonly time: number;
  readonly order: number;
  /** Undefined once it was cancelled. */
  act: (() => void) | undefined;
}

/** Stands still until it is moved. Timers of one moment go off in the order in which they were set. */
export class VirtualClock implements Clock {
  #now: number;
  #order = 0;
  /** A heap: each entry is before those at twice its place and the one after that. */
  readonly #heap: Entry[] = [];
  readonly #workers: { readonly busy: boolean }[] = [];

  /** @throws InvalidArgumentError for what is no time. */
  constructor(start: Date | string | number) {
    this.#now = timeOf("VirtualClock: start", start);
  }

  now(): number {
    return this.#now;
  }

  at(time: number, act: () => void): Timer {
    const entry: Entry = { time: Math.max(time, this.#now), order: this.#order++, act };
    this.#rise(this.#heap.push(entry) - 1);
    return { cancel: () => { entry.act = undefined; } };
  }

  /** To the next timer; false when there is none. */
  jump(): boolean {
    for (let entry = this.#take(); entry !== undefined; entry = this.#take()) {
      const { act, time } = entry;
      if (act === undefined) continue;
      this.#now = time;
      act();
      return true;
    }
    return false;
  }

  /** The clock stands still while the worker is busy. */
  waitFor(worker: { readonly busy: boolean }): void {
    this.#workers.push(worker);
  }

  /** Goes on by so many milliseconds, timer by timer. */
  async advance(ms: number): Promise<void> {
    if (!(ms >= 0)) throw new InvalidArgumentError(`VirtualClock.advance: expected milliseconds from 0 on, not ${String(ms)}`);
    await this.advanceTo(this.#now + ms);
  }

  /** Goes on to a time, timer by timer, and waits for what runs. A time that is over changes nothing. */
  async advanceTo(time: Date | string | number): Promise<void> {
    const end = timeOf("VirtualClock.advanceTo: time", time);
    const isBusy = (): boolean => this.#workers.some(({ busy }) => busy);
    for (;;) {
      // What a timer began goes as far as it can.
      for (let turns = 0; turns < TURNS || isBusy(); turns += 1) await new Promise((resolve) => setImmediate(resolve));
      while (this.#heap.length > 0 && this.#heap[0].act === undefined) this.#take();
      if (this.#heap.length === 0 || this.#heap[0].time > end) break;
      this.jump();
    }
    this.#now = Math.max(this.#now, end);
  }

  #take(): Entry | undefined {
    const [first] = this.#heap;
    const last = this.#heap.pop();
    if (last !== undefined && this.#heap.length > 0) {
      this.#heap[0] = last;
      this.#sink(0);
    }
    return first;
  }

  #rise(place: number): void {
    for (let at = place; at > 0;) {
      const up = (at - 1) >> 1;
      if (!this.#swapped(up, at)) return;
      at = up;
    }
  }

  #sink(place: number): void {
    for (let at = place; 2 * at + 1 < this.#heap.length;) {
      const [left, right] = [2 * at + 1, 2 * at + 2];
      const least = right < this.#heap.length && isBefore(this.#heap[right], this.#heap[left]) ? right : left;
      if (!this.#swapped(at, least)) return;
      at = least;
    }
  }

  /** Puts the two in order; whether they were not. */
  #swapped(up: number, down: number): boolean {
    const [a, b] = [this.#heap[up], this.#heap[down]];
    if (!isBefore(b, a)) return false;
    [this.#heap[up], this.#heap[down]] = [b, a];
    return true;
  }
}

function timeOf(what: string, given: Date | string | number): number {
  return typeof given === "number" && Number.isFinite(given) ? given : dateOf(what, given as Date | string).getTime();
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.time < b.time || (a.time === b.time && a.order < b.order);
}
