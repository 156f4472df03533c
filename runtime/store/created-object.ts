// An object between its creation and its seal: bytes of a slab, or a mapping of its own.
//
// A mapping of its own is detached at the end, once no copy on the helper threads works on it. Objects too large for one ArrayBuffer
// are mapped part by part, as they are written.

import type { Native } from "../../native/index.ts";
import { InvalidArgumentError } from "../errors.ts";
import { ABORTED, ABORTS, clientAt, descriptorAt, PAGE, SEALED, SIZE_HIGH, SIZE_LOW, STATE } from "./layout.ts";
import type { ObjectHandle, WritableObject } from "./store.ts";

/** Copies from here on are worth leaving the loop for. */
const COPY_OFF_LOOP_BYTES = 1024 * 1024;
const TWO_32 = 2 ** 32;
/** The longest array of bytes on Node 20. */
export const WHOLE_MAX_BYTES = TWO_32 - 1;

export interface CreatedParts {
  readonly native: Native;
  readonly words: Int32Array;
  readonly client: number;
}

/** Where the bytes are: in a slab, in one mapping, or (too large for that) in the memory at `path` from `offset` on. */
export type CreatedRange =
  | { readonly bytes: Uint8Array; readonly mapping: ArrayBuffer | undefined }
  | { readonly path: string; readonly offset: number };

export class CreatedObject implements WritableObject {
  readonly slot: number;
  readonly generation: number;
  readonly size: number;
  readonly #parts: CreatedParts;
  readonly #far: { readonly path: string; readonly offset: number } | undefined;
  readonly #mappings: ArrayBuffer[] = [];
  #bytes: Uint8Array = NOTHING;
  #copies = 0;
  #ended = false;

  constructor(parts: CreatedParts, handle: ObjectHandle, size: number, range: CreatedRange) {
    this.#parts = parts;
    this.slot = handle.slot;
    this.generation = handle.generation;
    this.size = size;
    if ("bytes" in range) {
      this.#bytes = range.bytes;
      if (range.mapping !== undefined) this.#mappings.push(range.mapping);
    } else this.#far = range;
  }

  get bytes(): Uint8Array {
    if (this.#far === undefined || this.#ended) return this.#bytes;
    throw new InvalidArgumentError(`an object of ${this.size} bytes has no single array: use chunk()`);
  }

  chunk(offset: number, length: number): Uint8Array {
    this.#check(offset, length);
    if (this.#far === undefined) return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + offset, length);
    const start = this.#far.offset + offset;
    const lead = start % PAGE;
    const mapping = this.#parts.native.mapShared(this.#far.path, start - lead, lead + length);
    this.#mappings.push(mapping);
    return new Uint8Array(mapping, lead, length);
  }

  write(offset: number, source: Uint8Array): Promise<void> | void {
    const target = this.chunk(offset, source.length);
    if (source.length < COPY_OFF_LOOP_BYTES || !(source.buffer instanceof ArrayBuffer)) return void target.set(source);
    this.#copies += 1;
    const { native } = this.#parts;
    return native.copy(target.buffer as ArrayBuffer, target.byteOffset, source.buffer, source.byteOffset, source.length).finally(() => {
      this.#copies -= 1;
      if (this.#ended) this.#detach();
    });
  }

  seal(): ObjectHandle {
    if (this.#ended) throw new InvalidArgumentError("the object was sealed or aborted before");
    if (this.#copies > 0) throw new InvalidArgumentError("the object is still being written");
    const { words } = this.#parts;
    const at = descriptorAt(this.slot);
    words[at + SIZE_LOW] = this.size | 0;
    words[at + SIZE_HIGH] = Math.floor(this.size / TWO_32);
    Atomics.store(words, at + STATE, SEALED);
    this.#end();
    return { slot: this.slot, generation: this.generation };
  }

  /** The host takes descriptor and range back with its next sweep. */
  abort(): void {
    if (this.#ended) return;
    const { words, client } = this.#parts;
    Atomics.store(words, descriptorAt(this.slot) + STATE, ABORTED);
    Atomics.add(words, clientAt(client) + ABORTS, 1);
    this.#end();
  }

  #check(offset: number, length: number): void {
    if (this.#ended) throw new InvalidArgumentError("the object was sealed or aborted before");
    if (offset >= 0 && length >= 0 && offset + length <= this.size) return;
    throw new InvalidArgumentError(`${length} bytes at ${offset} do not fit an object of ${this.size}`);
  }

  #end(): void {
    this.#ended = true;
    this.#bytes = NOTHING;
    this.#detach();
  }

  #detach(): void {
    // A helper thread that still writes into it would write into nothing.
    if (this.#copies > 0) return;
    for (const mapping of this.#mappings.splice(0)) this.#parts.native.detach(mapping);
  }
}

const NOTHING = new Uint8Array(0);
