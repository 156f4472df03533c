// A process's side of the shared-memory store: carves its slabs, writes in place, reads privately (pins.ts).

import type { Mapping, Native } from "../../native/index.ts";
import { InvalidArgumentError, ObjectStoreFullError } from "../errors.ts";
import { CreatedObject, type CreatedParts, WHOLE_MAX_BYTES } from "./created-object.ts";
import {
  CLIENT_WORDS,
  chunksPerSlab,
  CONTROL_BYTES,
  clientAt,
  descriptorAt,
  FIRST_PAGE,
  FIRST_PIN,
  isSize,
  LAST_TURN,
  LAYOUT_VERSION,
  MAGIC,
  PAGE,
  PID,
  RECALL,
  RETURNED,
  SIZE_CLASSES,
  sizeClassOf,
  STARTED,
} from "./layout.ts";
import { Pins } from "./pins.ts";
import { startedAt } from "./process-age.ts";
import type { ObjectHandle, ReadableObject, StoreBroker, StoreClient, StoreGrant, WritableObject } from "./store.ts";

const DESCRIPTORS_A_LEASE = 32;
const TURN_EVERY_MS = 100;

interface OpenSlab {
  readonly mapping: Mapping;
  readonly bytes: Uint8Array;
  readonly firstPage: number;
  readonly chunks: number;
  next: number;
}

export class SharedClient implements StoreClient {
  readonly #native: Native;
  readonly #broker: StoreBroker;
  readonly #grant: StoreGrant;
  readonly #words: Int32Array;
  readonly #created: CreatedParts;
  readonly #pins: Pins;
  readonly #slabs = new Map<number, OpenSlab>();
  readonly #slabsComing = new Map<number, Promise<void>>();
  readonly #descriptors: ObjectHandle[] = [];
  #descriptorsComing: Promise<void> | undefined;
  /** Numbers of slabs rise; those up to `#returned` are no longer carved. */
  #newestSlab = 0;
  #returned = 0;
  #recall = 0;
  #block: number | undefined;
  readonly #turns: NodeJS.Timeout;
  #closed = false;

  constructor(native: Native, grant: StoreGrant, broker: StoreBroker) {
    this.#native = native;
    this.#grant = grant;
    this.#broker = broker;
    const controlPath = Buffer.from(grant.layout).toString();
    this.#words = new Int32Array(native.mapShared(controlPath, 0, CONTROL_BYTES));
    if (this.#words[0] !== MAGIC || this.#words[1] !== LAYOUT_VERSION) {
      throw new InvalidArgumentError(
        `the node's object store has layout ${this.#words[1]}, this process knows ${LAYOUT_VERSION}`,
      );
    }
    this.#created = { native, words: this.#words, client: grant.client };
    const at = clientAt(grant.client);
    this.#words[at + PID] = process.pid;
    this.#words[at + STARTED] = startedAt("self") ?? 0;
    this.#block = native.joinBlock(controlPath, at * 4, CLIENT_WORDS * 4, FIRST_PIN * 4);
    this.#pins = new Pins(native, grant, this.#words, () => this.#leave());
    this.#turned();
    this.#turns = setInterval(() => this.#turned(), TURN_EVERY_MS).unref();
  }

