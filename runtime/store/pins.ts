// What a client reads: pinned objects, the views of them, and how they are given back.
//
// One pin an object, however many readers it has here; it is held by each reader and by each ArrayBuffer handed out. A holder
// lets go by release() or by being garbage collected. With the last one: (1) every buffer is detached or collected, (2) the
// private pages are given back, (3) only then is the pin cleared. If (2) fails the pin stays, so no private page outlives its
// object.

import { statSync } from "node:fs";
import type { Mapping, Native } from "../../native/index.ts";
import { InvalidArgumentError, ObjectStoreFullError } from "../errors.ts";
import { finalizers } from "../finalizers.ts";
import {
  clientAt, descriptorAt, FIRST_PAGE, FIRST_PIN, GENERATION, isInside, PAGE, PINS, PINS_USED, SEALED, SIZE_HIGH, SIZE_LOW, STATE,
} from "./layout.ts";
import { placeOf, type StorePlace } from "./overflow-place.ts";
import type { ObjectHandle, ReadableObject, StoreGrant } from "./store.ts";

const TWO_32 = 2 ** 32;
/** Pages of longer objects are given back off the loop. */
const DROP_OFF_LOOP_BYTES = 4 * 1024 * 1024;

/** Whether longer objects were written to is not looked at. */
const LOOKED_AT_BYTES = 16 * 1024 * 1024;

interface Pin extends ObjectHandle {
  readonly word: number;
  readonly mapping: Mapping;
  readonly offset: number;
  readonly size: number;
  holders: number;
  /** The buffer of the whole object: readers share it, because making a large one costs a step of the garbage collector. */
  whole: WeakRef<ArrayBuffer> | undefined;
  /** Readers that were given it and did not release it. */
  wholeReaders: number;
}

/** What the registry keeps of a holder: neither the reader nor the buffer, or they would never be collected. */
interface Hold {
  readonly pin: Pin;
  /** Buffers of one reader that are not collected; undefined for the reader itself. */
  readonly views: { alive: number } | undefined;
}

