// Objects of this process whose values lie in stores: where each is, and its entry, without keeping that alive.
//
// A private entry hangs from its handles alone; when it was collected, its store object goes too. The entry of one that is lost
// is found here again when its value has been made anew.

import type { Draft, Stored } from "../../transport/index.ts";
import type { Finalizers } from "../equipment.ts";
import type { ObjectEntry } from "./object-ref.ts";

interface Holding {
  readonly number: number;
  readonly entry: WeakRef<ObjectEntry>;
  /** Undefined while its value is lost. */
  stored: Draft<Stored> | undefined;
}

export class Holdings {
  readonly #holdings = new Map<number, Holding>();
  readonly #collected: ReturnType<Finalizers>;

  /** Of a private entry that was collected, the value is freed, and the object is gone. */
  constructor(finalizers: Finalizers, free: (stored: Draft<Stored>) => void, gone: (number: number) => void) {
    this.#collected = finalizers((holding: Holding) => {
      if (holding.stored !== undefined) free(holding.stored);
      // One that was made again for others meanwhile has an entry of its own.
      if (this.#holdings.get(holding.number) !== holding) return;
      this.#holdings.delete(holding.number);
      gone(holding.number);
    });
  }

  get size(): number {
    return this.#holdings.size;
  }

  /** The value of the entry lies there from now on. */
  placed(entry: ObjectEntry, stored: Draft<Stored>): void {
    const known = this.#holdings.get(entry.number);
    if (known?.entry.deref() === entry) {
      known.stored = stored;
      return;
    }
    const holding = { number: entry.number, entry: new WeakRef(entry), stored };
    this.#holdings.set(entry.number, holding);
    if (!entry.shared) this.#collected.register(entry, holding, entry);
  }

  lost(entry: ObjectEntry): void {
    const known = this.#holdings.get(entry.number);
    if (known !== undefined) known.stored = undefined;
  }

  /** Its end is decided by counts, not by its collection. */
  shared(entry: ObjectEntry): void {
    this.#collected.unregister(entry);
  }

  freed(entry: ObjectEntry): void {
    this.#collected.unregister(entry);
    if (this.#holdings.get(entry.number)?.entry.deref() === entry) this.#holdings.delete(entry.number);
  }

  /** While anything reaches it. */
  find(number: number): ObjectEntry | undefined {
    return this.#holdings.get(number)?.entry.deref();
  }

  /** Those whose values lie on the node. */
  on(node: string): ObjectEntry[] {
    const found: ObjectEntry[] = [];
    for (const { entry, stored } of this.#holdings.values()) {
      const reached = stored?.node === node ? entry.deref() : undefined;
      if (reached !== undefined) found.push(reached);
    }
    return found;
  }
}
