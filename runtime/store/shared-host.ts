// The agent's side of the shared-memory store: makes the memories, keeps the books, grants, frees.
//
// The only writer of generations. It reads what clients wrote and believes none of it beyond its own books (store-books.ts).

import type { Native } from "../../native/index.ts";
import { ObjectStoreFullError } from "../errors.ts";
import {
  ABORTED,
  ABORTS,
  CLIENT_WORDS,
  CLIENTS,
  CONTROL_BYTES,
  clientAt,
  DESCRIPTORS,
  DESCRIPTOR_WORDS,
  descriptorAt,
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
  PID,
  PINS,
  PINS_USED,
  RECALL,
  RETURNED,
  SEALED,
  SIZE_HIGH,
  SIZE_LOW,
  STARTED,
  STATE,
} from "./layout.ts";
import { isAlive } from "./process-age.ts";
import type { Allocation, ObjectHandle, SlabLease, StoreGrant, StoreHost, StoreStats } from "./store.ts";
import { StoreBooks } from "./store-books.ts";

const NEVER_MS = Number.MAX_SAFE_INTEGER;
const CLOCK_MASK = 0x7fffffff;

export function createSharedStore(native: Native, capacity: number): StoreHost {
  const data = native.createMemory(capacity);
  const control = native.createMemory(CONTROL_BYTES);
  return new SharedHost(native, capacity, data, control);
}

/** Readable by processes of the same user while this process lives; there is no name to guess and none to leave behind. */
function pathOf(fd: number): string {
  return `/proc/${process.pid}/fd/${fd}`;
}

class SharedHost implements StoreHost {
  readonly #native: Native;
  readonly #capacity: number;
  readonly #memories: readonly number[];
  readonly #dataPath: string;
  readonly #controlPath: string;
  readonly #words: Int32Array;
  readonly #books: StoreBooks;
  readonly #clients: (Client | undefined)[] = [];
  #closed = false;

  constructor(native: Native, capacity: number, data: number, control: number) {
    this.#native = native;
    this.#capacity = capacity;
    this.#memories = [data, control];
    this.#dataPath = pathOf(data);
    this.#controlPath = pathOf(control);
    this.#words = new Int32Array(native.mapShared(this.#controlPath, 0, CONTROL_BYTES));
    this.#words[0] = MAGIC;
    this.#words[1] = LAYOUT_VERSION;
    this.#books = new StoreBooks(capacity);
  }

  admit(owner: string): StoreGrant {
    let client = this.#clients.findIndex((one) => one === undefined);
    if (client < 0) client = this.#clients.length;
    if (client >= CLIENTS) throw new ObjectStoreFullError(`the object store has ${CLIENTS} clients, which is the most it can`);
    this.#clients[client] = { owner, departed: false, aborts: 0, returned: 0 };
    this.#clearBlock(client);
    return { path: this.#dataPath, capacity: this.#capacity, client, layout: Buffer.from(this.#controlPath) };
  }

  expel(client: number, heir: number): void {
    const known = this.#clients[client];
    if (known === undefined || known.departed) return;
    this.#noteChunks(client);
    for (const slot of this.#books.slotsOf(client)) {
      // What it sealed belongs to the owner; what it did not is nobody's.
      if (this.#words[descriptorAt(slot) + STATE] !== SEALED) this.#condemn(slot, this.#books.generationOf(slot) as number);
    }
    this.#books.letGoAll(client);
    this.#books.bequeath(client, heir);
    known.departed = true;
    this.#forgetDeparted();
    this.sweep();
  }

  give({ slot, generation }: ObjectHandle, heir: number): boolean {
    if (!Number.isInteger(slot) || slot < 0 || slot >= DESCRIPTORS) return false;
    const at = descriptorAt(slot);
    if (Atomics.load(this.#words, at + STATE) !== SEALED) return false;
    const first = this.#words[at + FIRST_PAGE];
    if (first > 0) this.#books.note(slot, first - 1);
    return this.#books.give(slot, generation, heir);
  }

  slab(client: number, sizeClass: number): SlabLease | undefined {
    this.#noteChunks(client);
    this.#takeReturned(client);
    const lease = this.#books.leaseSlab(client, sizeClass);
    if (lease === undefined) this.#recallSlabs();
    return lease;
  }

  descriptors(client: number, count: number): readonly ObjectHandle[] | undefined {
    const handles = this.#books.leaseDescriptors(client, Math.min(count, DESCRIPTORS_A_LEASE));
    for (const handle of handles ?? []) this.#lease(handle);
    return handles;
  }

  allocate(client: number, bytes: number): Allocation | undefined {
    const allocation = this.#books.allocate(client, bytes);
    if (allocation === undefined) {
      this.#recallSlabs();
      return undefined;
    }
    this.#lease(allocation);
    return allocation;
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
      if (words[at + STATE] !== SEALED || !isOf(at)) continue;
      found.push({ slot, generation: this.#books.generationOf(slot) as number });
    }
    return found;
  }

  freeAllOf(client: number): void {
    if (client >= 0) this.#noteChunks(client);
    for (const slot of [...this.#books.slotsOf(client)]) this.#condemn(slot, this.#books.generationOf(slot) as number);
    this.sweep();
  }

  health(client: number): { beatAgeMs: number; turnAgeMs: number } {
    const now = this.#native.monotonicMs();
    const age = (word: number) => (word === 0 ? NEVER_MS : (now - word) & CLOCK_MASK);
    const at = clientAt(client);
    return { beatAgeMs: age(this.#words[at + HEARTBEAT]), turnAgeMs: age(this.#words[at + LAST_TURN]) };
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
    if (!Number.isInteger(slot) || slot < 0 || slot >= DESCRIPTORS) return false;
    const at = descriptorAt(slot);
    const first = this.#words[at + FIRST_PAGE];
    if (first > 0) this.#books.note(slot, first - 1);
    if (!this.#books.condemn(slot, generation)) return false;
    Atomics.store(this.#words, at + GENERATION, this.#books.generationOf(slot) as number);
    Atomics.store(this.#words, at + STATE, FREE);
    return true;
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
    this.#words.fill(0, clientAt(client), clientAt(client) + CLIENT_WORDS);
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
    const pinned = new Set<number>();
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