export class Pins {
  readonly #native: Native;
  readonly #grant: StoreGrant;
  readonly #words: Int32Array;
  readonly #emptied: () => void;
  #mapping: Mapping;
  /** Pins that readers may join, by slot. */
  readonly #pins = new Map<number, Pin>();
  /** Pages of these slots are being given back on a helper thread. */
  readonly #dropping = new Set<number>();
  readonly #freeWords: number[] = [];
  /** For copies. */
  #spare: number | undefined;
  #usedWords = 0;
  readonly #registry = finalizers<Hold>(({ pin, views }) => {
    if (views !== undefined) views.alive -= 1;
    this.letGo(pin, 1);
  });
  #objects = 0;
  #bytes = 0;

  /** `emptied` is called whenever the last pin was cleared. */
  constructor(native: Native, grant: StoreGrant, words: Int32Array, emptied: () => void) {
    this.#native = native;
    this.#grant = grant;
    this.#words = words;
    this.#emptied = emptied;
    this.#mapping = native.mapRange(grant.path, 0, grant.capacity, false);
  }

  get objects(): number {
    return this.#objects;
  }
  get bytes(): number {
    return this.#bytes;
  }

  open({ slot, generation }: ObjectHandle, fresh: boolean): ReadableObject | undefined {
    const at = descriptorAt(slot);
    if (!(slot >= 0 && at + SIZE_HIGH < clientAt(0)) || Atomics.load(this.#words, at + GENERATION) !== generation)
      return undefined;
    const known = this.#pins.get(slot);
    const isPinned = known?.generation === generation;
    const isShared = isPinned && !(fresh && this.#mayBeWritten(known));
    if (!isShared && !this.#hasWord) return this.#copy(slot, generation, isPinned);
    const pin = isShared ? known : this.#pin({ slot, generation }, this.#takeWord(), isPinned);
    if (pin === undefined) return undefined;
    const reader = new PinnedObject(this, pin);
    pin.holders += 1;
    this.#registry.register(reader, { pin, views: undefined }, reader);
    return reader;
  }

  /** For a reader that gets no pin: its bytes, copied under one that is kept back for this. */
  #copy(slot: number, generation: number, apart: boolean): ReadableObject | undefined {
    this.#spare ??= this.#nextWord();
    const pin = this.#pin({ slot, generation }, this.#spare, apart);
    if (pin === undefined) return undefined;
    const { size } = pin;
    const view = this.#native.view(pin.mapping, pin.offset, size);
    const whole = view.slice(0);
    this.#native.detach(view);
    this.#pins.delete(slot);
    this.#native.dontNeed(pin.mapping, pin.offset, size);
    this.#clear(pin);
    const buffer = (offset = 0, length = size - offset) => length === size ? whole : whole.slice(offset, offset + length);
    return { slot, generation, size, buffer, release: () => {}, unreferenced: true };
  }

  view(pin: Pin, offset: number, length: number, views: { alive: number }, reader: PinnedObject): ArrayBuffer {
    const whole = length === pin.size ? pin.whole?.deref() : undefined;
    const buffer = whole ?? this.#native.view(pin.mapping, pin.offset + offset, length);
    if (whole === undefined && length === pin.size) {
      pin.whole = new WeakRef(buffer);
      pin.wholeReaders = 0;
    }
    pin.holders += 1;
    views.alive += 1;
    this.#registry.register(buffer, { pin, views }, reader);
    return buffer;
  }

  /** The host reuses no range that a helper thread still writes into, whatever became of its object. Returns the end of it. */
  hold(slot: number): () => void {
    const word = this.#takeWord();
    Atomics.store(this.#words, word, slot + 1);
    return () => this.#giveBack(word);
  }

  /** The reader's buffers, as far as they exist and nobody else has them, are detached; nothing of it holds the pin any more. */
  release(reader: PinnedObject, pin: Pin, buffers: Iterable<WeakRef<ArrayBuffer>>, holders: number): void {
    for (const weak of buffers) {
      const buffer = weak.deref();
      if (buffer === undefined) continue;
      if (buffer === pin.whole?.deref()) {
        pin.wholeReaders -= 1;
        if (pin.wholeReaders > 0) continue;
        pin.whole = undefined;
      }
      this.#native.detach(buffer);
    }
    this.#registry.unregister(reader);
    this.letGo(pin, holders);
  }

  letGo(pin: Pin, holders: number): void {
    pin.holders -= holders;
    if (pin.holders > 0) return;
    if (this.#pins.get(pin.slot) === pin) this.#pins.delete(pin.slot);
    if (pin.size <= DROP_OFF_LOOP_BYTES) {
      this.#native.dontNeed(pin.mapping, pin.offset, pin.size);
      return this.#clear(pin);
    }
    this.#dropping.add(pin.slot);
    this.#native.dropPages(pin.mapping, pin.offset, pin.size).then(
      () => {
        this.#dropping.delete(pin.slot);
        this.#clear(pin);
      },
      (error: Error) => process.emitWarning(`object ${pin.slot}/${pin.generation} stays pinned: ${error.message}`),
    );
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  /** To look at the pages of a large object takes longer than to map it anew. */
  #mayBeWritten({ mapping, offset, size }: Pin): boolean {
    return size > LOOKED_AT_BYTES || this.#native.isWritten(mapping, offset, size);
  }

  /** `apart`: with a mapping of its own. */
  #pin({ slot, generation }: ObjectHandle, word: number, apart: boolean): Pin | undefined {
    const words = this.#words;
    const at = descriptorAt(slot);
    Atomics.store(words, word, slot + 1);
    // Pinned: if the object is still that generation now, its range stays until the pin is cleared.
    const state = Atomics.load(words, at + STATE);
    const first = words[at + FIRST_PAGE] - 1;
    const size = (words[at + SIZE_LOW] >>> 0) + words[at + SIZE_HIGH] * TWO_32;
    const place = placeOf(this.#grant, first * PAGE);
    const inside = first >= 0 && size >= 0 && place.offset + size <= this.#lengthOf(place);
    if (Atomics.load(words, at + GENERATION) !== generation || state !== SEALED || !inside) {
      this.#giveBack(word);
      return undefined;
    }
    // Pages on their way back would take writes of a new reader with them: it reads through a mapping of its own.
    if (this.#dropping.has(slot)) this.#mapping = this.#native.mapRange(this.#grant.path, 0, this.#grant.capacity, false);
    const isInMemory = place.path === this.#grant.path && !apart;
    const pin: Pin = {
      slot,
      generation,
      word,
      mapping: isInMemory ? this.#mapping : this.#native.mapRange(place.path, place.offset, Math.max(size, 1), false),
      offset: isInMemory ? place.offset : 0,
      size,
      holders: 0,
      whole: undefined,
      wholeReaders: 0,
    };
    this.#pins.set(slot, pin);
    this.#objects += 1;
    this.#bytes += size;
    return pin;
  }

  /** A page beyond the end of a file can't be read without a signal. */
  #lengthOf({ path }: StorePlace): number {
    if (path === this.#grant.path) return this.#grant.capacity;
    return path === "" ? 0 : statSync(path).size;
  }

  /** One is kept back, for copies. */
  get #hasWord(): boolean {
    return this.#freeWords.length > 0 || this.#usedWords < PINS - 1;
  }

  #takeWord(): number {
    const free = this.#freeWords.pop();
    if (free !== undefined) return free;
    if (this.#hasWord) return this.#nextWord();
    throw new ObjectStoreFullError(`this process reads ${PINS - 1} objects of the store at once, which is the most it can`);
  }

  #nextWord(): number {
    const at = clientAt(this.#grant.client);
    const word = at + FIRST_PIN + this.#usedWords;
    this.#usedWords += 1;
    // Before the pin itself: a host that has not seen this yet has changed the generation already.
    Atomics.store(this.#words, at + PINS_USED, this.#usedWords);
    return word;
  }

  #giveBack(word: number): void {
    Atomics.store(this.#words, word, 0);
    if (word !== this.#spare) this.#freeWords.push(word);
  }

  #clear(pin: Pin): void {
    this.#giveBack(pin.word);
    this.#objects -= 1;
    this.#bytes -= pin.size;
    if (this.#objects === 0) this.#emptied();
  }
}

class PinnedObject implements ReadableObject {
  readonly slot: number;
  readonly generation: number;
  readonly size: number;
  readonly #pins: Pins;
  readonly #pin: Pin;
  readonly #buffers = new Set<WeakRef<ArrayBuffer>>();
  readonly #views = { alive: 0 };
  #whole: WeakRef<ArrayBuffer> | undefined;
  #released = false;

  constructor(pins: Pins, pin: Pin) {
    this.#pins = pins;
    this.#pin = pin;
    this.slot = pin.slot;
    this.generation = pin.generation;
    this.size = pin.size;
  }

  buffer(offset = 0, length = this.size - offset): ArrayBuffer {
    if (this.#released) throw new InvalidArgumentError("the object was released before");
    if (!isInside(offset, length, this.size)) {
      throw new InvalidArgumentError(`${length} bytes at ${offset} are not in an object of ${this.size}`);
    }
    const known = length === this.size ? this.#whole?.deref() : undefined;
    if (known !== undefined) return known;
    if (this.#views.alive === 0) this.#buffers.clear();
    const buffer = this.#pins.view(this.#pin, offset, length, this.#views, this);
    const weak = new WeakRef(buffer);
    this.#buffers.add(weak);
    if (length === this.size) {
      this.#whole = weak;
      this.#pin.wholeReaders += 1;
    }
    return buffer;
  }

  get unreferenced(): boolean {
    return this.#released || this.#views.alive === 0;
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#pins.release(this, this.#pin, this.#buffers, this.#views.alive + 1);
    this.#buffers.clear();
  }
}
