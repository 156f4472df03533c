// Writable mappings of ranges that this process wrote large objects into, kept for the next large object there.
//
// To map a gigabyte, and to unmap it, takes longer than to fill it: the page tables cost more than the bytes. The host gives
// out what was freed last, so a process that writes one large object after another comes to the same pages again and again.
// Nothing reaches a kept mapping: the views of the object before are detached, and the next are made for its own range only.

import type { Mapping } from "../../native/index.ts";

const KEPT_MAX = 8;

export interface Kept {
  readonly mapping: Mapping;
  /** Where it lies in the data memory. All of its pages are mapped. */
  readonly offset: number;
  readonly bytes: number;
}

export class KeptMappings {
  /** Longest kept first. */
  #kept: Kept[] = [];
  readonly #bytesMax: number;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** One that holds the whole range; it is no longer kept. */
  take(offset: number, bytes: number): Kept | undefined {
    const index = this.#kept.findIndex((one) => one.offset <= offset && offset + bytes <= one.offset + one.bytes);
    return index < 0 ? undefined : this.#kept.splice(index, 1)[0];
  }

  give(kept: Kept): void {
    this.#kept.push(kept);
    let total = this.#kept.reduce((sum, one) => sum + one.bytes, 0);
    while (this.#kept.length > KEPT_MAX || total > this.#bytesMax) total -= (this.#kept.shift() as Kept).bytes;
  }

  clear(): void {
    this.#kept = [];
  }
}
