// An object between its creation and its seal: a part of a slab's mapping, or of one that is its own.
//
// What JavaScript was given is detached at the end, once no copy on the helper threads works on it: nobody writes into a
// sealed object, nor into its neighbours in the slab. Objects too large for one ArrayBuffer are mapped part by part, as
// they are written.

import { howToBuild, type Mapping, type Native } from "../../native/index.ts";
import { InvalidArgumentError, ObjectStoreFullError, VersionMismatchError } from "../errors.ts";
import {
  ABORTED, ABORTS, clientAt, descriptorAt, isInside, OWNER_NODE, OWNER_PROCESS, ownerWords, PAGE, SEALED, SIZE_HIGH, SIZE_LOW,
  STATE,
} from "./layout.ts";
import type { Kept } from "./kept-mappings.ts";
import { UnmadePages } from "./unmade-pages.ts";
import type { Loan, ObjectHandle, ObjectOwner, WritableObject } from "./store.ts";

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

/** A part of a mapping that is one object's. */
export interface MappedPart {
  readonly mapping: Mapping;
  readonly offset: number;
  /** Of a slab: for this folder only, they reach into the whole slab. */
  readonly bytes?: Uint8Array;
  /** For the next object there. */
  readonly kept?: Kept;
  readonly isInMemory?: boolean;
}

/** Where the bytes are: in a mapping, or (too large for one array) in the memory at `path` from `offset` on. */
export type CreatedRange = MappedPart | { readonly path: string; readonly offset: number };

export class CreatedObject implements WritableObject {
  readonly slot: number;
  readonly generation: number;
  readonly size: number;
  /** Not in the overflow, whose ranges are nobody's afterwards. */
  readonly isInMemory: boolean = true;
  readonly #parts: CreatedParts;
  readonly #part: MappedPart | undefined;
  readonly #far: { readonly path: string; readonly offset: number } | undefined;
  /** What JavaScript looks at it through. */
  readonly #views: ArrayBuffer[] = [];
  #bytes: Uint8Array = NOTHING;
  /** Copies on the helper threads, and loans; and those of them that write. */
  #busy = 0;
  #writing = 0;
  #letGo: (() => void) | undefined;
  #unmade: UnmadePages | undefined;
  #ended = false;

  constructor(parts: CreatedParts, handle: ObjectHandle, size: number, range: CreatedRange) {
    this.#parts = parts;
    this.slot = handle.slot;
    this.generation = handle.generation;
    this.size = size;
    if ("path" in range) this.#far = range;
    else {
      this.#part = range;
      this.isInMemory = range.isInMemory ?? true;
    }
  }

