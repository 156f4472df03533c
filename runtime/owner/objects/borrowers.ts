// The processes that hold objects of this one: on which node each is, so that its end is the end of what they held, and which
// have ended, so that what is told of them late counts no more.

import { changeBorrower, forgetBorrower, Recent } from "../../core/index.ts";
import type { ProcessAddress } from "../links.ts";
import type { ObjectEntry } from "./object-ref.ts";

/** Ended processes that are remembered: the word of one more is on its way for seconds at most. */
const ENDED_KEPT = 4096;

export class Borrowers {
  readonly #nodes = new Map<string, string>();
  readonly #ended = new Recent<string, true>(ENDED_KEPT);

  /** Counts `change` hand-overs more for the borrower. True when this left the object no reference. */
  change(entry: ObjectEntry, { process, node }: ProcessAddress, change: number): boolean {
    if (this.#ended.has(process)) return false;
    this.#nodes.set(process, node);
    return changeBorrower(entry.count, process, change);
  }

  on(node: string): string[] {
    return [...this.#nodes].flatMap(([process, its]) => (its === node ? [process] : []));
  }

  /** It has ended, and the grace time after that is over. Gives those of `entries` that nobody holds any more. */
  ended(process: string, entries: Iterable<ObjectEntry>): ObjectEntry[] {
    this.#nodes.delete(process);
    this.#ended.set(process, true);
    return [...entries].filter((entry) => forgetBorrower(entry.count, process));
  }
}
