// The host's own books: who leased which slab and descriptor, what each object occupies, what waits for its readers.
//
// Pure: no shared memory here. What a client wrote into shared memory is only ever compared with these books; they outrank
// it. A slab is given back when its client has let go of it and none of its chunks is in use; a client lets go by asking for
// the next slab of that class, or by dying.
//
// Objects that are restored are written by the host itself, into slabs of its own. Pages in the overflow are allotted by whoever
// keeps that file; these books only know what lies there.

import type { Allocation, ObjectHandle, SlabLease } from "./store.ts";
import { chunksPerSlab, DESCRIPTORS, overflowPageOf, PAGE, pagesOf, SIZE_CLASSES, sizeClassOf, SLAB_BYTES } from "./layout.ts";
import { PageRanges } from "./page-ranges.ts";

const SLAB_PAGES = SLAB_BYTES / PAGE;

interface Slab {
  readonly id: number;
  readonly firstPage: number;
  readonly sizeClass: number;
  /** Undefined once its client has let go of it. */
  client: number | typeof HOST | undefined;
  /** Descriptors of its chunks that are in use, by chunk. */
  readonly inUse: Map<number, number>;
  usedAt: number;
}

/** Restores objects into slabs of its own. */
const HOST = "host";

/** Pages that are given back as a whole, and what is in them. */
export interface Unit {
  readonly firstPage: number;
  readonly pages: number;
  /** Larger is later. */
  readonly usedAt: number;
  /** Undefined: a client still carves it. */
  readonly slots: readonly number[] | undefined;
}

interface Descriptor {
  generation: number;
  /** Its creator; undefined while it is free or condemned. */
  client: number | undefined;
  /** What it occupies once that is known: pages of its own, or a chunk of a slab. */
  range: Range | undefined;
  /** It had one, and may get another. */
  evicted: boolean;
}

interface Range {
  readonly firstPage: number;
  readonly pages: number;
  readonly slab: Slab | undefined;
  usedAt: number;
}

export class StoreBooks {
  readonly #ranges: PageRanges;
  readonly #descriptors: (Descriptor | undefined)[] = [];
  readonly #freeSlots: number[] = [];
  readonly #slabAt = new Map<number, Slab>();
  readonly #current = new Map<string, Slab>();
  readonly #condemned = new Set<number>();
  readonly #slotsOf = new Map<number, Set<number>>();
  /** Leased descriptors whose range is not known yet: few, and all that has to be looked at to learn of new objects. */
  readonly #unplaced = new Map<number, Set<number>>();
  readonly #overflowPage: number;
  readonly #overflowFreed: (firstPage: number, pages: number) => void;
  /** Descriptors with pages of their own in the memory. */
  readonly #large = new Set<number>();
  /** Slabs the host restores into, by size class. */
  readonly #restoring = new Map<number, Slab>();
  #nextSlab = 1;
  #useClock = 0;
  #objects = 0;
  #evicted = 0;
  #overflowPages = 0;
  #made = 0;
  #madePages = 0;

  constructor(capacityBytes: number, overflowFreed: (firstPage: number, pages: number) => void = () => {}) {
    this.#ranges = new PageRanges(Math.floor(capacityBytes / PAGE));
    this.#overflowPage = overflowPageOf(capacityBytes);
    this.#overflowFreed = overflowFreed;
  }

