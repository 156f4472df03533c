// An object between its creation and its seal: bytes of a slab, or a mapping of its own.
//
// What JavaScript was given is detached at the end, once no copy on the helper threads works on it: nobody writes into a
// sealed object, nor into its neighbours in the slab. Objects too large for one ArrayBuffer are mapped part by part, as
// they are written.

import type { Mapping, Native } from "../../native/index.ts";
import { InvalidArgumentError } from "../errors.ts";
import {
  ABORTED, ABORTS, clientAt, descriptorAt, isInside, OWNER_NODE, OWNER_PROCESS, ownerWords, PAGE, SEALED, SIZE_HIGH, SIZE_LOW,
  STATE,
} from "./layout.ts";
import type { Kept } from "./kept-mappings.ts";
import type { ObjectHandle, ObjectOwner, WritableObject } from "./store.ts";

/** Copies from here on are worth leaving the loop for. */
const COPY_OFF_LOOP_BYTES = 1024 * 1024;
const TWO_32 = 2 ** 32;
/** The longest array of bytes on Node 20. */
export const WHOLE_MAX_BYTES = TWO_32 - 1;

export interface CreatedParts {
  readonly native: Native;
  readonly words: Int32Array;
  readonly client: number;
  /** Keeps the range of that slot from being reused until the returned function is called. */
  hold(slot: number): () => void;
  /** The object is sealed or aborted, and no helper thread works on it any more. */
  ended(object: CreatedObject, kept: Kept | undefined): void;
}

/** The part of a slab that is one object's. `bytes` are for this folder only: they reach into the whole slab. */
export interface Chunk {
  readonly bytes: Uint8Array;
  readonly slab: Mapping;
  readonly slabOffset: number;
}

/**
 * Where the bytes are: in a slab, in a mapping of their own, or (too large for that) in the memory at `path` from `offset`
 * on.
 */
export type CreatedRange =
  | Chunk
  | { readonly whole: ArrayBuffer; readonly kept: Kept; readonly isInMemory: boolean }
  | { readonly path: string; readonly offset: number };

export class CreatedObject implements WritableObject {
  readonly slot: number;
  readonly generation: number;
  readonly size: number;
  /** Not in the overflow, whose ranges are nobody's afterwards. */
  readonly isInMemory: boolean = true;
  readonly #parts: CreatedParts;
  readonly #chunk: Chunk | undefined;
  readonly #far: { readonly path: string; readonly offset: number } | undefined;
  readonly #kept: Kept | undefined;
  readonly #mappings: ArrayBuffer[] = [];
  #bytes: Uint8Array = NOTHING;
  #copies = 0;
  #ended = false;

  constructor(parts: CreatedParts, handle: ObjectHandle, size: number, range: CreatedRange) {
    this.#parts = parts;
    this.slot = handle.slot;
    this.generation = handle.generation;
    this.size = size;
    if ("slab" in range) this.#chunk = range;
    else if ("path" in range) this.#far = range;
    else {
      this.#kept = range.kept;
      this.isInMemory = range.isInMemory;
      this.#handOut(range.whole);
    }
  }

  get bytes(): Uint8Array {
    if (this.#ended) return NOTHING;
    if (this.#far !== undefined)
      throw new InvalidArgumentError(`an object of ${this.size} bytes has no single array: use chunk()`);
    if (this.#chunk !== undefined && this.#mappings.length === 0) {
      this.#handOut(this.#parts.native.view(this.#chunk.slab, this.#chunk.slabOffset, this.size));
    }
    return this.#bytes;
  }

  chunk(offset: number, length: number): Uint8Array {
    this.#check(offset, length);
    if (this.#far === undefined) return this.bytes.subarray(offset, offset + length);
    const start = this.#far.offset + offset;
    const lead = start % PAGE;
    const mapping = this.#parts.native.mapShared(this.#far.path, start - lead, lead + length);
    this.#mappings.push(mapping);
    return new Uint8Array(mapping, lead, length);
  }

  write(offset: number, source: Uint8Array): Promise<void> | void {
    this.#check(offset, source.length);
    if (this.#chunk !== undefined) return void this.#chunk.bytes.set(source, offset);
    const target = this.chunk(offset, source.length);
    if (source.length < COPY_OFF_LOOP_BYTES || !isSteady(source.buffer)) return void target.set(source);
    const { buffer, byteOffset, length } = source;
    return this.#offLoop((native) => native.copy(target.buffer as ArrayBuffer, target.byteOffset, buffer, byteOffset, length));
  }

  /**
   * Maps the pages of an object with a mapping of its own, and makes those that there are not. Rejects when there is no
   * memory.
   */
  populate(): Promise<void> {
    const [whole] = this.#mappings;
    return this.#offLoop((native) => native.populate(whole, 0, whole.byteLength));
  }

  seal(owner?: ObjectOwner): ObjectHandle {
    if (this.#ended) throw new InvalidArgumentError("the object was sealed or aborted before");
    if (this.#copies > 0) throw new InvalidArgumentError("the object is still being written");
    const { words } = this.#parts;
    const at = descriptorAt(this.slot);
    words[at + SIZE_LOW] = this.size | 0;
    words[at + SIZE_HIGH] = Math.floor(this.size / TWO_32);
    if (owner !== undefined) {
      [words[at + OWNER_PROCESS], words[at + OWNER_PROCESS + 1]] = ownerWords(owner.process);
      [words[at + OWNER_NODE]] = ownerWords(owner.node);
    }
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
    if (isInside(offset, length, this.size)) return;
    throw new InvalidArgumentError(`${length} bytes at ${offset} do not fit an object of ${this.size}`);
  }

  #handOut(mapping: ArrayBuffer): void {
    this.#mappings.push(mapping);
    this.#bytes = new Uint8Array(mapping, 0, this.size);
  }

  #end(): void {
    this.#ended = true;
    this.#bytes = NOTHING;
    this.#detach();
  }

  /** Until the job ends the bytes stay mapped, and the host gives their range to nobody else, whatever becomes of the object. */
  async #offLoop(job: (native: Native) => Promise<void>): Promise<void> {
    const letGo = this.#parts.hold(this.slot);
    this.#copies += 1;
    try {
      await job(this.#parts.native);
    } finally {
      letGo();
      this.#copies -= 1;
      if (this.#ended) this.#detach();
    }
  }

  #detach(): void {
    if (this.#copies > 0) return;
    for (const mapping of this.#mappings.splice(0)) this.#parts.native.detach(mapping);
    this.#parts.ended(this, this.#kept);
  }
}

/** Whether its bytes stay where they are while a thread reads them, as long as nobody transfers them. */
function isSteady(buffer: ArrayBufferLike): buffer is ArrayBuffer {
  return buffer instanceof ArrayBuffer && (buffer as { readonly resizable?: boolean }).resizable !== true;
}

const NOTHING = new Uint8Array(0);
