// The agent's side of the shared-memory store: makes the memories, keeps the books, grants, frees.
//
// The only writer of generations. It reads what clients wrote and believes none of it beyond its own books (store-books.ts).

import type { Native } from "../../native/index.ts";
import { ObjectStoreFullError } from "../errors.ts";
import {
  ABORTED,
  ABORTS,
  CLIENTS,
  CONTROL_BYTES,
  clientAt,
  DESCRIPTORS,
  DESCRIPTOR_WORDS,
  descriptorAt,
  EVICTED,
  FIRST_PAGE,
  FIRST_PIN,
  FREE,
  GENERATION,
  HEARTBEAT,
  LAST_TURN,
  LAYOUT_VERSION,
  LEASED,
  MAGIC,
  OWNER_NODE,
  OWNER_PROCESS,
  ownerWords,
  PAGE,
  pagesOf,
  PID,
  PINS,
  RUNS,
  PINS_USED,
  RECALL,
  RETURNED,
  SEALED,
  SIZE_HIGH,
  SIZE_LOW,
  STARTED,
  STATE,
} from "./layout.ts";
import { HostRange } from "./host-range.ts";
import { placeOf } from "./overflow-place.ts";
import { ANY_TENANT, PageTenants } from "./page-tenants.ts";
import { isAlive } from "./process-age.ts";
import type {
  Allocation, ObjectHandle, Overflow, Restoration, SealedBytes, SealedObject, SlabLease, StoreGrant, StoreHolder, StoreHost,
  StoreMap, StoreStats, StoreUnit, Tenancy,
} from "./store.ts";
import { StoreBooks } from "./store-books.ts";

const NEVER_MS = Number.MAX_SAFE_INTEGER;
const CLOCK_MASK = 0x7fffffff;

export function createSharedStore(native: Native, capacity: number, overflow: Overflow = NO_OVERFLOW): StoreHost {
  const data = native.createMemory(capacity);
  const control = native.createMemory(CONTROL_BYTES);
  return new SharedHost(native, capacity, overflow, [data, control]);
}

export const NO_OVERFLOW: Overflow = { path: "", freed: () => {} };

/** Readable by processes of the same user while this process lives; there is no name to guess and none to leave behind. */
function pathOf(fd: number): string {
  return `/proc/${process.pid}/fd/${fd}`;
}

class SharedHost implements StoreHost {
  readonly #native: Native;
  readonly #capacity: number;
  readonly #memories: readonly number[];
  readonly #dataPath: string;
  readonly #place: Pick<StoreGrant, "path" | "capacity" | "overflow">;
  readonly #controlPath: string;
  readonly #words: Int32Array;
  readonly #books: StoreBooks;
  readonly #tenants: PageTenants;
  readonly #clients: (Client | undefined)[] = [];
  /** Slots whose ranges this process works on: freed meanwhile, they are reused by nobody yet. */
  readonly #busy = new Set<number>();
  #closed = false;

  constructor(native: Native, capacity: number, overflow: Overflow, [data, control]: readonly [number, number]) {
    this.#native = native;
    this.#capacity = capacity;
    this.#memories = [data, control];
    this.#dataPath = pathOf(data);
    this.#place = { path: this.#dataPath, capacity, overflow: overflow.path };
    this.#controlPath = pathOf(control);
    this.#words = new Int32Array(native.mapShared(this.#controlPath, 0, CONTROL_BYTES));
    this.#words[0] = MAGIC;
    this.#words[1] = LAYOUT_VERSION;
    this.#tenants = new PageTenants(capacity);
    this.#books = new StoreBooks(capacity, (page, pages) => overflow.freed(page, pages));
  }