  get bytes(): Uint8Array {
    if (this.#ended) return NOTHING;
    const part = this.#part;
    if (part === undefined)
      throw new InvalidArgumentError(`an object of ${this.size} bytes has no single array: use chunk()`);
    if (this.#views.length === 0) {
      const view = this.#parts.native.view(part.mapping, part.offset, this.size);
      this.#views.push(view);
      this.#bytes = new Uint8Array(view);
    }
    return this.#bytes;
  }

  chunk(offset: number, length: number): Uint8Array {
    this.#check(offset, length);
    if (this.#far === undefined) return this.bytes.subarray(offset, offset + length);
    const bytes = this.#partOf(offset, length);
    this.#views.push(bytes.buffer as ArrayBuffer);
    return bytes;
  }

  write(offset: number, source: Uint8Array): Promise<void> | void {
    this.#check(offset, source.length);
    const part = this.#part;
    if (part?.bytes !== undefined) return void part.bytes.set(source, offset);
    const { buffer, byteOffset, length } = source;
    if (length < COPY_OFF_LOOP_BYTES || !isSteady(buffer)) return this.#writeNow(offset, source);
    if (part !== undefined) {
      return this.#offLoop((native) => native.copy(part.mapping, part.offset + offset, buffer, byteOffset, length));
    }
    const target = this.chunk(offset, length);
    return this.#offLoop((native) => native.copy(target.buffer as ArrayBuffer, target.byteOffset, buffer, byteOffset, length));
  }

  lend(offset: number, length: number, how: "read" | "written"): Loan {
    const { native } = this.#parts;
    const bytes = this.#partOf(offset, length);
    let done: (() => void) | undefined = this.#work(how === "written");
    return {
      bytes,
      end: () => {
        native.detach(bytes.buffer as ArrayBuffer);
        done?.();
        done = undefined;
      },
    };
  }

  /** All its pages are mapped: the next object there finds them. */
  get areMade(): boolean {
    return this.#unmade?.areMade ?? true;
  }

  /** Of an object with a mapping of its own: its pages are mapped, and made, as `makePages` is called. */
  leaveUnmade(): void {
    this.#unmade = new UnmadePages(this.size, (offset, length) => this.#populate(offset, length));
  }

  makePages(offset: number, length: number): Promise<void> | undefined {
    return this.#unmade?.make(offset, length);
  }

  /** Maps and makes all of them. Rejects when there is no memory. */
  populate(): Promise<void> {
    return this.#populate(0, this.size);
  }

  seal(owner?: ObjectOwner): ObjectHandle {
    if (this.#ended) throw new InvalidArgumentError("the object was sealed or aborted before");
    if (this.#writing > 0) throw new InvalidArgumentError("the object is still being written");
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

  #writeNow(offset: number, source: Uint8Array): void {
    if (this.#part === undefined || this.#views.length > 0) return this.chunk(offset, source.length).set(source);
    const bytes = this.#partOf(offset, source.length);
    bytes.set(source);
    this.#parts.native.detach(bytes.buffer as ArrayBuffer);
  }

  /** In an array of its own: one over a large object has V8 collect garbage. */
  #partOf(offset: number, length: number): Uint8Array {
    this.#check(offset, length);
    const { native } = this.#parts;
    if (this.#far === undefined) {
      const { mapping, offset: start } = this.#part as MappedPart;
      return new Uint8Array(native.view(mapping, start + offset, length));
    }
    const start = this.#far.offset + offset;
    const lead = start % PAGE;
    return new Uint8Array(native.mapShared(this.#far.path, start - lead, lead + length), lead, length);
  }

  #end(): void {
    this.#ended = true;
    this.#bytes = NOTHING;
    this.#detach();
  }

  async #populate(offset: number, length: number): Promise<void> {
    if (this.#ended) throw new InvalidArgumentError("the object was sealed or aborted before");
    const { mapping, offset: start } = this.#part as MappedPart;
    try {
      await this.#offLoop((native) => native.populate(mapping, start + offset, length));
    } catch (error) {
      throw noMemory(length, error);
    }
  }

  async #offLoop(job: (native: Native) => Promise<void>): Promise<void> {
    const done = this.#work(true);
    try {
      await job(this.#parts.native);
    } finally {
      done();
    }
  }

  /** Until it is done the bytes stay mapped, and the host gives their range to nobody else, whatever becomes of the object. */
  #work(writes: boolean): () => void {
    if (this.#busy === 0) this.#letGo = this.#parts.hold(this.slot);
    this.#busy += 1;
    if (writes) this.#writing += 1;
    return () => {
      this.#busy -= 1;
      if (writes) this.#writing -= 1;
      if (this.#busy > 0) return;
      this.#letGo?.();
      if (this.#ended) this.#detach();
    };
  }

  #detach(): void {
    if (this.#busy > 0) return;
    for (const view of this.#views.splice(0)) this.#parts.native.detach(view);
    this.#parts.ended(this, this.#part?.kept);
  }
}

/** The memory is taken before it is written: a full machine is this error, and not a signal at the first write. */
export function noMemory(bytes: number, error: unknown): Error {
  // What it was asked for is right: it reads the question otherwise than this code means it.
  const isRefused = (error as NodeJS.ErrnoException).code === "EINVAL";
  const text = `the native addon was built from other sources: ${howToBuild()} makes it again`;
  if (isRefused) return new VersionMismatchError(text, {}, error);
  return new ObjectStoreFullError(`this machine has no memory for ${bytes} bytes of its object store`, {}, error);
}

/** Whether its bytes stay where they are while a thread reads them, as long as nobody transfers them. */
function isSteady(buffer: ArrayBufferLike): buffer is ArrayBuffer {
  return buffer instanceof ArrayBuffer && (buffer as { readonly resizable?: boolean }).resizable !== true;
}

const NOTHING = new Uint8Array(0);
