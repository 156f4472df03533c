// Where in the spill file each object has its copy, and when that part of the file is given back.
//
// Pure. A part under way (being written or read) belongs to its object until that ends, also when the object was freed
// meanwhile: what comes late must not land in another's bytes. Copies are page-aligned, and carry a sum for each block, so a
// part of an object is read and checked by itself. The sums are kept here: nothing in the file is believed.

import { DESCRIPTORS, PAGE, pagesOf } from "./layout.ts";
import { PageRanges } from "./page-ranges.ts";
import type { ObjectHandle, SealedObject } from "./store.ts";

/** A sum covers so many bytes. */
export const BLOCK_BYTES = 1024 * 1024;
/** 4 TiB: what page numbers have room for. */
const FILE_PAGES = 2 ** 30;

export interface SpilledCopy {
  readonly page: number;
  readonly size: number;
  /** One a block. */
  readonly sums: readonly number[];
}

interface Copy {
  readonly page: number;
  readonly size: number;
  sums: readonly number[] | undefined;
  /** Reads and writes under way. */
  busy: number;
  freed: boolean;
}

export class SpillBook {
  readonly #ranges = new PageRanges(FILE_PAGES);
  readonly #copies = new Map<number, Copy>();
  readonly #released: (page: number, pages: number) => void;

  /** `released`: nobody needs these pages of the file any more. */
  constructor(released: (page: number, pages: number) => void) {
    this.#released = released;
  }

  get copies(): number {
    return this.#copies.size;
  }
  /** Of all that lies in the file. */
  get bytes(): number {
    return this.#ranges.usedPages * PAGE;
  }

  /** A place for a copy that is written now; undefined when there is, or will be, one. */
  begin({ slot, generation, size }: SealedObject): number | undefined {
    const key = keyOf({ slot, generation });
    if (this.#copies.has(key)) return undefined;
    const page = this.reserve(pagesOf(size), 1);
    if (page === undefined) return undefined;
    this.#copies.set(key, { page, size, sums: undefined, busy: 1, freed: false });
    return page;
  }

  /** The copy is whole. */
  written(handle: ObjectHandle, sums: readonly number[]): void {
    const copy = this.#copies.get(keyOf(handle));
    if (copy === undefined || copy.sums !== undefined) return;
    copy.sums = sums;
    this.#settle(handle, copy);
  }

  /** The copy could not be written, or is not what was written. */
  failed(handle: ObjectHandle): void {
    const copy = this.#copies.get(keyOf(handle));
    if (copy === undefined) return;
    copy.freed = true;
    this.#settle(handle, copy);
  }

  has(handle: ObjectHandle): boolean {
    const copy = this.#copies.get(keyOf(handle));
    return copy?.sums !== undefined && !copy.freed;
  }

  /** A whole copy, whose bytes stay until `read` is told. */
  reading(handle: ObjectHandle): SpilledCopy | undefined {
    const copy = this.#copies.get(keyOf(handle));
    if (copy?.sums === undefined || copy.freed) return undefined;
    copy.busy += 1;
    return { page: copy.page, size: copy.size, sums: copy.sums };
  }

  read(handle: ObjectHandle): void {
    const copy = this.#copies.get(keyOf(handle));
    if (copy !== undefined) this.#settle(handle, copy);
  }

  /** The object ended. Safe to call twice, and for one that has no copy. */
  freed(handle: ObjectHandle): void {
    const copy = this.#copies.get(keyOf(handle));
    if (copy === undefined) return;
    copy.freed = true;
    this.#forget(handle, copy);
  }

  /** Of all objects that have a copy. */
  *handles(): Iterable<ObjectHandle> {
    for (const key of this.#copies.keys()) yield { slot: key % SLOTS, generation: Math.floor(key / SLOTS) };
  }

  /** Pages of the file for something else. */
  reserve(pages: number, align: number): number | undefined {
    return this.#ranges.take(pages, align);
  }

  release(page: number, pages: number): void {
    this.#ranges.give(page, pages);
    this.#released(page, pages);
  }

  validate(): void {
    this.#ranges.validate();
  }

  #settle(handle: ObjectHandle, copy: Copy): void {
    copy.busy -= 1;
    this.#forget(handle, copy);
  }

  #forget(handle: ObjectHandle, copy: Copy): void {
    if (!copy.freed || copy.busy > 0) return;
    this.#copies.delete(keyOf(handle));
    this.release(copy.page, pagesOf(copy.size));
  }
}

/** Generations have 31 bits. */
function keyOf({ slot, generation }: ObjectHandle): number {
  return generation * SLOTS + slot;
}

const SLOTS = DESCRIPTORS;
