// The processes that use a shared thing (a queue, a semaphore), as its actor knows them: what each holds comes back when it ends.
//
// A process enters with a ref to its presence, an object that it owns and never settles: the ref fails when the process is gone.

import { currentSession, type ObjectRef } from "../runtime/owner/index.ts";

interface Visitor<H> {
  /** Keeps it borrowed. */
  readonly presence: ObjectRef;
  readonly holds: Map<number, H>;
}

export class Visitors<H> {
  readonly #visitors = new Map<string, Visitor<H>>();
  readonly #left: (who: string, held: readonly H[]) => void;

  /** `left`: a process is gone, and this is what it held. */
  constructor(left: (who: string, held: readonly H[]) => void) {
    this.#left = left;
  }

  /** Once for each process; a repeat changes nothing. */
  enter(presence: ObjectRef): void {
    const who = presence.id;
    if (this.#visitors.has(who)) return;
    this.#visitors.set(who, { presence, holds: new Map() });
    currentSession().presence.watch(presence, () => {
      const held = this.#visitors.get(who)?.holds.values() ?? [];
      this.#visitors.delete(who);
      this.#left(who, [...held]);
    });
  }

  /** Whether it is here. */
  has(who: string): boolean {
    return this.#visitors.has(who);
  }

  /** To one who is here. */
  give(who: string, number: number, what: H): void {
    this.#visitors.get(who)?.holds.set(number, what);
  }

  /** What it held under that number; undefined when that is over. */
  takeBack(who: string, number: number): H | undefined {
    const holds = this.#visitors.get(who)?.holds;
    const held = holds?.get(number);
    holds?.delete(number);
    return held;
  }
}
