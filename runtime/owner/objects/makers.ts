// Which actor has put an object, in a process that several share: what an actor has put ends with it, as what a process has put
// ends with the process.

import { failureOf, OwnerDiedError } from "../../errors.ts";
import type { Failure } from "../../transport/index.ts";
import type { RunningAttempts } from "../context.ts";
import type { Borrowing } from "./borrowing.ts";
import type { ObjectEntry } from "./object-ref.ts";

export class Makers {
  readonly #attempts: Pick<RunningAttempts, "sharer">;
  readonly #borrowing: Pick<Borrowing, "entries" | "revoke">;
  readonly #makers = new WeakMap<ObjectEntry, string>();
  /** Those that have put anything. */
  readonly #actors = new Set<string>();

  constructor(attempts: Pick<RunningAttempts, "sharer">, borrowing: Pick<Borrowing, "entries" | "revoke">) {
    this.#attempts = attempts;
    this.#borrowing = borrowing;
  }

  /** By the code that runs now. */
  put(entry: ObjectEntry): void {
    const actor = this.#attempts.sharer;
    if (actor === undefined) return;
    this.#makers.set(entry, actor);
    this.#actors.add(actor);
  }

  /** Who has a ref to what it had put is told, unless that is kept for a lifetime. What others do not know of goes by itself. */
  ended(actor: string, why: string): void {
    if (!this.#actors.delete(actor)) return;
    for (const entry of this.#borrowing.entries()) {
      if (this.#makers.get(entry) !== actor || entry.value?.lifetime) continue;
      const error = new OwnerDiedError(`object ${entry.id} is lost: actor ${actor}, which had put it, is gone (${why})`, {
        objectId: entry.id,
      });
      this.#borrowing.revoke(entry, { failure: failureOf(error) as Failure });
    }
  }
}
