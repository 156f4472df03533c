// The agent's side of the shared-memory store: makes the memories, keeps the books, grants, frees.
//
// The only writer of generations. It reads what clients wrote and believes none of it beyond its own books (store-books.ts).

import { type Native } from "../../native/index.ts";
import {
  CLIENTS, CONTROL_BYTES, clientAt, descriptorAt, FIRST_PAGE, FIRST_PIN, FREE, GENERATION, HEARTBEAT, LAST_TURN, LAYOUT_VERSION, LEASED,
  MAGIC, PINS, SEALED, SIZE_HIGH, SIZE_LOW, STATE,
} from "./layout.ts";
import type { Allocation, ObjectHandle, SlabLease, StoreGrant, StoreHost, StoreStats } from "./store.ts";
import { StoreBooks } from "./store-books.ts";

const NEVER_MS = Number.MAX_SAFE_INTEGER;
const CLOCK_MASK = 0x7fffffff;

export function createSharedStore(native: Native, capacity: number): StoreHost {
  const data = native.createMemory(capacity);
  const control = native.createMemory(CONTROL_BYTES);
  return new SharedHost(native, capacity, pathOf(data), pathOf(control));
}

/** Readable by processes of the same user while this process lives; there is no name to guess and none to leave behind. */
function pathOf(fd: number): string {
  return `/proc/${process.pid}/fd/${fd}`;
}

class SharedHost implements StoreHost {
  readonly #native: Native;
  readonly #capacity: number;
  readonly #dataPath: string;
  readonly #controlPath: string;
  readonly #words: Int32Array;
  readonly #books: StoreBooks;
  readonly #clients: (string | undefined)[] = [];

  constructor(native: Native, capacity: number, dataPath: string, controlPath: string) {
    this.#native = native;
    this.#capacity = capacity;
    this.#dataPath = dataPath;
    this.#controlPath = controlPath;
    this.#words = new Int32Array(native.mapShared(controlPath, 0, CONTROL_BYTES, false));
    this.#words[0] = MAGIC;
    this.#words[1] = LAYOUT_VERSION;
    this.#books = new StoreBooks(capacity);
  }

  admit(owner: string): StoreGrant {
    let client = this.#clients.findIndex((one) => one === undefined);
    if (client < 0) client = this.#clients.length;
    if (client >= CLIENTS) throw new Error(`the object store has ${CLIENTS} clients already`);
    this.#clients[client] = owner;
    this.#words.fill(0, clientAt(client), clientAt(client) + FIRST_PIN + PINS);
    return { path: this.#dataPath, capacity: this.#capacity, client, layout: Buffer.from(this.#controlPath) };
  }

  expel(client: number, heir: number): void {
    if (this.#clients[client] === undefined) return;
    this.#clients[client] = undefined;
    this.#noteChunks(client);
    const words = this.#words;
    words.fill(0, clientAt(client), clientAt(client) + FIRST_PIN + PINS);
    for (const slot of [...this.#books.slotsOf(client)]) {
      // What it sealed belongs to the owner; what it did not is nobody's.
      if (words[descriptorAt(slot) + STATE] !== SEALED) this.free({ slot, generation: this.#books.generationOf(slot) as number });
    }
    this.#books.letGoAll(client);
    this.#books.bequeath(client, heir);
    this.sweep();
  }

  slab(client: number, sizeClass: number): SlabLease | undefined {
    this.#noteChunks(client);
    return this.#books.leaseSlab(client, sizeClass);
  }

  descriptors(client: number, count: number): readonly ObjectHandle[] | undefined {
    const handles = this.#books.leaseDescriptors(client, Math.min(count, DESCRIPTORS_A_LEASE));
    for (const handle of handles ?? []) this.#lease(handle);
    return handles;
  }

  allocate(client: number, bytes: number): Allocation | undefined {
    const allocation = this.#books.allocate(client, bytes);
    if (allocation === undefined) return undefined;
    this.#lease(allocation);
    return allocation;
  }

  free({ slot, generation }: ObjectHandle): boolean {
    const at = descriptorAt(slot);
    const first = this.#words[at + FIRST_PAGE];
    if (first > 0) this.#books.note(slot, first - 1);
    if (!this.#books.condemn(slot, generation)) return false;
    // First the generation, then the look at the pins: a reader that pinned before will be seen, one that pins later backs off.
    Atomics.store(this.#words, at + GENERATION, this.#books.generationOf(slot) as number);
    Atomics.store(this.#words, at + STATE, FREE);
    if (!this.#pinned().has(slot)) this.#books.reuse(slot);
    return true;
  }

  sweep(): boolean {
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

  freeAllOf(client: number): void {
    if (client >= 0) this.#noteChunks(client);
    for (const slot of [...this.#books.slotsOf(client)]) this.free({ slot, generation: this.#books.generationOf(slot) as number });
  }

  health(client: number): { beatAgeMs: number; turnAgeMs: number } {
    const now = this.#native.monotonicMs();
    const age = (word: number) => (word === 0 ? NEVER_MS : (now - word) & CLOCK_MASK);
    const at = clientAt(client);
    return { beatAgeMs: age(this.#words[at + HEARTBEAT]), turnAgeMs: age(this.#words[at + LAST_TURN]) };
  }

  stats(): StoreStats {
    return {
      capacity: this.#capacity,
      used: this.#books.usedBytes,
      objects: this.#books.objects,
      freedAndPinned: this.#books.condemned.size,
      clients: this.#clients.filter((one) => one !== undefined).length,
    };
  }

  /** The memories end with the last process that has them mapped. */
  close(): void {}

  #lease({ slot, generation }: ObjectHandle): void {
    const at = descriptorAt(slot);
    this.#words[at + FIRST_PAGE] = 0;
    this.#words[at + SIZE_LOW] = 0;
    this.#words[at + SIZE_HIGH] = 0;
    Atomics.store(this.#words, at + GENERATION, generation);
    Atomics.store(this.#words, at + STATE, LEASED);
  }

  /** Learns which chunks of its slabs a client uses, before a slab changes hands. */
  #noteChunks(client: number): void {
    for (const slot of this.#books.slotsOf(client)) {
      const first = this.#words[descriptorAt(slot) + FIRST_PAGE];
      if (first > 0) this.#books.note(slot, first - 1);
    }
  }

  #pinned(): Set<number> {
    const pinned = new Set<number>();
    for (let client = 0; client < this.#clients.length; client += 1) {
      const from = clientAt(client) + FIRST_PIN;
      for (let word = from; word < from + PINS; word += 1) {
        const pin = Atomics.load(this.#words, word);
        if (pin !== 0) pinned.add(pin - 1);
      }
    }
    return pinned;
  }
}

const DESCRIPTORS_A_LEASE = 64;
