// Finds calls into an actor that waits, further up in the same chain of calls, until they have run.
//
// A call carries the actors that it was made within. An attempt that begins to wait for its own call into one of these tells it
// to whoever made the call or task that the attempt runs, if that one waits for it in its turn, and so on up to the actor: only
// when every one on the way waits for the next is the call stuck. What is not waited for now is looked at when it is. Attempts
// outside of actors have empty chains and cost nothing.

import { Recent } from "../../core/index.ts";
import type { CallStuck } from "../../transport/index.ts";
import type { Attempt } from "../context.ts";
import type { ProcessAddress } from "../links.ts";
import type { ObjectEntry } from "../objects/object-ref.ts";

/** Of calls that nobody waits for yet. */
const KEPT = 4096;

/** `actor` has to run call `task` of `process` before something can go on. */
type Stuck = Omit<CallStuck, "object">;

/** An own task or call that has not ended. */
interface Submitted {
  /** Who submitted it; undefined for the main program. */
  readonly attempt: Attempt | undefined;
  /** The actor that it is a call to. */
  readonly actor: string | undefined;
}

/** The actors of this process. */
export interface StuckListener {
  /** The running call `attempt` of the actor waits until it has run that other call. */
  stuck(attempt: Attempt, call: Stuck): void;
  /** It waits no more. */
  over(attempt: Attempt): void;
}

export class StuckCalls {
  readonly #process: string;
  readonly #find: (number: number) => Submitted | undefined;
  readonly #tell: (to: ProcessAddress, message: CallStuck) => void;
  readonly #waits = new Map<Attempt, Map<number, number>>();
  /** What own calls wait for, by their numbers. */
  readonly #told = new Recent<number, Stuck[]>(KEPT);
  listener: StuckListener | undefined;

  constructor(
    process: string, find: (number: number) => Submitted | undefined, tell: (to: ProcessAddress, message: CallStuck) => void,
  ) {
    this.#process = process;
    this.#find = find;
    this.#tell = tell;
  }

  /** `attempt` waits until all of these are settled. Returns what says that it does not any more. */
  waiting(attempt: Attempt, entries: readonly ObjectEntry[]): () => void {
    const waits = this.#waits.get(attempt) ?? new Map<number, number>();
    this.#waits.set(attempt, waits);
    const numbers = entries.filter((entry) => entry.owner === this.#process).map((entry) => entry.number);
    for (const number of numbers) waits.set(number, (waits.get(number) ?? 0) + 1);
    for (const number of numbers) this.#waitsFor(attempt, number);
    return () => {
      for (const number of numbers) {
        const left = (waits.get(number) ?? 1) - 1;
        if (left > 0) waits.set(number, left);
        else waits.delete(number);
      }
      if (waits.size > 0) return;
      this.#waits.delete(attempt);
      this.listener?.over(attempt);
    };
  }

  /** What runs our call or task `object` waits until an actor has run another. */
  told({ object, ...stuck }: CallStuck): void {
    const attempt = this.#find(object)?.attempt;
    if (attempt === undefined) return;
    const known = this.#told.peek(object) ?? [];
    if (known.some(({ process, task }) => process === stuck.process && task === stuck.task)) return;
    this.#told.set(object, [...known, stuck]);
    if (this.#waits.get(attempt)?.has(object)) this.#pass(attempt, stuck);
  }

  #waitsFor(attempt: Attempt, number: number): void {
    const actor = this.#find(number)?.actor;
    if (actor !== undefined && attempt.chain.actors.includes(actor)) {
      this.#pass(attempt, { actor, process: this.#process, task: number });
    }
    for (const stuck of this.#told.peek(number) ?? []) this.#pass(attempt, stuck);
  }

  /** To the actor, when the attempt is a call that it runs, and to whoever made that call. */
  #pass(attempt: Attempt, stuck: Stuck): void {
    const { chain, actorId, submitter } = attempt;
    const above = actorId === undefined ? chain.actors : chain.actors.slice(0, -1);
    if (actorId === stuck.actor) this.listener?.stuck(attempt, stuck);
    if (above.includes(stuck.actor)) this.#tell(submitter, { object: submitter.number, ...stuck });
  }
}
