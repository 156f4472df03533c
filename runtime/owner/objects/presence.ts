// Whether other processes are still there, told by an object: each owns one that has no value for as long as it lives. Who is to
// know of its end is given a ref to it.

import type { Borrowing } from "./borrowing.ts";
import { entryOf, type ObjectEntry, ObjectRef } from "./object-ref.ts";

export class Presence {
  readonly #newEntry: () => ObjectEntry;
  readonly #borrowing: Borrowing;
  #own: ObjectRef | undefined;

  constructor(newEntry: () => ObjectEntry, borrowing: Borrowing) {
    this.#newEntry = newEntry;
    this.#borrowing = borrowing;
  }

  /** Of this process. */
  get ref(): ObjectRef {
    this.#own ??= new ObjectRef(this.#newEntry());
    return this.#own;
  }

  /** Calls `left` once when the process of this presence is gone. Nothing waits for it. */
  watch(presence: ObjectRef, left: () => void): void {
    const entry = entryOf(presence);
    if (entry.state !== "pending") return left();
    (entry.waiters ??= []).push(left);
    if (entry.shared) void this.#borrowing.subscribe(entry);
  }
}
