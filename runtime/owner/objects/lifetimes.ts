// Objects of this process, owned or borrowed, that agents keep for lifetimes: who has to fail when one ends.

import { type ObjectEnd, Recent } from "../../core/index.ts";
import type { ObjectEntry } from "./object-ref.ts";

interface Members {
  entries: WeakRef<ObjectEntry>[];
  /** What was collected is left out when there are so many. */
  sweepAt: number;
}

const FIRST_SWEEP = 1000;
const ENDS_MAX = 100_000;

export class Lifetimes {
  readonly #members = new Map<string, Members>();
  readonly #ended = new Recent<string, ObjectEnd>(ENDS_MAX);

  endOf(lifetime: string): ObjectEnd | undefined {
    return this.#ended.peek(lifetime);
  }

  add(lifetime: string, entry: ObjectEntry): void {
    let members = this.#members.get(lifetime);
    if (members === undefined) this.#members.set(lifetime, (members = { entries: [], sweepAt: FIRST_SWEEP }));
    members.entries.push(new WeakRef(entry));
    if (members.entries.length < members.sweepAt) return;
    members.entries = members.entries.filter((one) => one.deref() !== undefined);
    members.sweepAt = Math.max(FIRST_SWEEP, members.entries.length * 2);
  }

  /** Those that are reached here. A repeat finds none. */
  end(lifetime: string, end: ObjectEnd): ObjectEntry[] {
    this.#ended.set(lifetime, end);
    const members = this.#members.get(lifetime);
    this.#members.delete(lifetime);
    return (members?.entries ?? []).flatMap((one) => one.deref() ?? []);
  }
}
