// Objects that their owner can't be asked about: it is gone, or knows them no more. What agents keep of them is there all the
// same; the rest fails.

import { failureOf, OwnerDiedError } from "../../errors.ts";
import type { Failure, HeldRef } from "../../transport/index.ts";
import { freedValue } from "./keeping.ts";
import { heldRef, isOpen, type ObjectEntry } from "./object-ref.ts";
import type { WireValue } from "../values/wire-value.ts";

export interface OrphansParts {
  /** Values of those that agents keep. */
  readonly find: (objects: readonly HeldRef[]) => Promise<readonly (WireValue | undefined)[]>;
  readonly settle: (entry: ObjectEntry, value: WireValue) => void;
  readonly lost: (entry: ObjectEntry) => boolean;
}

export class Orphans {
  readonly #parts: OrphansParts;

  constructor(parts: OrphansParts) {
    this.#parts = parts;
  }

  /** What is not kept went with its owner, also values that came with their refs: it is the same wherever they lie. */
  async ownerDied(entries: readonly ObjectEntry[], text: string): Promise<void> {
    const concerned = entries.filter((entry) => isOpen(entry) || (isUnkept(entry) && this.#parts.lost(entry)));
    await this.#lookFor(concerned, (entry) => ownerDied(entry, text));
  }

  /** Its owner has freed it. */
  async unknown(entry: ObjectEntry): Promise<void> {
    await this.#lookFor([entry], (one) => freedValue(heldRef(one)));
  }

  async #lookFor(entries: readonly ObjectEntry[], failure: (entry: ObjectEntry) => WireValue): Promise<void> {
    if (entries.length === 0) return;
    let found: readonly (WireValue | undefined)[] = [];
    try {
      found = await this.#parts.find(entries.map(heldRef));
    } catch {
      // Nobody can be asked: then nothing was found.
    }
    entries.forEach((entry, index) => {
      if (isOpen(entry)) this.#parts.settle(entry, found[index] ?? failure(entry));
    });
  }
}

function isUnkept({ state, value }: ObjectEntry): boolean {
  return state === "ready" && !value?.lifetime;
}

function ownerDied(entry: ObjectEntry, text: string): WireValue {
  const error = new OwnerDiedError(`object ${entry.id} is lost: its owner, process ${entry.owner}, is gone (${text})`, {
    objectId: entry.id,
  });
  return { failure: failureOf(error) as Failure };
}
