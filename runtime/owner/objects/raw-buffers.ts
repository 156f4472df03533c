// Arrays of bytes that are written where they will lie, and read in parts.

import { InvalidArgumentError, ObjectLostError } from "../../errors.ts";
import { bufferPlace, byteArrayHead, headBytes } from "../../serialize/index.ts";
import { sizeClassOf, type WritableObject } from "../../store/index.ts";
import type { Stored } from "../../transport/index.ts";
import { entryOf, heldRef, type ObjectEntry, ObjectRef, type WaitOptions } from "./object-ref.ts";
import type { Session } from "../session.ts";

const FIRST_BYTES = 16;
/** A larger share of an object is worth bringing all of it here. */
const WHOLE_SHARE = 0.5;

/** Bytes of the object store that only this process sees, until `seal` makes them an object. */
export class StoreBuffer {
  readonly size: number;
  readonly #target: WritableObject;
  readonly #offset: number;
  readonly #sealed: () => ObjectRef<Uint8Array>;

  /** @internal By createBuffer. */
  constructor(target: WritableObject, offset: number, sealed: () => ObjectRef<Uint8Array>) {
    this.#target = target;
    this.#offset = offset;
    this.#sealed = sealed;
    this.size = target.size - offset;
  }

  /**
   * All of it, to be written in place. What is not written is undefined, but never of another job. Detached (length 0) by `seal`
   * and `abort`.
   */
  get bytes(): Uint8Array {
    const whole = this.#target.bytes;
    return whole.length === 0 ? whole : whole.subarray(this.#offset);
  }

  /** A part of at most 4 GiB: for buffers that are larger than one array can be. */
  chunk(offset: number, length: number): Uint8Array {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.size)) {
      throw new InvalidArgumentError(`${length} bytes at ${offset} are not in a buffer of ${this.size}`);
    }
    return this.#target.chunk(this.#offset + offset, length);
  }

  /** The object: from now on nobody writes to it. Nothing is copied. */
  async seal(): Promise<ObjectRef<Uint8Array>> {
    return this.#sealed();
  }

  /** Gives the bytes back. Idempotent, and without effect after `seal`. */
  abort(): void {
    this.#target.abort();
  }

  [Symbol.dispose](): void {
    this.abort();
  }
}

export class RawBuffers {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Waits while the store is full. */
  async create(size: number): Promise<StoreBuffer> {
    const { home, identity: { processId, nodeId } } = this.#session.parts;
    this.#session.checkAlive();
    const { head, offset } = byteArrayHead(size);
    const target = await this.#session.holding(home.joined.then(() => home.storeHere().create(offset + size, "now", true)));
    // Chunks of slabs have had other objects in them, of any job.
    if (sizeClassOf(target.size) !== undefined) target.bytes.fill(0);
    // Where there is no single array, there are parts.
    target.chunk(0, offset).set(head);
    return new StoreBuffer(target, offset, () => {
      const { slot, generation } = target.seal({ process: processId, node: nodeId });
      const entry = this.#session.newEntry();
      this.#session.makers.put(entry);
      this.#session.borrowing.settle(entry, { stored: { node: nodeId, slot, generation, size: target.size } });
      return new ObjectRef<Uint8Array>(entry);
    });
  }

  /** Bytes of an object that is one buffer or typed array: a view where it lies here, else a copy of the range alone. */
  async range(ref: ObjectRef, offset: number, length: number, options: WaitOptions | undefined): Promise<Uint8Array> {
    const entry = entryOf(ref);
    const { ready } = await this.#session.waitFor([ref], 1, { ...options, fetchLocal: false });
    const stored = ready.length > 0 ? entry.value?.stored : undefined;
    // Small values, errors and timeouts are as get has them.
    if (!stored || entry.state !== "ready") return rangeOf(await this.#session.getOne(entry, options), entry, offset, length);
    return this.#stored(entry, stored as Stored, { offset, length });
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  async #stored(
    entry: ObjectEntry, stored: Stored, { offset, length }: { offset: number; length: number },
  ): Promise<Uint8Array> {
    const { size } = stored;
    const first = await this.#part(entry, stored, { offset: 0, length: Math.min(FIRST_BYTES, size) });
    const head = await this.#part(entry, stored, { offset: 0, length: Math.min(headBytes(first), size) });
    const place = bufferPlace(head);
    if (place === undefined) throw new InvalidArgumentError(`getRange: object ${entry.id} is not one buffer or typed array`);
    checkRange(entry, offset, length, place.length);
    return this.#part(entry, stored, { offset: place.offset + offset, length });
  }

  async #part(entry: ObjectEntry, source: Stored, { offset, length }: { offset: number; length: number }): Promise<Uint8Array> {
    const { stored, parts: { home } } = this.#session;
    const isWorthAll = home.far === undefined && length > source.size * WHOLE_SHARE;
    const object = stored.now(source) ?? (isWorthAll ? await stored.open(heldRef(entry), source) : undefined);
    if (object !== undefined) return new Uint8Array(object.buffer(offset, length));
    if (home.chunks === undefined) throw new ObjectLostError(`object ${entry.id} can't be read`, { objectId: entry.id });
    return this.#session.holding(home.chunks.readRange(source, offset, length));
  }
}

/** The same of a value that is here, as it was sent. */
function rangeOf(value: unknown, entry: ObjectEntry, offset: number, length: number): Uint8Array {
  const [buffer, start, size] = ArrayBuffer.isView(value)
    ? [value.buffer, value.byteOffset, value.byteLength]
    : [value, 0, value instanceof ArrayBuffer ? value.byteLength : -1];
  if (size < 0) throw new InvalidArgumentError(`getRange: object ${entry.id} is not one buffer or typed array`);
  checkRange(entry, offset, length, size);
  return new Uint8Array(buffer as ArrayBuffer, start + offset, length);
}

function checkRange(entry: ObjectEntry, offset: number, length: number, size: number): void {
  if (offset >= 0 && length >= 0 && offset + length <= size) return;
  throw new InvalidArgumentError(`getRange: ${length} bytes at ${offset} are not in object ${entry.id}, which has ${size}`);
}
