// The host's books under random histories of honest and lying clients: no range has two owners, none is lost or freed twice.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chunksPerSlab, PAGE, SIZE_CLASSES, SLAB_BYTES, sizeClassOf } from "../../../runtime/store/layout.ts";
import { StoreBooks } from "../../../runtime/store/store-books.ts";
import type { ObjectHandle, SlabLease } from "../../../runtime/store/store.ts";

const SLABS = 6;
const CAPACITY = SLABS * SLAB_BYTES;
const CLIENTS = 3;
const HEIR = -1;

interface Carved {
  readonly slab: SlabLease;
  readonly sizeClass: number;
  next: number;
}
interface Known extends ObjectHandle {
  client: number;
  readonly first: number;
  readonly pages: number;
}

/** A model of clients that carve as SharedClient does, and of readers' pins. */
class Model {
  readonly books = new StoreBooks(CAPACITY);
  readonly slabs = new Map<string, Carved>();
  readonly live: Known[] = [];
  /** Freed under a pin: their ranges are nobody's yet. */
  readonly condemned: Known[] = [];
  readonly pinned = new Set<number>();

  lease(client: number, sizeClass: number): void {
    const slab = this.books.leaseSlab(client, sizeClass);
    if (slab === undefined) return;
    expect(slab.offset % SLAB_BYTES).toBe(0);
    expect(slab.bytes).toBe(SLAB_BYTES);
    this.slabs.set(`${client}/${sizeClass}`, { slab, sizeClass, next: 0 });
  }

  carve(client: number, sizeClass: number): void {
    const open = this.slabs.get(`${client}/${sizeClass}`);
    if (open === undefined || open.next >= chunksPerSlab(sizeClass)) return this.lease(client, sizeClass);
    const [handle] = this.books.leaseDescriptors(client, 1) ?? [];
    if (handle === undefined) return;
    const pages = SIZE_CLASSES[sizeClass];
    const first = open.slab.offset / PAGE + open.next * pages;
    open.next += 1;
    this.add({ ...handle, client, first, pages });
    this.books.note(handle.slot, first);
    // A repeat and a lie change nothing.
    this.books.note(handle.slot, first);
    this.books.note(handle.slot, 0);
  }

  allocate(client: number, bytes: number): void {
    const made = this.books.allocate(client, bytes);
    if (made !== undefined) this.add({ ...made, client, first: made.offset / PAGE, pages: made.bytes / PAGE });
  }

  add(known: Known): void {
    expect((known.first + known.pages) * PAGE).toBeLessThanOrEqual(CAPACITY);
    for (const other of [...this.live, ...this.condemned]) {
      const apart = known.first >= other.first + other.pages || other.first >= known.first + known.pages;
      expect(apart, `pages ${known.first}+${known.pages} and ${other.first}+${other.pages}`).toBe(true);
    }
    this.live.push(known);
  }

  free(which: number): void {
    const [known] = this.live.splice(which % Math.max(1, this.live.length), 1);
    if (known === undefined) return;
    expect(this.books.condemn(known.slot, known.generation)).toBe(true);
    expect(this.books.condemn(known.slot, known.generation)).toBe(false);
    this.condemned.push(known);
    this.reuse();
  }

  pin(which: number): void {
    const all = [...this.live, ...this.condemned];
    if (all.length > 0) this.pinned.add(all[which % all.length].slot);
  }

  unpin(): void {
    this.pinned.clear();
    this.reuse();
  }

  reuse(): void {
    for (const known of this.condemned.splice(0)) {
      if (this.pinned.has(known.slot)) this.condemned.push(known);
      else this.books.reuse(known.slot);
    }
  }

  end(client: number): void {
    for (const key of [...this.slabs.keys()]) if (key.startsWith(`${client}/`)) this.slabs.delete(key);
    this.books.letGoAll(client);
    this.books.bequeath(client, HEIR);
    for (const known of this.live) if (known.client === client) known.client = HEIR;
  }

  check(): void {
    this.books.validate();
    expect(this.books.objects).toBe(this.live.length);
    expect(this.books.condemned.size).toBe(this.condemned.length);
    for (const client of [HEIR, 0, 1, 2]) {
      const expected = this.live.filter((known) => known.client === client).map(({ slot }) => slot);
      expect([...this.books.slotsOf(client)].sort()).toEqual(expected.sort());
    }
  }
}