  get usedBytes(): number {
    return this.#ranges.usedPages * PAGE;
  }
  get objects(): number {
    return this.#objects;
  }
  /** Objects whose bytes are elsewhere. */
  get evicted(): number {
    return this.#evicted;
  }
  get overflowBytes(): number {
    return this.#overflowPages * PAGE;
  }
  get made(): { readonly made: number; readonly madeBytes: number } {
    return { made: this.#made, madeBytes: this.#madePages * PAGE };
  }
  /** Freed objects whose range waits for its readers. */
  get condemned(): ReadonlySet<number> {
    return this.#condemned;
  }

  /** With `overflow`, at that page there. */
  leaseSlab(client: number, sizeClass: number, overflow?: number): SlabLease | undefined {
    if (!Number.isInteger(sizeClass) || sizeClass < 0 || sizeClass >= SIZE_CLASSES.length) return undefined;
    const slab = this.#openSlab(client, sizeClass, overflow);
    if (slab === undefined) return undefined;
    this.letGo(client, sizeClass);
    this.#current.set(`${client}/${sizeClass}`, slab);
    return { slab: slab.id, offset: slab.firstPage * PAGE, bytes: SLAB_BYTES };
  }

  leaseDescriptors(client: number, count: number): ObjectHandle[] | undefined {
    if (this.#freeSlots.length + DESCRIPTORS - this.#descriptors.length < count) return undefined;
    return Array.from({ length: count }, () => this.#leaseDescriptor(client));
  }

  allocate(client: number, bytes: number, overflow?: number): Allocation | undefined {
    const pages = pagesOf(bytes);
    if (this.#freeSlots.length === 0 && this.#descriptors.length >= DESCRIPTORS) return undefined;
    const firstPage = this.#take(pages, 1, overflow);
    if (firstPage === undefined) return undefined;
    const handle = this.#leaseDescriptor(client);
    this.#occupy(handle.slot, firstPage, pages);
    this.#unplaced.get(client)?.delete(handle.slot);
    this.#placed(pages);
    return { ...handle, offset: firstPage * PAGE, bytes: pages * PAGE };
  }

  generationOf(slot: number): number | undefined {
    return this.#descriptors[slot]?.generation;
  }

  /** Descriptors that are leased to a client or hold its objects. */
  slotsOf(client: number): ReadonlySet<number> {
    return this.#slotsOf.get(client) ?? NO_SLOTS;
  }

  /** Of all clients and heirs. */
  *slots(): Iterable<number> {
    for (const slots of this.#slotsOf.values()) yield* slots;
  }

  /** Those of them of which nothing is noted yet. */
  unplacedOf(client: number): ReadonlySet<number> {
    return this.#unplaced.get(client) ?? NO_SLOTS;
  }

  /**
   * The creator wrote that its object starts at this page: believed only when it is a free chunk of a slab of that creator. A
   * repeat changes nothing.
   */
  note(slot: number, firstPage: number): void {
    const descriptor = this.#descriptors[slot];
    if (descriptor === undefined || descriptor.range !== undefined || descriptor.client === undefined) return;
    if (descriptor.evicted) return;
    const slab = this.#slabAt.get(firstPage - (firstPage % SLAB_PAGES));
    if (slab === undefined || slab.client !== descriptor.client) return;
    const pages = SIZE_CLASSES[slab.sizeClass];
    const chunk = (firstPage - slab.firstPage) / pages;
    if (!Number.isInteger(chunk) || chunk < 0 || chunk >= chunksPerSlab(slab.sizeClass) || slab.inUse.has(chunk)) return;
    slab.inUse.set(chunk, slot);
    this.#unplaced.get(descriptor.client)?.delete(slot);
    slab.usedAt = ++this.#useClock;
    descriptor.range = { firstPage, pages, slab, usedAt: slab.usedAt };
    this.#placed(pages);
  }

  /** What can be given back as a whole, by address. */
  units(): Unit[] {
    const units: Unit[] = [];
    for (const { firstPage, client, inUse, usedAt } of this.#slabAt.values()) {
      if (firstPage >= this.#overflowPage) continue;
      const isCarved = client !== undefined && client !== HOST;
      units.push({ firstPage, pages: SLAB_PAGES, usedAt, slots: isCarved ? undefined : [...inUse.values()] });
    }
    for (const slot of this.#large) {
      const { firstPage, pages, usedAt } = this.#descriptors[slot]?.range as Range;
      units.push({ firstPage, pages, usedAt, slots: [slot] });
    }
    return units.sort((one, other) => one.firstPage - other.firstPage);
  }

  /** Free ranges, by address. */
  gaps(): { readonly start: number; readonly pages: number }[] {
    return this.#ranges.gaps();
  }

  /** What each client and heir has here. */
  *holdings(): Iterable<readonly [client: number, { readonly objects: number; readonly bytes: number }]> {
    for (const [client, slots] of this.#slotsOf) {
      let objects = 0;
      let pages = 0;
      for (const slot of slots) {
        const range = this.#descriptors[slot]?.range;
        if (range === undefined) continue;
        objects += 1;
        pages += range.pages;
      }
      yield [client, { objects, bytes: pages * PAGE }];
    }
  }

  /** Somebody reads it now. */
  used(slot: number): void {
    const range = this.#descriptors[slot]?.range;
    if (range === undefined) return;
    range.usedAt = ++this.#useClock;
    if (range.slab !== undefined) range.slab.usedAt = range.usedAt;
  }

  isEvicted(slot: number, generation: number): boolean {
    const descriptor = this.#descriptors[slot];
    return descriptor !== undefined && descriptor.generation === generation && descriptor.evicted;
  }

  /** The object stays, its range is given back. Whoever calls has seen that nobody reads it. */
  evict(slot: number): void {
    const descriptor = this.#descriptors[slot] as Descriptor;
    this.#vacate(slot, descriptor);
    descriptor.evicted = true;
    this.#objects -= 1;
    this.#evicted += 1;
  }

  /** A range for an evicted object; undefined when there is none. */
  restore(slot: number, bytes: number, overflow?: number): { readonly firstPage: number; readonly pages: number } | undefined {
    const descriptor = this.#descriptors[slot] as Descriptor;
    const sizeClass = sizeClassOf(bytes);
    if (sizeClass === undefined || overflow !== undefined) {
      const firstPage = this.#take(pagesOf(bytes), 1, overflow);
      if (firstPage === undefined) return undefined;
      this.#occupy(slot, firstPage, pagesOf(bytes));
    } else {
      const slab = this.#restoringSlab(sizeClass);
      if (slab === undefined) return undefined;
      let chunk = 0;
      while (slab.inUse.has(chunk)) chunk += 1;
      slab.inUse.set(chunk, slot);
      slab.usedAt = ++this.#useClock;
      const pages = SIZE_CLASSES[sizeClass];
      descriptor.range = { firstPage: slab.firstPage + chunk * pages, pages, slab, usedAt: slab.usedAt };
    }
    descriptor.evicted = false;
    this.#objects += 1;
    this.#evicted -= 1;
    return descriptor.range;
  }

  /** The object of that descriptor is ended: later readers miss it. False when the pair was not in use. */
  condemn(slot: number, generation: number): boolean {
    const descriptor = this.#descriptors[slot];
    if (descriptor === undefined || descriptor.generation !== generation || descriptor.client === undefined) return false;
    if (descriptor.range !== undefined) this.#objects -= 1;
    if (descriptor.evicted) this.#evicted -= 1;
    descriptor.evicted = false;
    this.#slotsOf.get(descriptor.client)?.delete(slot);
    this.#unplaced.get(descriptor.client)?.delete(slot);
    descriptor.generation = (generation + 1) & 0x7fffffff;
    descriptor.client = undefined;
    this.#condemned.add(slot);
    return true;
  }

  /** No reader has it pinned: its range may be used again. */
  reuse(slot: number): void {
    if (!this.#condemned.delete(slot)) return;
    const descriptor = this.#descriptors[slot] as Descriptor;
    this.#freeSlots.push(slot);
    this.#vacate(slot, descriptor);
  }

  /** The client carves no more from that slab; what it noted there stays until it is freed. */
  letGo(client: number, sizeClass: number): void {
    const key = `${client}/${sizeClass}`;
    const slab = this.#current.get(key);
    if (slab === undefined) return;
    this.#current.delete(key);
    slab.client = undefined;
    this.#reclaim(slab);
  }

  /** Of all its slabs, or of those up to the one with that number. */
  letGoAll(client: number, upTo = Number.POSITIVE_INFINITY): void {
    for (let sizeClass = 0; sizeClass < SIZE_CLASSES.length; sizeClass += 1) {
      const slab = this.#current.get(`${client}/${sizeClass}`);
      if (slab !== undefined && slab.id <= upTo) this.letGo(client, sizeClass);
    }
  }

  /** What is left of a dead client's objects is counted for its heir from now on. */
  bequeath(client: number, heir: number): void {
    const slots = this.#slotsOf.get(client);
    this.#slotsOf.delete(client);
    this.#unplaced.delete(client);
    if (slots === undefined) return;
    const inherited = this.#slotsOf.get(heir) ?? new Set();
    for (const slot of slots) {
      (this.#descriptors[slot] as Descriptor).client = heir;
      inherited.add(slot);
    }
    this.#slotsOf.set(heir, inherited);
  }

  /** One object is counted for the heir from now on. False when the pair is not in use. */
  give(slot: number, generation: number, heir: number): boolean {
    const descriptor = this.#descriptors[slot];
    if (descriptor === undefined || descriptor.generation !== generation || descriptor.client === undefined) return false;
    this.#slotsOf.get(descriptor.client)?.delete(slot);
    this.#unplaced.get(descriptor.client)?.delete(slot);
    descriptor.client = heir;
    addTo(this.#slotsOf, heir, slot);
    return true;
  }

  validate(): void {
    this.#ranges.validate();
    for (const slab of this.#slabAt.values()) {
      for (const slot of slab.inUse.values())
        if (this.#descriptors[slot]?.range?.slab !== slab) throw new Error(`chunk of ${slot} is lost`);
    }
  }

  #take(pages: number, align: number, overflow: number | undefined): number | undefined {
    if (overflow === undefined) return this.#ranges.take(pages, align);
    this.#overflowPages += pages;
    return this.#overflowPage + overflow;
  }

  #give(firstPage: number, pages: number): void {
    if (firstPage < this.#overflowPage) return this.#ranges.give(firstPage, pages);
    this.#overflowPages -= pages;
    this.#overflowFreed(firstPage - this.#overflowPage, pages);
  }

  #occupy(slot: number, firstPage: number, pages: number): void {
    (this.#descriptors[slot] as Descriptor).range = { firstPage, pages, slab: undefined, usedAt: ++this.#useClock };
    if (firstPage < this.#overflowPage) this.#large.add(slot);
  }

  #vacate(slot: number, descriptor: Descriptor): void {
    const { range } = descriptor;
    descriptor.range = undefined;
    if (range === undefined) return;
    const { slab, firstPage, pages } = range;
    if (slab === undefined) {
      this.#large.delete(slot);
      return this.#give(firstPage, pages);
    }
    slab.inUse.delete((firstPage - slab.firstPage) / pages);
    if (slab.client === HOST && slab.inUse.size === 0) {
      slab.client = undefined;
      this.#restoring.delete(slab.sizeClass);
    }
    this.#reclaim(slab);
  }

  #openSlab(client: Slab["client"], sizeClass: number, overflow?: number): Slab | undefined {
    const firstPage = this.#take(SLAB_PAGES, SLAB_PAGES, overflow);
    if (firstPage === undefined) return undefined;
    const slab: Slab = { id: this.#nextSlab++, firstPage, sizeClass, client, inUse: new Map(), usedAt: ++this.#useClock };
    this.#slabAt.set(firstPage, slab);
    return slab;
  }

  #restoringSlab(sizeClass: number): Slab | undefined {
    const current = this.#restoring.get(sizeClass);
    if (current !== undefined && current.inUse.size < chunksPerSlab(sizeClass)) return current;
    const slab = this.#openSlab(HOST, sizeClass);
    if (slab === undefined) return undefined;
    if (current !== undefined) current.client = undefined;
    this.#restoring.set(sizeClass, slab);
    return slab;
  }

  #placed(pages: number): void {
    this.#objects += 1;
    this.#made += 1;
    this.#madePages += pages;
  }

  #leaseDescriptor(client: number): ObjectHandle {
    const slot = this.#freeSlots.pop() ?? this.#descriptors.push(undefined) - 1;
    const generation = this.#descriptors[slot]?.generation ?? 1;
    this.#descriptors[slot] = { generation, client, range: undefined, evicted: false };
    addTo(this.#slotsOf, client, slot);
    addTo(this.#unplaced, client, slot);
    return { slot, generation };
  }

  #reclaim(slab: Slab): void {
    if (slab.client !== undefined || slab.inUse.size > 0) return;
    this.#slabAt.delete(slab.firstPage);
    this.#give(slab.firstPage, SLAB_PAGES);
  }
}

function addTo(sets: Map<number, Set<number>>, key: number, value: number): void {
  const known = sets.get(key);
  if (known === undefined) sets.set(key, new Set([value]));
  else known.add(value);
}

const NO_SLOTS: ReadonlySet<number> = new Set();
