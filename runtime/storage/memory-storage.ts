// A store that lives as long as its process: for private clusters, which nobody outlives, and for simulated heads, which it
// outlives.

import { type Entry, fenced, type Outcome, type Range, type Storage, type StoreChange } from "./storage.ts";

/** Texts in the order of their UTF-8 bytes: that of the byte texts. */
const bytesOf = (text: string): string => Buffer.from(text).toString("latin1");
const textOf = (bytes: string): string => Buffer.from(bytes, "latin1").toString();

export class MemoryStorage implements Storage {
  readonly lasting: boolean;
  readonly folder = "";
  readonly #values = new Map<string, Uint8Array>();
  /** Sorted. */
  readonly #keys: string[] = [];
  #epoch = 0;

  constructor({ lasting = false } = {}) {
    this.lasting = lasting;
  }

  async open(): Promise<number> {
    this.#epoch += 1;
    return this.#epoch;
  }

  get(key: string): Uint8Array | undefined {
    return this.#values.get(bytesOf(key));
  }

  scan({ prefix, after, limit }: Range): Entry[] {
    const [start, from] = [bytesOf(prefix), after === undefined ? undefined : bytesOf(after)];
    const entries: Entry[] = [];
    let place = this.#placeOf(from !== undefined && from > start ? from : start);
    if (this.#keys[place] === from) place += 1;
    for (; place < this.#keys.length && entries.length < limit && this.#keys[place].startsWith(start); place += 1) {
      entries.push({ key: textOf(this.#keys[place]), value: this.#values.get(this.#keys[place])! });
    }
    return entries;
  }

  async commit(epoch: number, changes: readonly StoreChange[]): Promise<Outcome> {
    if (epoch !== this.#epoch) throw fenced();
    for (const change of changes) if (change.kind === "check" && !holds(change, this.get(change.key))) return change.key;
    for (const change of changes) {
      const key = bytesOf(change.key);
      if (change.kind === "set") this.#set(key, change.value);
      else if (change.kind === "delete" && this.#values.delete(key)) this.#keys.splice(this.#placeOf(key), 1);
    }
    return undefined;
  }

  async close(): Promise<void> {}

  #set(key: string, value: Uint8Array): void {
    if (!this.#values.has(key)) this.#keys.splice(this.#placeOf(key), 0, key);
    this.#values.set(key, value);
  }

  /** Of the first key that is not before this one. */
  #placeOf(key: string): number {
    let [low, high] = [0, this.#keys.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#keys[middle] < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

export function holds({ value }: { readonly value?: Uint8Array | undefined }, found: Uint8Array | undefined): boolean {
  if (value === undefined || found === undefined) return value === found;
  return Buffer.compare(value, found) === 0;
}
