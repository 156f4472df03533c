// A process's side of the shared-memory store: carves its slabs, writes in place, reads privately, pins what it reads.
//
// To release an object: (1) detach the buffers that JavaScript can still reach, (2) give the private pages back, (3) only then clear the
// pin. If (2) fails the pin stays. When every buffer handed out was garbage collected, the same happens by itself without (1).

import type { Native } from "../../native/index.ts";
import { ObjectStoreFullError } from "../errors.ts";
import {
  chunksPerSlab, CONTROL_BYTES, clientAt, descriptorAt, FIRST_PAGE, FIRST_PIN, GENERATION, HEARTBEAT, LAYOUT_VERSION, MAGIC, PAGE, PINS,
  SEALED, SIZE_CLASSES, SIZE_HIGH, SIZE_LOW, sizeClassOf, STATE,
} from "./layout.ts";
import type { ObjectHandle, ReadableObject, StoreBroker, StoreClient, StoreGrant, WritableObject } from "./store.ts";

const DESCRIPTORS_A_LEASE = 32;
/** Copies from here on are worth leaving the loop for. */
const COPY_OFF_LOOP_BYTES = 1024 * 1024;
const TWO_32 = 2 ** 32;

interface OpenSlab {
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
  readonly #mapping: number;
  readonly #slabs = new Map<number, OpenSlab>();
  readonly #slabsComing = new Map<number, Promise<void>>();
  #descriptors: ObjectHandle[] = [];
  #descriptorsComing: Promise<void> | undefined;
  readonly #freePins: number[] = [];
  readonly #pinned = new Map<number, { readonly size: number }>();
  /** Objects that are pinned now: a second reader in this process shares the pin. */
  readonly #open = new Map<number, PinnedObject>();
  readonly #collected: FinalizationRegistry<PinnedObject>;
  #pinnedBytes = 0;
  #closed = false;

