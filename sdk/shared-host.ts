// A process's side of a shared thing that lives in an actor: it enters once, waits there in turns, and says how each one ended.

import { currentSession, type ObjectRef, type WaitOptions } from "../runtime/owner/index.ts";
import { InvalidArgumentError } from "../runtime/errors.ts";
import { cancel, get } from "./objects.ts";
import { type Checks, checkWait, oneOf, text } from "../runtime/option-checks.ts";
import type { ActorOptions } from "./options.ts";

/** A turn at the actor ends after so long, and is followed by another: what waits there belongs to somebody who is there. */
const TURN_MS = 10_000;
/** Turns of all processes at the actor at once; others wait in its queue. */
export const TURNS = 1000;

export interface SharedOptions {
  /** All who name it use the same one. */
  readonly name?: string | undefined;
  readonly namespace?: string | undefined;
  /** 'detached': it lives on when its creator's job ends. */
  readonly lifetime?: "job" | "detached" | undefined;
}

export const SHARED_CHECKS: Checks = { name: text, namespace: text, lifetime: oneOf("job", "detached") };

interface Host {
  readonly enter: { remote(presence: readonly [ObjectRef]): ObjectRef };
}

export class SharedHost<H extends object> {
  readonly handle: H;
  #who: string | undefined;
  #turns = 0;

  constructor(handle: H) {
    this.handle = handle;
  }

  /** Drops the handle. What this process holds there stays its own until it ends. */
  release(): void {
    (this.handle as Disposable)[Symbol.dispose]();
  }

  /** This process, as the actor knows it. */
  enter(): string {
    if (this.#who === undefined) {
      const presence = currentSession().presence.ref;
      (this.handle as unknown as Host).enter.remote([presence]);
      this.#who = presence.id;
    }
    return this.#who;
  }

  /**
   * Asks in turns until `isServed` or the time is over; undefined then. `given`: a turn that came to nothing here, whatever it
   * came to there, is over.
   */
  async wait<T>(
    what: string,
    options: WaitOptions | undefined,
    turn: (who: string, number: number, waitMs: number) => ObjectRef<T>,
    isServed: (outcome: T) => boolean,
    abandoned: (who: string, number: number) => void,
  ): Promise<{ readonly outcome: T; readonly number: number } | undefined> {
    const { timeoutMs = Number.POSITIVE_INFINITY, signal } = checkWait(what, options) ?? {};
    signal?.throwIfAborted();
    const who = this.enter();
    const { clock } = currentSession().parts.seams;
    const until = clock.now() + timeoutMs;
    for (;;) {
      const number = ++this.#turns;
      const ref = turn(who, number, Math.max(0, Math.min(TURN_MS, until - clock.now())));
      let outcome: T;
      try {
        outcome = await get(ref, { signal });
      } catch (error) {
        abandoned(who, number);
        await cancel(ref);
        throw error;
      }
      if (isServed(outcome)) return { outcome, number };
      if (clock.now() >= until) return undefined;
    }
  }
}

export function hostOptions({ name, namespace, lifetime }: SharedOptions): ActorOptions {
  return { numCpus: 0, maxConcurrency: TURNS, name, namespace, lifetime, getIfExists: name === undefined ? undefined : true };
}

/** A whole number from 1. */
export function checkCount(what: string, count: unknown): number {
  if (typeof count === "number" && Number.isSafeInteger(count) && count > 0) return count;
  throw new InvalidArgumentError(`${what} must be a whole number from 1, not ${String(count)}`);
}
