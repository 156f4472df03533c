// Values that hold refs: what is inside lives as long as they do.
//
// A shared entry is freed by counts, and then gives its refs back. A private one hangs from its handles alone: the garbage
// collector says when it is gone.

import { addLocal } from "../../core/index.ts";
import type { Finalizers } from "../equipment.ts";
import type { ObjectEntry } from "./object-ref.ts";

type Inside = readonly ObjectEntry[];

export class Containers {
  readonly #dropLocal: (entry: ObjectEntry) => void;
  readonly #collected: ReturnType<Finalizers>;

  constructor(finalizers: Finalizers, dropLocal: (entry: ObjectEntry) => void) {
    this.#dropLocal = dropLocal;
    this.#collected = finalizers((inside: Inside) => inside.forEach(dropLocal));
  }

  /** Counts them for the entry. */
  add(entry: ObjectEntry, inside: Inside): void {
    if (inside.length === 0) return;
    for (const inner of inside) addLocal(inner.count);
    this.hold(entry, inside.slice());
  }

  /** They are counted for the entry already; the list is its own. */
  hold(entry: ObjectEntry, inside: Inside): void {
    entry.contained = inside;
    if (!entry.shared) this.#collected.register(entry, inside, inside);
  }

  /** Its end is decided by counts from now on. */
  shared({ contained }: ObjectEntry): void {
    if (contained !== undefined) this.#collected.unregister(contained);
  }

  drop(entry: ObjectEntry): void {
    const { contained } = entry;
    if (contained === undefined) return;
    entry.contained = undefined;
    this.#collected.unregister(contained);
    contained.forEach(this.#dropLocal);
  }
}
