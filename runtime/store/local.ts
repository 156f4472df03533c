// The store inside one process: the same contract over plain memory. For simulation, and where there is no addon.
//
// Objects are copied in at seal and every reader gets a copy of its own, so a reader's writes stay its own here too.

import { InvalidArgumentError } from "../errors.ts";
import type {
  Allocation, ObjectHandle, ReadableObject, SlabLease, StoreBroker, StoreClient, StoreGrant, StoreHost, StoreStats, WritableObject,
} from "./store.ts";

interface LocalObject {
  readonly generation: number;
  client: number;
  bytes: Uint8Array;
  sealed: boolean;
  pins: number;
  condemned: boolean;
}

/** Finds the host of a grant: both are in this process. */
const HOSTS = new Map<string, LocalHost>();
let nextHost = 1;

export class LocalHost implements StoreHost {
  readonly #path = `local:${nextHost++}`;
  readonly #capacity: number;
  readonly objects = new Map<number, LocalObject>();
  readonly #clients = new Map<number, string>();
  #nextClient = 0;
  #nextSlot = 0;
  #used = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
    HOSTS.set(this.#path, this);
  }

  admit(owner: string): StoreGrant {
    const client = this.#nextClient++;
    this.#clients.set(client, owner);
    return { path: this.#path, capacity: this.#capacity, client, layout: new Uint8Array(0) };
  }

  expel(client: number, heir: number): void {
    if (!this.#clients.delete(client)) return;
    for (const [slot, object] of [...this.objects]) {
      if (object.client !== client) continue;
      object.client = heir;
      if (!object.sealed) this.free({ slot, generation: object.generation });
    }
  }

  slab(): SlabLease | undefined {
    return undefined;
  }

  descriptors(): readonly ObjectHandle[] | undefined {
    return undefined;
  }

  allocate(client: number, bytes: number): Allocation | undefined {
    if (this.#used + bytes > this.#capacity) return undefined;
    const slot = this.#nextSlot++;
    this.#used += bytes;
    this.objects.set(slot, { generation: 1, client, bytes: new Uint8Array(bytes), sealed: false, pins: 0, condemned: false });
    return { slot, generation: 1, offset: 0, bytes };
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

  freeAllOf(client: number): void {
    for (const [slot, object] of [...this.objects]) if (object.client === client) this.free({ slot, generation: object.generation });
  }

  health(): { beatAgeMs: number; turnAgeMs: number } {
    return { beatAgeMs: 0, turnAgeMs: 0 };
  }

  stats(): StoreStats {
    const all = [...this.objects.values()];
    const condemned = all.filter((object) => object.condemned).length;
    return {
      capacity: this.#capacity, used: this.#used, objects: all.length - condemned, freedAndPinned: condemned, clients: this.#clients.size,
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

  constructor(grant: StoreGrant, broker: StoreBroker) {
    const host = HOSTS.get(grant.path);
    if (host === undefined) throw new InvalidArgumentError(`the store ${grant.path} is not in this process`);
    this.#host = host;
    this.#client = grant.client;
    this.#broker = broker;
  }

  tryCreate(size: number): WritableObject | undefined {
    const allocation = this.#host.allocate(this.#client, size);
    return allocation === undefined ? undefined : this.#created(allocation);
  }

  async create(size: number): Promise<WritableObject> {
    return this.tryCreate(size) ?? this.#created(await this.#broker.allocate(size));
  }

  open({ slot, generation }: ObjectHandle): ReadableObject | undefined {
    const object = this.#host.objects.get(slot);
    if (object === undefined || object.generation !== generation || object.condemned || !object.sealed) return undefined;
    object.pins += 1;
    this.#pinnedObjects += 1;
    this.#pinnedBytes += object.bytes.length;
    let released = false;
    return {
      slot, generation, size: object.bytes.length,
      // A copy a reader: nothing has to be detached, and nobody sees another's writes.
      buffer: (offset = 0, length = object.bytes.length - offset) => {
        if (!(offset >= 0 && length >= 0 && offset + length <= object.bytes.length)) {
          throw new InvalidArgumentError(`${length} bytes at ${offset} are not in an object of ${object.bytes.length}`);
        }
        return object.bytes.slice(offset, offset + length).buffer as ArrayBuffer;
      },
      unreferenced: true,
      release: () => {
        if (released) return;
        released = true;
        object.pins -= 1;
        this.#pinnedObjects -= 1;
        this.#pinnedBytes -= object.bytes.length;
        this.#host.reuse(slot);
      },
    };
  }

  pinned(): { objects: number; bytes: number } {
    return { objects: this.#pinnedObjects, bytes: this.#pinnedBytes };
  }

  close(): void {}

  #created(allocation: Allocation): WritableObject {
    return new LocalCreated(this.#host, allocation, this.#host.objects.get(allocation.slot) as LocalObject);
  }
}

class LocalCreated implements WritableObject {
  readonly slot: number;
  readonly generation: number;
  readonly size: number;
  readonly #host: LocalHost;
  readonly #object: LocalObject;
  #ended = false;

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
    if (!(offset >= 0 && length >= 0 && offset + length <= this.size)) {
      throw new InvalidArgumentError(`${length} bytes at ${offset} do not fit an object of ${this.size}`);
    }
    return this.#object.bytes.subarray(offset, offset + length);
  }

  write(offset: number, source: Uint8Array): void {
    this.chunk(offset, source.length).set(source);
  }

  seal(): ObjectHandle {
    if (this.#ended) throw new InvalidArgumentError("the object was sealed or aborted before");
    this.#ended = true;
    this.#object.sealed = true;
    return { slot: this.slot, generation: this.generation };
  }

  abort(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#host.free({ slot: this.slot, generation: this.generation });
  }
}

const NOTHING = new Uint8Array(0);