  constructor(native: Native, grant: StoreGrant, broker: StoreBroker) {
    this.#native = native;
    this.#grant = grant;
    this.#broker = broker;
    const control = native.mapShared(Buffer.from(grant.layout).toString(), 0, CONTROL_BYTES, false);
    this.#words = new Int32Array(control);
    if (this.#words[0] !== MAGIC || this.#words[1] !== LAYOUT_VERSION) throw new ObjectStoreFullError("the object store has another layout");
    this.#mapping = native.mapPrivate(grant.path, grant.capacity);
    for (let pin = PINS - 1; pin >= 0; pin -= 1) this.#freePins.push(clientAt(grant.client) + FIRST_PIN + pin);
    native.beatInto(control, (clientAt(grant.client) + HEARTBEAT) * 4);
    this.#collected = new FinalizationRegistry((object) => object.bufferCollected());
  }

  tryCreate(size: number): WritableObject | undefined {
    const sizeClass = sizeClassOf(size);
    if (sizeClass === undefined) return undefined;
    const slab = this.#slabs.get(sizeClass);
    const handle = this.#descriptors[this.#descriptors.length - 1];
    if (slab === undefined || slab.next >= slab.chunks || handle === undefined) return undefined;
    this.#descriptors.pop();
    const pages = SIZE_CLASSES[sizeClass];
    const firstPage = slab.firstPage + slab.next * pages;
    const offset = slab.next * pages * PAGE;
    slab.next += 1;
    this.#words[descriptorAt(handle.slot) + FIRST_PAGE] = firstPage + 1;
    return new CreatedObject(this.#native, this.#words, handle, size, slab.bytes.subarray(offset, offset + size));
  }

  async create(size: number): Promise<WritableObject> {
    const sizeClass = sizeClassOf(size);
    if (sizeClass === undefined) return this.#createLarge(size);
    for (;;) {
      const created = this.tryCreate(size);
      if (created !== undefined) return created;
      if (this.#descriptors.length === 0) await this.#moreDescriptors();
      const slab = this.#slabs.get(sizeClass);
      if (slab === undefined || slab.next >= slab.chunks) await this.#nextSlab(sizeClass);
    }
  }

  open({ slot, generation }: ObjectHandle): ReadableObject | undefined {
    const words = this.#words;
    const at = descriptorAt(slot);
    const known = this.#open.get(slot);
    if (known?.generation === generation) return known;
    if (at + SIZE_HIGH >= words.length || Atomics.load(words, at + GENERATION) !== generation) return undefined;
    const pin = this.#freePins.pop();
    if (pin === undefined) throw new ObjectStoreFullError(`this process reads ${PINS} objects of the store at once, which is the most it can`);
    Atomics.store(words, pin, slot + 1);
    // Pinned: if the object is still that generation now, its range stays until the pin is cleared.
    const state = Atomics.load(words, at + STATE);
    const first = words[at + FIRST_PAGE] - 1;
    const size = (words[at + SIZE_LOW] >>> 0) + words[at + SIZE_HIGH] * TWO_32;
    const inside = first >= 0 && size >= 0 && first * PAGE + size <= this.#grant.capacity;
    if (Atomics.load(words, at + GENERATION) !== generation || state !== SEALED || !inside) {
      Atomics.store(words, pin, 0);
      this.#freePins.push(pin);
      return undefined;
    }
    this.#pinned.set(pin, { size });
    this.#pinnedBytes += size;
    const object = new PinnedObject(this.#native, this.#mapping, this.#collected, { slot, generation }, first * PAGE, size, () => {
      if (this.#open.get(slot)?.generation === generation) this.#open.delete(slot);
      this.#unpin(pin);
    });
    this.#open.set(slot, object);
    return object;
  }

  pinned(): { objects: number; bytes: number } {
    return { objects: this.#pinned.size, bytes: this.#pinnedBytes };
  }

  close(): void {
    this.#closed = true;
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #unpin(pin: number): void {
    const known = this.#pinned.get(pin);
    if (known === undefined || this.#closed) return;
    this.#pinned.delete(pin);
    this.#pinnedBytes -= known.size;
    Atomics.store(this.#words, pin, 0);
    this.#freePins.push(pin);
  }

  async #createLarge(size: number): Promise<WritableObject> {
    const { slot, generation, offset, bytes } = await this.#broker.allocate(size);
    this.#words[descriptorAt(slot) + FIRST_PAGE] = offset / PAGE + 1;
    const range = this.#native.mapShared(this.#grant.path, offset, bytes, true);
    return new CreatedObject(this.#native, this.#words, { slot, generation }, size, new Uint8Array(range, 0, Math.min(size, TWO_32 - 1)), range);
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
      coming = this.#broker
        .slab(sizeClass)
        .then(({ offset, bytes }) => {
          const range = new Uint8Array(this.#native.mapShared(this.#grant.path, offset, bytes, false));
          this.#slabs.set(sizeClass, { bytes: range, firstPage: offset / PAGE, chunks: chunksPerSlab(sizeClass), next: 0 });
        })
        .finally(() => this.#slabsComing.delete(sizeClass));
      this.#slabsComing.set(sizeClass, coming);
    }
    return coming;
  }
}

class CreatedObject implements WritableObject {
  readonly slot: number;
  readonly generation: number;
  readonly size: number;
  readonly #native: Native;
  readonly #words: Int32Array;
  readonly #whole: ArrayBuffer | undefined;
  #bytes: Uint8Array;

  /** `whole` is the mapping of an object that has one of its own: detached at the end. */
  constructor(native: Native, words: Int32Array, handle: ObjectHandle, size: number, bytes: Uint8Array, whole?: ArrayBuffer) {
    this.#native = native;
    this.#words = words;
    this.slot = handle.slot;
    this.generation = handle.generation;
    this.size = size;
    this.#bytes = bytes;
    this.#whole = whole;
  }

  get bytes(): Uint8Array {
    return this.#bytes;
  }

  chunk(offset: number, length: number): Uint8Array {
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + offset, length);
  }

  write(offset: number, source: Uint8Array): Promise<void> | void {
    if (offset + source.length > this.size) throw new RangeError(`${source.length} bytes at ${offset} do not fit an object of ${this.size}`);
    if (source.length < COPY_OFF_LOOP_BYTES || !(source.buffer instanceof ArrayBuffer)) {
      this.chunk(offset, source.length).set(source);
      return;
    }
    const target = this.#bytes.buffer as ArrayBuffer;
    return this.#native.copy(target, this.#bytes.byteOffset + offset, source.buffer, source.byteOffset, source.length);
  }

  seal(): ObjectHandle {
    const at = descriptorAt(this.slot);
    this.#words[at + SIZE_LOW] = this.size | 0;
    this.#words[at + SIZE_HIGH] = Math.floor(this.size / TWO_32);
    Atomics.store(this.#words, at + STATE, SEALED);
    this.#end();
    return { slot: this.slot, generation: this.generation };
  }

  /** The descriptor stays leased; the host takes it back when it is freed or its client ends. */
  abort(): void {
    this.#end();
  }

  #end(): void {
    if (this.#whole !== undefined) this.#native.detach(this.#whole);
    this.#bytes = new Uint8Array(0);
  }
}

class PinnedObject implements ReadableObject {
  readonly slot: number;
  readonly generation: number;
  readonly size: number;
  readonly #native: Native;
  readonly #mapping: number;
  readonly #collected: FinalizationRegistry<PinnedObject>;
  readonly #offset: number;
  readonly #unpin: () => void;
  readonly #handedOut = new Set<WeakRef<ArrayBuffer>>();
  #alive = 0;
  #released = false;

  constructor(
    native: Native, mapping: number, collected: FinalizationRegistry<PinnedObject>, handle: ObjectHandle, offset: number, size: number,
    unpin: () => void,
  ) {
    this.#native = native;
    this.#mapping = mapping;
    this.#collected = collected;
    this.slot = handle.slot;
    this.generation = handle.generation;
    this.#offset = offset;
    this.size = size;
    this.#unpin = unpin;
  }

  buffer(offset = 0, length = this.size - offset): ArrayBuffer {
    if (offset < 0 || length < 0 || offset + length > this.size) throw new RangeError(`${length} bytes at ${offset} of an object of ${this.size}`);
    const buffer = this.#native.viewPrivate(this.#mapping, this.#offset + offset, length);
    this.#alive += 1;
    this.#handedOut.add(new WeakRef(buffer));
    this.#collected.register(buffer, this);
    return buffer;
  }

  get unreferenced(): boolean {
    return this.#alive === 0;
  }

  release(): void {
    if (this.#released) return;
    for (const weak of this.#handedOut) {
      const buffer = weak.deref();
      if (buffer !== undefined) this.#native.detach(buffer);
    }
    this.#giveBack();
  }

  /** Called by the registry: one of the buffers is gone. With the last one the object is given back. */
  bufferCollected(): void {
    this.#alive -= 1;
    if (this.#alive === 0 && !this.#released) this.#giveBack();
  }

  #giveBack(): void {
    this.#released = true;
    this.#handedOut.clear();
    if (this.size > 0) this.#native.dontNeed(this.#mapping, this.#offset, this.size);
    this.#unpin();
  }
}
