// The store inside one process: the same contract over plain memory. For simulation, and where there is no addon.
//
// Every reader gets copies of its own, so a reader's writes stay its own here too, and what it was given is detached when it
// releases. A sealed object moves to a new ArrayBuffer, which leaves its writer nothing to write into.

import { InvalidArgumentError } from "../errors.ts";
import { finalizers } from "../finalizers.ts";
import { isInside, isSize, pagesOf } from "./layout.ts";
import type {
  Allocation,
  Loan,
  ObjectHandle,
  ObjectOwner,
  ReadableObject,
  Restoration,
  SealedBytes,
  SealedObject,
  SlabLease,
  StoreBroker,
  StoreClient,
  StoreGrant,
  StoreHolder,
  StoreHost,
  StoreMap,
  StoreStats,
  StoreUnit,
  WritableObject,
} from "./store.ts";

interface LocalObject {
  readonly slot: number;
  readonly generation: number;
  client: number;
  owner: ObjectOwner | undefined;
  bytes: Uint8Array;
  sealed: boolean;
  pins: number;
  condemned: boolean;
  /** Its bytes are elsewhere: those here are none. */
  evicted: boolean;
  usedAt: number;
}

/** Finds the host of a grant: both are in this process. */
const HOSTS = new Map<string, LocalHost>();
let nextHost = 1;

