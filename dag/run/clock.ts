// Time of a run: the system's, or one that jumps.

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** At the given time, or as soon as that is over. */
  at(time: number, act: () => void): Timer;
}

const LONGEST_MS = 2_147_483_647;

export const systemClock: Clock = {
  now: () => Date.now(),
  at: (time, act) => {
    let timer: NodeJS.Timeout;
    // Timers of the system can't wait longer than 24.8 days.
    const arm = (): void => {
      const left = time - Date.now();
      timer = left > LONGEST_MS ? setTimeout(arm, LONGEST_MS) : setTimeout(act, Math.max(0, left));
    };
    arm();
    return { cancel: () => clearTimeout(timer) };
  },
};

interface Entry {
  readonly time: number;
  readonly order: number;
  readonly act: () => void;
}

/** Stands still until it is told to jump. Timers of one moment go off in the order in which they were set. */
export class VirtualClock implements Clock {
  #now: number;
  #order = 0;
  readonly #entries = new Set<Entry>();

  constructor(start: number) {
    this.#now = start;
  }

  now(): number {
    return this.#now;
  }

  at(time: number, act: () => void): Timer {
    const entry = { time: Math.max(time, this.#now), order: this.#order++, act };
    this.#entries.add(entry);
    return { cancel: () => void this.#entries.delete(entry) };
  }

  /** To the next timer; false when there is none. */
  jump(): boolean {
    let next: Entry | undefined;
    for (const entry of this.#entries) {
      if (next === undefined || entry.time < next.time || (entry.time === next.time && entry.order < next.order)) next = entry;
    }
    if (next === undefined) return false;
    this.#entries.delete(next);
    this.#now = next.time;
    next.act();
    return true;
  }
}