  admit(owner: string): StoreGrant {
    let client = this.#clients.findIndex((one) => one === undefined);
    if (client < 0) client = this.#clients.length;
    if (client >= CLIENTS) throw new ObjectStoreFullError(`the object store has ${CLIENTS} clients, which is the most it can`);
    this.#clients[client] = { owner, departed: false, aborts: 0, returned: 0 };
    this.#clearBlock(client);
    return { ...this.#place, client, layout: Buffer.from(this.#controlPath) };
  }

  expel(client: number, heir: number): void {
    const known = this.#clients[client];
    if (known === undefined || known.departed) return;
    this.#noteChunks(client);
    for (const slot of this.#books.slotsOf(client)) {
      // What it sealed belongs to the owner; what it did not is nobody's.
      if (!this.#isWhole(slot)) this.#condemn(slot, this.#books.generationOf(slot) as number);
    }
    this.#books.letGoAll(client);
    this.#books.bequeath(client, heir);
    known.departed = true;
    this.#forgetDeparted();
    this.sweep();
  }

  give({ slot, generation }: ObjectHandle, heir: number): boolean {
    if (!isSlot(slot) || !this.#isWhole(slot)) return false;
    const at = descriptorAt(slot);
    const first = this.#words[at + FIRST_PAGE];
    if (first > 0) this.#books.note(slot, first - 1);
    return this.#books.give(slot, generation, heir);
  }

  slab(client: number, sizeClass: number, overflow?: number): SlabLease | undefined {
    this.#noteChunks(client);
    this.#takeReturned(client);
    const lease = this.#books.leaseSlab(client, sizeClass, overflow);
    if (lease === undefined) this.#recallSlabs();
    else this.#tenants.take(lease.offset / PAGE, lease.bytes / PAGE, ANY_TENANT);
    return lease;
  }

  descriptors(client: number, count: number): readonly ObjectHandle[] | undefined {
    const handles = this.#books.leaseDescriptors(client, Math.min(count, DESCRIPTORS_A_LEASE));
    for (const handle of handles ?? []) this.#lease(handle);
    return handles;
  }

  allocate(client: number, bytes: number, overflow?: number, { tenant, isSeen } = OF_ANYBODY): Allocation | undefined {
    const allocation = this.#books.allocate(client, bytes, overflow);
    if (allocation === undefined) {
      this.#recallSlabs();
      return undefined;
    }
    const [firstPage, pages] = [allocation.offset / PAGE, allocation.bytes / PAGE];
    if (isSeen && !this.#tenants.isOwn(firstPage, pages, tenant)) {
      this.#native.punch(this.#memories[0], allocation.offset, allocation.bytes);
    }
    this.#tenants.take(firstPage, pages, tenant);
    this.#lease(allocation);
    return allocation;
  }

  map(): StoreMap {
    for (let client = 0; client < this.#clients.length; client += 1) this.#noteChunks(client);
    const pinned = this.#pinned();
    for (const slot of pinned) this.#books.used(slot);
    const units = this.#books.units().map(({ firstPage, pages, usedAt, slots }): StoreUnit => {
      const isMovable = slots?.every((slot) => !pinned.has(slot) && this.#words[descriptorAt(slot) + STATE] === SEALED);
      return { firstPage, pages, usedAt, objects: isMovable ? slots?.map((slot) => this.#sealedObject(slot)) : undefined };
    });
    return { pages: Math.floor(this.#capacity / PAGE), units, gaps: this.#books.gaps() };
  }

  whereabouts({ slot, generation }: ObjectHandle): "here" | "evicted" | "gone" {
    if (!isSlot(slot) || this.#books.generationOf(slot) !== generation) return "gone";
    // What is being read for the disk is here; what is being filled from there is not yet.
    if (Atomics.load(this.#words, descriptorAt(slot) + STATE) === SEALED) return "here";
    return this.#books.isEvicted(slot, generation) || this.#busy.has(slot) ? "evicted" : "gone";
  }

  /** First the state changes, then the pins are looked at: a reader that pinned before is seen, one that pins later backs off. */
  evict(handle: ObjectHandle): boolean {
    if (this.whereabouts(handle) !== "here") return false;
    const { slot } = handle;
    const at = descriptorAt(slot);
    this.#books.note(slot, this.#words[at + FIRST_PAGE] - 1);
    Atomics.store(this.#words, at + STATE, EVICTED);
    if (this.#pinned().has(slot)) {
      Atomics.store(this.#words, at + STATE, SEALED);
      return false;
    }
    this.#words[at + FIRST_PAGE] = 0;
    this.#books.evict(slot);
    return true;
  }

  restore({ slot, generation, size }: SealedObject, overflow?: number): Restoration | undefined {
    if (!this.#books.isEvicted(slot, generation)) return undefined;
    const range = this.#books.restore(slot, size, overflow);
    if (range === undefined) {
      this.#recallSlabs();
      return undefined;
    }
    const memory = this.#rangeAt(range.firstPage, range.pages);
    this.#tenants.take(range.firstPage, range.pages, ANY_TENANT);
    this.#busy.add(slot);
    const end = () => {
      memory.end();
      this.#busy.delete(slot);
      return this.#books.generationOf(slot) === generation;
    };
    return {
      chunk: (offset, length) => memory.chunk(offset, length),
      populate: () => memory.populate(),
      commit: () => {
        if (!end()) return false;
        this.#words[descriptorAt(slot) + FIRST_PAGE] = range.firstPage + 1;
        Atomics.store(this.#words, descriptorAt(slot) + STATE, SEALED);
        return true;
      },
      abort: () => {
        if (end()) this.#books.evict(slot);
      },
    };
  }

  bytesOf(object: SealedObject): SealedBytes | undefined {
    const { slot, size } = object;
    const isFree = this.whereabouts(object) === "here" && !this.#busy.has(slot);
    const firstPage = isFree ? this.#words[descriptorAt(slot) + FIRST_PAGE] - 1 : -1;
    const place = placeOf(this.#place, firstPage * PAGE);
    // What is in the overflow is on disk already.
    if (firstPage < 0 || place.path !== this.#dataPath || place.offset + size > this.#capacity) return undefined;
    const memory = this.#rangeAt(firstPage, pagesOf(size));
    this.#busy.add(slot);
    return {
      chunk: (offset, length) => memory.chunk(offset, length),
      end: () => {
        memory.end();
        this.#busy.delete(slot);
      },
    };
  }

  holders(): StoreHolder[] {
    const holders = new Map<string, StoreHolder>();
    this.#clients.forEach((known, client) => known !== undefined && holders.set(known.owner, this.#holderOf(known, client)));
    for (const [client, { objects, bytes }] of this.#books.holdings()) {
      const process = this.#clients[client]?.owner ?? "";
      const known = holders.get(process) ?? { process, pid: 0, objects: 0, bytes: 0, pinnedObjects: 0, pinnedBytes: 0 };
      holders.set(process, { ...known, objects: known.objects + objects, bytes: known.bytes + bytes });
    }
    const weight = ({ bytes, pinnedBytes }: StoreHolder) => bytes + pinnedBytes;
    return [...holders.values()].filter(weight).sort((one, other) => weight(other) - weight(one));
  }

  free({ slot, generation }: ObjectHandle): boolean {
    if (!this.#condemn(slot, generation)) return false;
    if (!this.#pinned().has(slot)) this.#books.reuse(slot);
    return true;
  }

  sweep(): boolean {
    this.#takeAborted();
    for (let client = 0; client < this.#clients.length; client += 1) this.#takeReturned(client);
    this.#forgetDeparted();
    if (this.#books.condemned.size === 0) return false;
    const pinned = this.#pinned();
    let freed = false;
    for (const slot of [...this.#books.condemned]) {
      if (pinned.has(slot)) continue;
      this.#books.reuse(slot);
      freed = true;
    }
    return freed;
  }

  ownedBy(owner: { readonly process: string } | { readonly node: string }): ObjectHandle[] {
    const [first, second] = ownerWords("process" in owner ? owner.process : owner.node);
    const words = this.#words;
    const isOf = (at: number) => "process" in owner
      ? words[at + OWNER_PROCESS] === first && words[at + OWNER_PROCESS + 1] === second
      : words[at + OWNER_NODE] === first;
    const found: ObjectHandle[] = [];
    for (const slot of this.#books.slots()) {
      const at = descriptorAt(slot);
      if (!this.#isWhole(slot) || !isOf(at)) continue;
      found.push({ slot, generation: this.#books.generationOf(slot) as number });
    }
    return found;
  }

  freeAllOf(client: number): void {
    if (client >= 0) this.#noteChunks(client);
    for (const slot of [...this.#books.slotsOf(client)]) this.#condemn(slot, this.#books.generationOf(slot) as number);
    this.sweep();
  }

  health(client: number): { beatAgeMs: number; turnAgeMs: number; runs: number } {
    const now = this.#native.monotonicMs();
    const age = (word: number) => (word === 0 ? NEVER_MS : (now - word) & CLOCK_MASK);
    const [beat, turn] = [HEARTBEAT, LAST_TURN].map((word) => this.#words[clientAt(client) + word]);
    return { beatAgeMs: age(beat), turnAgeMs: age(turn), runs: this.#words[clientAt(client) + RUNS] };
  }

  stats(): StoreStats {
    for (let client = 0; client < this.#clients.length; client += 1) this.#noteChunks(client);
    return {
      capacity: this.#capacity,
      used: this.#books.usedBytes,
      objects: this.#books.objects,
      freedAndPinned: this.#books.condemned.size,
      ...this.#books.made,
      clients: this.#clients.filter((one) => one !== undefined && !one.departed).length,
      evicted: this.#books.evicted,
      overflow: this.#books.overflowBytes,
    };
  }

  /** Nobody can open the memories any more; they end with the last process that has them mapped. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const memory of this.#memories) this.#native.closeMemory(memory);
  }

  /**
   * Readers miss the object from now on. First the generation changes, and the caller looks at the pins after that: a reader
   * that pinned before will be seen, one that pins later backs off.
   */
  #condemn(slot: number, generation: number): boolean {
    if (!isSlot(slot)) return false;
    const at = descriptorAt(slot);
    const first = this.#words[at + FIRST_PAGE];
    if (first > 0) this.#books.note(slot, first - 1);
    if (!this.#books.condemn(slot, generation)) return false;
    Atomics.store(this.#words, at + GENERATION, this.#books.generationOf(slot) as number);
    Atomics.store(this.#words, at + STATE, FREE);
    return true;
  }

  /** Sealed, here or elsewhere. */
  #isWhole(slot: number): boolean {
    const state = Atomics.load(this.#words, descriptorAt(slot) + STATE);
    return state === SEALED || state === EVICTED;
  }

  #sealedObject(slot: number): SealedObject {
    const at = descriptorAt(slot);
    const size = (this.#words[at + SIZE_LOW] >>> 0) + this.#words[at + SIZE_HIGH] * 2 ** 32;
    return { slot, generation: this.#books.generationOf(slot) as number, size };
  }

  /** Objects that their creators gave up, as those say themselves. */
  #takeAborted(): void {
    this.#clients.forEach((known, client) => {
      if (known === undefined || known.departed) return;
      const aborts = Atomics.load(this.#words, clientAt(client) + ABORTS);
      if (aborts === known.aborts) return;
      known.aborts = aborts;
      for (const slot of this.#books.slotsOf(client)) {
        if (Atomics.load(this.#words, descriptorAt(slot) + STATE) === ABORTED) {
          this.#condemn(slot, this.#books.generationOf(slot) as number);
        }
      }
    });
  }

  /** There is no room: whoever has slabs it does not fill is asked to let go of them. */
  #recallSlabs(): void {
    this.#clients.forEach((known, client) => {
      if (known === undefined || known.departed) return;
      Atomics.add(this.#words, clientAt(client) + RECALL, 1);
    });
  }

  /** The client carves no more from any slab up to the one whose number it wrote. */
  #takeReturned(client: number): void {
    const known = this.#clients[client];
    if (known === undefined || known.departed) return;
    const returned = Atomics.load(this.#words, clientAt(client) + RETURNED);
    if (returned === known.returned) return;
    known.returned = returned;
    this.#noteChunks(client);
    this.#books.letGoAll(client, returned);
  }

  /**
   * A client that left but whose process lives may still look at what it has pinned, and clears its pins when it no longer
   * does. Its block is given to nobody else before.
   */
  #forgetDeparted(): void {
    this.#clients.forEach((known, client) => {
      if (known === undefined || !known.departed) return;
      const at = clientAt(client);
      if (this.#hasPins(client) && isAlive(this.#words[at + PID], this.#words[at + STARTED])) return;
      this.#clearBlock(client);
      this.#clients[client] = undefined;
    });
  }

  #clearBlock(client: number): void {
    const { end } = this.#pinRange(client);
    this.#words.fill(0, clientAt(client), end);
  }

  #rangeAt(firstPage: number, pages: number): HostRange {
    return new HostRange(this.#native, placeOf(this.#place, firstPage * PAGE), pages);
  }

  #holderOf({ owner }: Client, client: number): StoreHolder {
    const { from, end } = this.#pinRange(client);
    const pinned = new Set(this.#words.subarray(from, end));
    pinned.delete(0);
    let pinnedBytes = 0;
    for (const pin of pinned) if (isSlot(pin - 1)) pinnedBytes += this.#sealedObject(pin - 1).size;
    const pid = this.#words[clientAt(client) + PID];
    return { process: owner, pid, objects: 0, bytes: 0, pinnedObjects: pinned.size, pinnedBytes };
  }

  #hasPins(client: number): boolean {
    const { from, end } = this.#pinRange(client);
    for (let word = from; word < end; word += 1) if (Atomics.load(this.#words, word) !== 0) return true;
    return false;
  }

  #pinRange(client: number): { from: number; end: number } {
    const from = clientAt(client) + FIRST_PIN;
    const used = Atomics.load(this.#words, clientAt(client) + PINS_USED);
    return { from, end: from + Math.min(Math.max(used, 0), PINS) };
  }

  #lease({ slot, generation }: ObjectHandle): void {
    const at = descriptorAt(slot);
    this.#words[at + FIRST_PAGE] = 0;
    this.#words[at + SIZE_LOW] = 0;
    this.#words[at + SIZE_HIGH] = 0;
    this.#words.fill(0, at + OWNER_PROCESS, at + DESCRIPTOR_WORDS);
    Atomics.store(this.#words, at + GENERATION, generation);
    Atomics.store(this.#words, at + STATE, LEASED);
  }

  /** Learns which chunks of its slabs a client uses, before a slab changes hands. */
  #noteChunks(client: number): void {
    for (const slot of this.#books.unplacedOf(client)) {
      const first = this.#words[descriptorAt(slot) + FIRST_PAGE];
      if (first > 0) this.#books.note(slot, first - 1);
    }
  }

  #pinned(): Set<number> {
    const pinned = new Set(this.#busy);
    for (let client = 0; client < this.#clients.length; client += 1) {
      if (this.#clients[client] === undefined) continue;
      const { from, end } = this.#pinRange(client);
      for (let word = from; word < end; word += 1) {
        const pin = Atomics.load(this.#words, word);
        if (pin !== 0) pinned.add(pin - 1);
      }
    }
    return pinned;
  }
}

function isSlot(slot: number): boolean {
  return Number.isInteger(slot) && slot >= 0 && slot < DESCRIPTORS;
}

interface Client {
  readonly owner: string;
  /** Its channel is closed; its process may live on with views of what it had read. */
  departed: boolean;
  /** Its count of aborted objects that is dealt with. */
  aborts: number;
  /** It let go of its slabs up to this one. */
  returned: number;
}

const DESCRIPTORS_A_LEASE = 64;
const OF_ANYBODY: Tenancy = { tenant: ANY_TENANT, isSeen: false };
