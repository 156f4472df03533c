// The one way in which this process waits for what others make: until it is there, its caller's timeout or signal, or the end of
// the task attempt that waits. Meanwhile that attempt is suspended, and a program with nothing else to do stays alive.

import type { Clock, Timer } from "../../seams.ts";
import type { AttemptEnding } from "../context.ts";
import { isOpen, type ObjectEntry, type WaitOptions } from "./object-ref.ts";

/** What the running task attempt does while it waits. */
export interface Suspender {
  readonly ending: AttemptEnding;
  suspend(): void;
  resume(): void;
}

export interface WaitingParts {
  readonly clock: Clock;
  readonly suspender: () => Suspender | undefined;
  /** Keeps the process alive while something is awaited. */
  readonly hold: (change: 1 | -1) => void;
}

export class Waiting {
  readonly #parts: WaitingParts;

  constructor(parts: WaitingParts) {
    this.#parts = parts;
  }

  /** Resolves when the entry has a value or an error; `want` asks for it. */
  settled(entry: ObjectEntry, want: (entry: ObjectEntry) => void): Promise<void> {
    if (!isOpen(entry)) return Promise.resolve();
    return this.until<undefined>(undefined, () => undefined, (settle) => {
      (entry.waiters ??= []).push(() => settle(undefined));
      want(entry);
      return () => {};
    }) as Promise<void>;
  }

  /**
   * Resolves with what `begin` is told, or at the timeout with what `timedOut` returns; an Error from either rejects. `begin`
   * returns what forgets the wait.
   */
  until<T>(
    options: WaitOptions | undefined, timedOut: () => T | Error, begin: (settle: (outcome: T | Error) => void) => () => void,
  ): Promise<T> {
    const { clock, suspender, hold } = this.#parts;
    return new Promise((resolve, reject) => {
      const current = suspender();
      if (current?.ending.reason !== undefined) return reject(current.ending.reason);
      let timer: Timer | undefined;
      let forget: (() => void) | undefined;
      let over = false;
      let isSuspended = false;
      const end = (act: () => void) => {
        if (over) return;
        over = true;
        timer?.cancel();
        goOn?.();
        options?.signal?.removeEventListener("abort", abort);
        forget?.();
        hold(-1);
        if (isSuspended) current?.resume();
        act();
      };
      const settle = (outcome: T | Error) => end(() => (outcome instanceof Error ? reject(outcome) : resolve(outcome)));
      // Any value may be the reason of a signal.
      const abort = () => end(() => reject(options?.signal?.reason ?? new Error("aborted")));
      const goOn = current?.ending.onEnd(settle);
      hold(1);
      if (options?.timeoutMs !== undefined) timer = clock.after(options.timeoutMs, () => settle(timedOut()), true);
      options?.signal?.addEventListener("abort", abort);
      // What it is told in the same turn ends it before it began.
      forget = begin(settle);
      if (over) return forget();
      isSuspended = true;
      current?.suspend();
    });
  }
}
