// The host's own books: who leased which slab and descriptor, what each object occupies, what waits for its readers.
//
// Pure: no shared memory here. What a client wrote into shared memory is only ever compared with these books; they outrank
// it. A slab is given back when its client has let go of it and none of its chunks is in use; a client lets go by asking for
// the next slab of that class, or by dying.

import type { Allocation, ObjectHandle, SlabLease } from "./store.ts";
import { chunksPerSlab, DESCRIPTORS, PAGE, pagesOf, SIZE_CLASSES, SLAB_BYTES } from "./layout.ts";
import { PageRanges } from "./page-ranges.ts";

const SLAB_PAGES = SLAB_BYTES / PAGE;

interface Slab {
  readonly id: number;
  readonly firstPage: number;
  readonly sizeClass: number;
  /** Undefined once its client has let go of it. */
  client: number | undefined;
  /** Descriptors of its chunks that are in use, by chunk. */
  readonly inUse: Map<number, number>;
}

interface Descriptor {
  generation: number;
  /** Its creator; undefined while it is free or condemned. */
  client: number | undefined;
  /** What it occupies once that is known: pages of its own, or a chunk of a slab. */
  range: { readonly firstPage: number; readonly pages: number; readonly slab: Slab | undefined } | undefined;
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
  #nextSlab = 1;
  #objects = 0;
  #made = 0;
  #madePages = 0;

  constructor(capacityBytes: number) {
    this.#ranges = new PageRanges(Math.floor(capacityBytes / PAGE));
  }

  get usedBytes(): number {
    return this.#ranges.usedPages * PAGE;
  }
  get objects(): number {
    return this.#objects;
  }
  get made(): { readonly made: number; readonly madeBytes: number } {
    return { made: this.#made, madeBytes: this.#madePages * PAGE };
  }
  /** Freed objects whose range waits for its readers. */
  get condemned(): ReadonlySet<number> {
    return this.#condemned;
  }

  leaseSlab(client: number, sizeClass: number): SlabLease | undefined {
    if (!Number.isInteger(sizeClass) || sizeClass < 0 || sizeClass >= SIZE_CLASSES.length) return undefined;
    const key = `${client}/${sizeClass}`;
    const firstPage = this.#ranges.take(SLAB_PAGES, SLAB_PAGES);
    if (firstPage === undefined) return undefined;
    this.letGo(client, sizeClass);
    const slab: Slab = { id: this.#nextSlab++, firstPage, sizeClass, client, inUse: new Map() };
    this.#slabAt.set(firstPage, slab);
    this.#current.set(key, slab);
    return { slab: slab.id, offset: firstPage * PAGE, bytes: SLAB_BYTES };
  }

  leaseDescriptors(client: number, count: number): ObjectHandle[] | undefined {
    if (this.#freeSlots.length + DESCRIPTORS - this.#descriptors.length < count) return undefined;
    return Array.from({ length: count }, () => this.#leaseDescriptor(client));
  }

  allocate(client: number, bytes: number): Allocation | undefined {
    const pages = pagesOf(bytes);
    if (this.#freeSlots.length === 0 && this.#descriptors.length >= DESCRIPTORS) return undefined;
    const firstPage = this.#ranges.take(pages);
    if (firstPage === undefined) return undefined;
    const handle = this.#leaseDescriptor(client);
    const descriptor = this.#descriptors[handle.slot] as Descriptor;
    descriptor.range = { firstPage, pages, slab: undefined };
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
    const slab = this.#slabAt.get(firstPage - (firstPage % SLAB_PAGES));
    if (slab === undefined || slab.client !== descriptor.client) return;
    const pages = SIZE_CLASSES[slab.sizeClass];
    const chunk = (firstPage - slab.firstPage) / pages;
    if (!Number.isInteger(chunk) || chunk < 0 || chunk >= chunksPerSlab(slab.sizeClass) || slab.inUse.has(chunk)) return;
    slab.inUse.set(chunk, slot);
    this.#unplaced.get(descriptor.client)?.delete(slot);
    descriptor.range = { firstPage, pages, slab };
    this.#placed(pages);
  }

  /** The object of that descriptor is ended: later readers miss it. False when the pair was not in use. */
  condemn(slot: number, generation: number): boolean {
    const descriptor = this.#descriptors[slot];
    if (descriptor === undefined || descriptor.generation !== generation || descriptor.client === undefined) return false;
    if (descriptor.range !== undefined) this.#objects -= 1;
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
    const { range } = descriptor;
    descriptor.range = undefined;
    this.#freeSlots.push(slot);
    if (range === undefined) return;
    const { slab, firstPage, pages } = range;
    if (slab === undefined) return this.#ranges.give(firstPage, pages);
    slab.inUse.delete((firstPage - slab.firstPage) / pages);
    this.#reclaim(slab);
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

  #placed(pages: number): void {
    this.#objects += 1;
    this.#made += 1;
    this.#madePages += pages;
  }

  #leaseDescriptor(client: number): ObjectHandle {
    const slot = this.#freeSlots.pop() ?? this.#descriptors.push(undefined) - 1;
    const generation = this.#descriptors[slot]?.generation ?? 1;
    this.#descriptors[slot] = { generation, client, range: undefined };
    addTo(this.#slotsOf, client, slot);
    addTo(this.#unplaced, client, slot);
    return { slot, generation };
  }

  #reclaim(slab: Slab): void {
    if (slab.client !== undefined || slab.inUse.size > 0) return;
    this.#slabAt.delete(slab.firstPage);
    this.#ranges.give(slab.firstPage, SLAB_PAGES);
  }
}

function addTo(sets: Map<number, Set<number>>, key: number, value: number): void {
  const known = sets.get(key);
  if (known === undefined) sets.set(key, new Set([value]));
  else known.add(value);
}

const NO_SLOTS: ReadonlySet<number> = new Set();