  tryCreate(size: number): WritableObject | undefined {
    if (!isSize(size)) throw new InvalidArgumentError(`an object can't have ${size} bytes`);
    const sizeClass = sizeClassOf(size);
    if (sizeClass === undefined) return undefined;
    const slab = this.#slabs.get(sizeClass);
    if (slab === undefined || slab.next >= slab.chunks) return undefined;
    const handle = this.#descriptors.pop();
    if (handle === undefined) return undefined;
    const pages = SIZE_CLASSES[sizeClass];
    const firstPage = slab.firstPage + slab.next * pages;
    const offset = slab.next * pages * PAGE;
    slab.next += 1;
    this.#words[descriptorAt(handle.slot) + FIRST_PAGE] = firstPage + 1;
    const bytes = slab.bytes.subarray(offset, offset + size);
    return new CreatedObject(this.#created, handle, size, { bytes, slab: slab.mapping, slabOffset: offset });
  }

  async create(size: number): Promise<WritableObject> {
    if (!isSize(size)) throw new InvalidArgumentError(`an object can't have ${size} bytes`);
    const sizeClass = sizeClassOf(size);
    if (sizeClass === undefined) return this.#createLarge(size);
    for (;;) {
      if (this.#closed) throw new InvalidArgumentError("the object store was closed");
      const created = this.tryCreate(size);
      if (created !== undefined) return created;
      if (this.#descriptors.length === 0) await this.#moreDescriptors();
      const slab = this.#slabs.get(sizeClass);
      if (slab === undefined || slab.next >= slab.chunks) await this.#nextSlab(sizeClass);
    }
  }

  open(handle: ObjectHandle): ReadableObject | undefined {
    return this.#closed ? undefined : this.#pins.open(handle);
  }

  pinned(): { objects: number; bytes: number } {
    return { objects: this.#pins.objects, bytes: this.#pins.bytes };
  }

  /** What is still viewed stays pinned, and valid, until it is collected or this process ends. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#turns);
    this.#slabs.clear();
    this.#leave();
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #turned(): void {
    const at = clientAt(this.#grant.client);
    this.#words[at + LAST_TURN] = this.#native.monotonicMs();
    const recall = Atomics.load(this.#words, at + RECALL);
    if (recall === this.#recall) return;
    this.#recall = recall;
    this.#slabs.clear();
    this.#returned = this.#newestSlab;
    Atomics.store(this.#words, at + RETURNED, this.#returned);
  }

  /**
   * The block is watched by the native thread until the last pin is cleared: it clears the pins of a thread that is
   * terminated.
   */
  #leave(): void {
    if (!this.#closed || this.#block === undefined || this.#pins.objects > 0) return;
    this.#native.leaveBlock(this.#block);
    this.#block = undefined;
  }

  async #createLarge(size: number): Promise<WritableObject> {
    const allocation = await this.#broker.allocate(size);
    this.#words[descriptorAt(allocation.slot) + FIRST_PAGE] = allocation.offset / PAGE + 1;
    if (size > WHOLE_MAX_BYTES) {
      return new CreatedObject(this.#created, allocation, size, { path: this.#grant.path, offset: allocation.offset });
    }
    const mapping = this.#native.mapShared(this.#grant.path, allocation.offset, Math.min(allocation.bytes, WHOLE_MAX_BYTES));
    const object = new CreatedObject(this.#created, allocation, size, { mapping });
    try {
      await this.#populate(mapping);
    } catch (error) {
      object.abort();
      throw error;
    }
    return object;
  }

  /** Takes the memory now, so that a full machine is an error here and not a signal at the first write. */
  async #populate(mapping: ArrayBuffer): Promise<void> {
    try {
      await this.#native.populate(mapping, 0, mapping.byteLength);
    } catch (error) {
      throw new ObjectStoreFullError(`this machine has no memory for ${mapping.byteLength} bytes of its object store`, {}, error);
    }
  }

  #moreDescriptors(): Promise<void> {
    this.#descriptorsComing ??= this.#broker
      .descriptors(DESCRIPTORS_A_LEASE)
      .then((handles) => void this.#descriptors.push(...handles))
      .finally(() => (this.#descriptorsComing = undefined));
    return this.#descriptorsComing;
  }

  /** Asking for the next slab lets go of the full one: nothing is carved from it any more. */
  #nextSlab(sizeClass: number): Promise<void> {
    let coming = this.#slabsComing.get(sizeClass);
    if (coming === undefined) {
      this.#slabs.delete(sizeClass);
      coming = this.#openSlab(sizeClass).finally(() => this.#slabsComing.delete(sizeClass));
      this.#slabsComing.set(sizeClass, coming);
    }
    return coming;
  }

  async #openSlab(sizeClass: number): Promise<void> {
    const lease = await this.#broker.slab(sizeClass);
    this.#newestSlab = Math.max(this.#newestSlab, lease.slab);
    const mapping = this.#native.mapRange(this.#grant.path, lease.offset, lease.bytes, true);
    const whole = this.#native.view(mapping, 0, lease.bytes);
    await this.#populate(whole);
    if (lease.slab <= this.#returned) return;
    const bytes = new Uint8Array(whole);
    this.#slabs.set(sizeClass, { mapping, bytes, firstPage: lease.offset / PAGE, chunks: chunksPerSlab(sizeClass), next: 0 });
  }
}