export class LocalHost implements StoreHost {
  readonly #path = `local:${nextHost++}`;
  readonly capacity: number;
  readonly objects = new Map<number, LocalObject>();
  readonly #clients = new Map<number, string>();
  #nextClient = 0;
  #nextSlot = 0;
  #used = 0;
  #made = 0;
  #madeBytes = 0;
  #useClock = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    HOSTS.set(this.#path, this);
  }

  admit(owner: string): StoreGrant {
    const client = this.#nextClient++;
    this.#clients.set(client, owner);
    return { path: this.#path, capacity: this.capacity, client, layout: new Uint8Array(0), overflow: "" };
  }

  expel(client: number, heir: number): void {
    if (!this.#clients.delete(client)) return;
    for (const [slot, object] of [...this.objects]) {
      if (object.client !== client) continue;
      object.client = heir;
      if (!object.sealed) this.free({ slot, generation: object.generation });
    }
  }

  give({ slot, generation }: ObjectHandle, heir: number): boolean {
    const object = this.objects.get(slot);
    if (object === undefined || object.generation !== generation || !object.sealed || object.condemned) return false;
    object.client = heir;
    return true;
  }

  slab(): SlabLease | undefined {
    return undefined;
  }

  descriptors(): readonly ObjectHandle[] | undefined {
    return undefined;
  }

  allocate(client: number, bytes: number, overflow?: number): Allocation | undefined {
    if (overflow === undefined && this.#used + bytes > this.capacity) return undefined;
    const slot = this.#nextSlot++;
    this.#used += bytes;
    this.#made += 1;
    this.#madeBytes += bytes;
    this.objects.set(slot, {
      slot,
      generation: 1,
      client,
      owner: undefined,
      bytes: new Uint8Array(bytes),
      sealed: false,
      pins: 0,
      condemned: false,
      evicted: false,
      usedAt: ++this.#useClock,
    });
    return { slot, generation: 1, offset: 0, bytes };
  }

  /** There are no addresses: one unit follows the other. */
  map(): StoreMap {
    const units: StoreUnit[] = [];
    let firstPage = 0;
    for (const { slot, generation, bytes, sealed, pins, evicted, condemned, usedAt } of this.objects.values()) {
      const isMovable = sealed && pins === 0 && !condemned;
      const objects = isMovable ? [{ slot, generation, size: bytes.length }] : undefined;
      if (!evicted) units.push({ firstPage, pages: pagesOf(bytes.length), usedAt, objects });
      if (!evicted) firstPage += pagesOf(bytes.length);
    }
    const pages = Math.max(pagesOf(this.capacity), firstPage);
    return { pages, units, gaps: pages > firstPage ? [{ start: firstPage, pages: pages - firstPage }] : [] };
  }

  whereabouts({ slot, generation }: ObjectHandle): "here" | "evicted" | "gone" {
    const object = this.objects.get(slot);
    if (object === undefined || object.generation !== generation || object.condemned || !object.sealed) return "gone";
    return object.evicted ? "evicted" : "here";
  }

  bytesOf(handle: SealedObject): SealedBytes | undefined {
    const object = this.objects.get(handle.slot);
    if (object === undefined || this.whereabouts(handle) !== "here") return undefined;
    const { bytes } = object;
    return { chunk: (offset, length) => bytes.subarray(offset, offset + length), end: () => {} };
  }

  holders(): StoreHolder[] {
    const holders = new Map<string, StoreHolder>();
    for (const { client, bytes } of this.objects.values()) {
      const process = this.#clients.get(client) ?? "";
      const known = holders.get(process) ?? { process, pid: 0, objects: 0, bytes: 0, pinnedObjects: 0, pinnedBytes: 0 };
      holders.set(process, { ...known, objects: known.objects + 1, bytes: known.bytes + bytes.length });
    }
    return [...holders.values()].sort((one, other) => other.bytes - one.bytes);
  }

  evict(handle: ObjectHandle): boolean {
    const object = this.objects.get(handle.slot);
    if (object === undefined || object.pins > 0 || this.whereabouts(handle) !== "here") return false;
    this.#used -= object.bytes.length;
    object.bytes = NOTHING;
    object.evicted = true;
    return true;
  }

  restore({ slot, generation, size }: SealedObject, overflow?: number): Restoration | undefined {
    const object = this.objects.get(slot);
    if (object === undefined || this.whereabouts({ slot, generation }) !== "evicted") return undefined;
    if (overflow === undefined && this.#used + size > this.capacity) return undefined;
    const bytes = new Uint8Array(size);
    this.#used += size;
    return {
      chunk: (offset, length) => bytes.subarray(offset, offset + length),
      populate: () => Promise.resolve(),
      commit: () => {
        if (this.whereabouts({ slot, generation }) !== "evicted") {
          this.#used -= size;
          return false;
        }
        object.bytes = new Uint8Array(detached(bytes.buffer));
        object.evicted = false;
        object.usedAt = ++this.#useClock;
        return true;
      },
      abort: () => void (this.#used -= size),
    };
  }

  free({ slot, generation }: ObjectHandle): boolean {
    const object = this.objects.get(slot);
    if (object === undefined || object.generation !== generation || object.condemned) return false;
    object.condemned = true;
    this.reuse(slot);
    return true;
  }

  reuse(slot: number): boolean {
    const object = this.objects.get(slot);
    if (object === undefined || !object.condemned || object.pins > 0) return false;
    this.objects.delete(slot);
    this.#used -= object.bytes.length;
    return true;
  }

  sweep(): boolean {
    let freed = false;
    for (const slot of [...this.objects.keys()]) freed = this.reuse(slot) || freed;
    return freed;
  }

  ownedBy(owner: { readonly process: string } | { readonly node: string }): ObjectHandle[] {
    const isOf = (one: ObjectOwner | undefined) =>
      "process" in owner ? one?.process === owner.process : one?.node === owner.node;
    return [...this.objects.values()].filter((object) => object.sealed && !object.condemned && isOf(object.owner));
  }

  freeAllOf(client: number): void {
    for (const [slot, object] of [...this.objects])
      if (object.client === client) this.free({ slot, generation: object.generation });
  }

  health(): { beatAgeMs: number; turnAgeMs: number; runs: number } {
    return { beatAgeMs: 0, turnAgeMs: 0, runs: 0 };
  }

  stats(): StoreStats {
    const all = [...this.objects.values()];
    const condemned = all.filter((object) => object.condemned).length;
    return {
      capacity: this.capacity,
      used: this.#used,
      objects: all.filter((object) => !object.condemned && !object.evicted).length,
      freedAndPinned: condemned,
      made: this.#made,
      madeBytes: this.#madeBytes,
      clients: this.#clients.size,
      evicted: all.filter((object) => object.evicted).length,
      overflow: Math.max(0, this.#used - this.capacity),
    };
  }

  close(): void {
    HOSTS.delete(this.#path);
  }
}

export class LocalClient implements StoreClient {
  readonly #host: LocalHost;
  readonly #client: number;
  readonly #broker: StoreBroker;
  #pinnedObjects = 0;
  #pinnedBytes = 0;
  /** Readers that nobody released: their buffers are copies, so only the pin is left of them. */
  readonly #forgotten = finalizers<LocalObject>((object) => this.#unpin(object));
  #closed = false;

  constructor(grant: StoreGrant, broker: StoreBroker) {
    const host = HOSTS.get(grant.path);
    if (host === undefined) throw new InvalidArgumentError(`the store ${grant.path} is not in this process`);
    this.#host = host;
    this.#client = grant.client;
    this.#broker = broker;
  }

  runs(): number {
    return 0;
  }

  tryCreate(size: number): WritableObject | undefined {
    if (!isSize(size)) throw new InvalidArgumentError(`an object can't have ${size} bytes`);
    if (this.#closed) throw new InvalidArgumentError("the object store was closed");
    const allocation = this.#host.allocate(this.#client, size);
    return allocation === undefined ? undefined : this.#created(allocation);
  }

  async create(size: number): Promise<WritableObject> {
    return this.tryCreate(size) ?? this.#created(await this.#broker.allocate(size));
  }

  open({ slot, generation }: ObjectHandle): ReadableObject | undefined {
    const object = this.#host.objects.get(slot);
    if (this.#closed || object === undefined || object.generation !== generation) return undefined;
    if (object.condemned || !object.sealed || object.evicted) return undefined;
    object.pins += 1;
    this.#pinnedObjects += 1;
    this.#pinnedBytes += object.bytes.length;
    const reader = new LocalReader({ slot, generation }, object, () => {
      this.#forgotten.unregister(reader);
      this.#unpin(object);
    });
    this.#forgotten.register(reader, object, reader);
    return reader;
  }

  pinned(): { objects: number; bytes: number; share: number } {
    return { objects: this.#pinnedObjects, bytes: this.#pinnedBytes, share: this.#pinnedBytes / this.#host.capacity };
  }

  close(): void {
    this.#closed = true;
  }

  #unpin(object: LocalObject): void {
    object.pins -= 1;
    this.#pinnedObjects -= 1;
    this.#pinnedBytes -= object.bytes.length;
    this.#host.reuse(object.slot);
  }

  #created(allocation: Allocation): WritableObject {
    return new LocalCreated(this.#host, allocation, this.#host.objects.get(allocation.slot) as LocalObject);
  }
}

class LocalReader implements ReadableObject {
  readonly slot: number;
  readonly generation: number;
  readonly size: number;
  /** Copies: nobody but the reader has them, so they hold nothing back. */
  readonly unreferenced = true;
  readonly #object: LocalObject;
  readonly #unpin: () => void;
  readonly #copies: WeakRef<ArrayBuffer>[] = [];
  #released = false;

  constructor({ slot, generation }: ObjectHandle, object: LocalObject, unpin: () => void) {
    this.slot = slot;
    this.generation = generation;
    this.size = object.bytes.length;
    this.#object = object;
    this.#unpin = unpin;
  }

  buffer(offset = 0, length = this.size - offset): ArrayBuffer {
    if (this.#released) throw new InvalidArgumentError("the object was released before");
    if (!isInside(offset, length, this.size)) {
      throw new InvalidArgumentError(`${length} bytes at ${offset} are not in an object of ${this.size}`);
    }
    const copy = this.#object.bytes.slice(offset, offset + length).buffer as ArrayBuffer;
    this.#copies.push(new WeakRef(copy));
    return copy;
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    for (const weak of this.#copies.splice(0)) {
      const copy = weak.deref();
      if (copy !== undefined) detached(copy);
    }
    this.#unpin();
  }
}

class LocalCreated implements WritableObject {
  readonly slot: number;
  readonly generation: number;
  readonly size: number;
  readonly #host: LocalHost;
  readonly #object: LocalObject;
  #ended = false;
  #writing = 0;

  constructor(host: LocalHost, { slot, generation, bytes }: Allocation, object: LocalObject) {
    this.#host = host;
    this.#object = object;
    this.slot = slot;
    this.generation = generation;
    this.size = bytes;
  }

  get bytes(): Uint8Array {
    return this.#ended ? NOTHING : this.#object.bytes;
  }

  chunk(offset: number, length: number): Uint8Array {
    if (this.#ended) throw new InvalidArgumentError("the object was sealed or aborted before");
    if (!isInside(offset, length, this.size)) {
      throw new InvalidArgumentError(`${length} bytes at ${offset} do not fit an object of ${this.size}`);
    }
    return this.#object.bytes.subarray(offset, offset + length);
  }

  write(offset: number, source: Uint8Array): void {
    this.chunk(offset, source.length).set(source);
  }

  lend(offset: number, length: number, how: "read" | "written"): Loan {
    const bytes = this.chunk(offset, length);
    // The garbage collector takes memory that JavaScript has no more.
    if (how === "read") return { bytes: bytes.slice(), end: () => {} };
    this.#writing += 1;
    let open = 1;
    return {
      bytes,
      end: () => {
        this.#writing -= open;
        if (open > 0 && this.#writing === 0 && this.#ended) this.#drop();
        open = 0;
      },
    };
  }

  makePages(): undefined {
    return undefined;
  }

  seal(owner?: ObjectOwner): ObjectHandle {
    if (this.#ended) throw new InvalidArgumentError("the object was sealed or aborted before");
    if (this.#writing > 0) throw new InvalidArgumentError("the object is still being written");
    this.#end();
    this.#object.owner = owner;
    this.#object.sealed = true;
    return { slot: this.slot, generation: this.generation };
  }

  abort(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#writing === 0) this.#drop();
  }

  #drop(): void {
    this.#end();
    this.#host.free({ slot: this.slot, generation: this.generation });
  }

  #end(): void {
    this.#ended = true;
    this.#object.bytes = new Uint8Array(detached(this.#object.bytes.buffer as ArrayBuffer));
  }
}

/** Its bytes in another ArrayBuffer; every view of this one has length 0 from now on. Nothing is copied. */
function detached(buffer: ArrayBuffer): ArrayBuffer {
  return structuredClone(buffer, { transfer: [buffer] });
}

const NOTHING = new Uint8Array(0);
