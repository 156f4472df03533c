// A process's side of the shared-memory store: carves its slabs, writes in place, reads privately (pins.ts).

import type { Mapping, Native } from "../../native/index.ts";
import { InvalidArgumentError } from "../errors.ts";
import { CreatedObject, type CreatedParts, noMemory, WHOLE_MAX_BYTES } from "./created-object.ts";
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
  PINS,
  RUNS,
  RECALL,
  RETURNED,
  SIZE_CLASSES,
  sizeClassOf,
  STARTED,
} from "./layout.ts";
import { type Kept, KeptMappings } from "./kept-mappings.ts";
import { Pins } from "./pins.ts";
import { placeOf } from "./overflow-place.ts";
import { startedAt } from "./process-age.ts";
import type { ObjectHandle, ReadableObject, StoreBroker, StoreClient, StoreGrant, WritableObject } from "./store.ts";

const DESCRIPTORS_A_LEASE = 32;
/** How soon a recall of slabs is seen by a client that makes objects, and by one that made none lately. */
const TURN_EVERY_MS = 100;
const IDLE_TURN_EVERY_MS = 1000;

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
  /** Objects that are neither sealed nor aborted: a client that closes leaves nobody anything to write into. */
  readonly #open = new Set<CreatedObject>();
  readonly #kept: KeptMappings;
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
  #turn: NodeJS.Timeout | undefined;
  /** Since the last turn. */
  #madeSome = false;
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
    this.#kept = new KeptMappings(grant.capacity);
    this.#created = {
      native,
      words: this.#words,
      client: grant.client,
      hold: (slot) => this.#pins.hold(slot),
      ended: (object, kept) => {
        this.#open.delete(object);
        if (kept !== undefined && !this.#closed && object.isInMemory && object.areMade) this.#kept.give(kept);
      },
    };
    const at = clientAt(grant.client);
    this.#words[at + PID] = process.pid;
    this.#words[at + STARTED] = startedAt("self") ?? 0;
    this.#block = native.joinBlock(controlPath, at * 4, CLIENT_WORDS * 4, FIRST_PIN * 4);
    this.#pins = new Pins(native, grant, this.#words, () => this.#leave());
    this.#turned();
  }

  runs(tag: number): number {
    const at = clientAt(this.#grant.client) + RUNS;
    const before = this.#words[at];
    this.#words[at] = tag;
    return before;
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
    return this.#begin(new CreatedObject(this.#created, handle, size, { bytes, mapping: slab.mapping, offset }));
  }

  async create(size: number, pages: "now" | "later" = "now", isSeen = false): Promise<WritableObject> {
    if (!isSize(size)) throw new InvalidArgumentError(`an object can't have ${size} bytes`);
    const sizeClass = sizeClassOf(size);
    if (sizeClass === undefined) return this.#createLarge(size, pages, isSeen);
    for (;;) {
      if (this.#closed) throw closedError();
      const created = this.tryCreate(size);
      if (created !== undefined) return created;
      if (this.#descriptors.length === 0) await this.#moreDescriptors();
      const slab = this.#slabs.get(sizeClass);
      if (slab === undefined || slab.next >= slab.chunks) await this.#nextSlab(sizeClass);
    }
  }

  open(handle: ObjectHandle, fresh = false): ReadableObject | undefined {
    return this.#closed ? undefined : this.#pins.open(handle, fresh);
  }

  pinned(): { objects: number; bytes: number; share: number } {
    const { objects, bytes } = this.#pins;
    return { objects, bytes, share: Math.max(objects / PINS, bytes / this.#grant.capacity) };
  }

  /** What is still viewed stays pinned, and valid, until it is collected or this process ends. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#turn);
    for (const object of [...this.#open]) object.abort();
    this.#slabs.clear();
    this.#kept.clear();
    this.#leave();
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #turned(): void {
    this.#turn = setTimeout(() => this.#turned(), this.#madeSome ? TURN_EVERY_MS : IDLE_TURN_EVERY_MS).unref();
    this.#madeSome = false;
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

  #begin(object: CreatedObject): CreatedObject {
    this.#open.add(object);
    this.#madeSome = true;
    // Closed while the host answered: whoever asked gets an object that ended.
    if (this.#closed) object.abort();
    return object;
  }

  async #createLarge(size: number, pages: "now" | "later", isSeen: boolean): Promise<WritableObject> {
    const allocation = await this.#broker.allocate(size, isSeen);
    const { bytes } = allocation;
    this.#words[descriptorAt(allocation.slot) + FIRST_PAGE] = allocation.offset / PAGE + 1;
    const { path, offset } = placeOf(this.#grant, allocation.offset);
    if (size > WHOLE_MAX_BYTES) return this.#begin(new CreatedObject(this.#created, allocation, size, { path, offset }));
    const known = path === this.#grant.path ? this.#kept.take(offset, bytes) : undefined;
    const kept: Kept = known ?? { mapping: this.#native.mapRange(path, offset, bytes, true), offset, bytes };
    const isInMemory = path === this.#grant.path;
    const part = { mapping: kept.mapping, offset: offset - kept.offset, kept, isInMemory };
    const object = this.#begin(new CreatedObject(this.#created, allocation, size, part));
    if (known !== undefined) return object;
    if (pages === "later") {
      object.leaveUnmade();
      return object;
    }
    try {
      await object.populate();
    } catch (error) {
      object.abort();
      throw this.#closed ? closedError() : error;
    }
    return object;
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
    const place = placeOf(this.#grant, lease.offset);
    const mapping = this.#native.mapRange(place.path, place.offset, lease.bytes, true);
    const whole = this.#native.view(mapping, 0, lease.bytes);
    try {
      await this.#native.populate(whole, 0, whole.byteLength);
    } catch (error) {
      throw this.#closed ? closedError() : noMemory(lease.bytes, error);
    }
    if (lease.slab <= this.#returned) return;
    const bytes = new Uint8Array(whole);
    this.#slabs.set(sizeClass, { mapping, bytes, firstPage: lease.offset / PAGE, chunks: chunksPerSlab(sizeClass), next: 0 });
  }
}

function closedError(): InvalidArgumentError {
  return new InvalidArgumentError("the object store was closed");
}