const client = fc.integer({ min: 0, max: CLIENTS - 1 });
const sizeClass = fc.constantFrom(0, 14, 24, SIZE_CLASSES.length - 1);
const bytes = fc.integer({ min: 1, max: 3 * SLAB_BYTES });
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("carve" as const), client, sizeClass }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("allocate" as const), client, bytes }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("free" as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("pin" as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("unpin" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("end" as const), client }) },
);

describe("the host's books", () => {
  it("give no page twice and lose none, whatever clients do", () => {
    fc.assert(fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
      const model = new Model();
      for (const one of steps) {
        if (one.kind === "carve") model.carve(one.client, one.sizeClass);
        else if (one.kind === "allocate") model.allocate(one.client, one.bytes);
        else if (one.kind === "free") model.free(one.which);
        else if (one.kind === "pin") model.pin(one.which);
        else if (one.kind === "unpin") model.unpin();
        else model.end(one.client);
        model.check();
      }
      for (let at = 0; at < CLIENTS; at += 1) model.end(at);
      while (model.live.length > 0) model.free(0);
      model.unpin();
      expect(model.books.usedBytes).toBe(0);
      expect(model.books.allocate(0, CAPACITY)?.offset).toBe(0);
    }), { numRuns: 300 });
  });

  it("believe a client only about free chunks of its own slabs", () => {
    const books = new StoreBooks(CAPACITY);
    const mine = books.leaseSlab(0, 0) as SlabLease;
    const theirs = books.leaseSlab(1, 0) as SlabLease;
    const [first, second, third] = books.leaseDescriptors(0, 3) as ObjectHandle[];
    books.note(first.slot, theirs.offset / PAGE);
    books.note(first.slot, mine.offset / PAGE + 0.5);
    books.note(first.slot, -1);
    books.note(first.slot, Number.NaN);
    books.note(first.slot, CAPACITY / PAGE + 5);
    expect(books.objects).toBe(0);
    books.note(first.slot, mine.offset / PAGE);
    books.note(second.slot, mine.offset / PAGE);
    expect(books.objects).toBe(1);
    const wide = books.leaseSlab(0, 5) as SlabLease;
    books.note(third.slot, wide.offset / PAGE + 1);
    expect(books.objects).toBe(1);
    books.validate();
  });

  it("never give a pair of slot and generation twice", () => {
    const books = new StoreBooks(CAPACITY);
    const seen = new Set<string>();
    for (let times = 0; times < 1000; times += 1) {
      const { slot, generation } = books.allocate(0, PAGE) as ObjectHandle;
      expect(seen.has(`${slot}/${generation}`)).toBe(false);
      seen.add(`${slot}/${generation}`);
      books.condemn(slot, generation);
      books.reuse(slot);
    }
  });

  it("refuse classes that there are not", () => {
    const books = new StoreBooks(CAPACITY);
    for (const odd of [-1, 0.5, SIZE_CLASSES.length, Number.NaN]) expect(books.leaseSlab(0, odd)).toBeUndefined();
  });
});

describe("size classes", () => {
  it("rise by an eighth at most, from one page to 512 KiB", () => {
    expect(SIZE_CLASSES[0]).toBe(1);
    expect(SIZE_CLASSES.at(-1)).toBe(128);
    for (const [index, pages] of SIZE_CLASSES.entries()) {
      const next = SIZE_CLASSES[index + 1];
      if (next !== undefined) expect(next).toBeLessThanOrEqual(Math.max(pages + 1, pages * 1.125));
      expect(chunksPerSlab(index) * pages * PAGE).toBeLessThanOrEqual(SLAB_BYTES);
    }
  });

  it("hold what they are chosen for, and no smaller one would", () => {
    for (let bytes = 1; bytes <= 512 * 1024; bytes += 509) {
      const chosen = sizeClassOf(bytes) as number;
      expect(SIZE_CLASSES[chosen] * PAGE).toBeGreaterThanOrEqual(bytes);
      if (chosen > 0) expect(SIZE_CLASSES[chosen - 1] * PAGE).toBeLessThan(bytes);
    }
    expect(sizeClassOf(512 * 1024 + 1)).toBeUndefined();
  });
});
