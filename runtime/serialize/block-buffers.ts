// The buffers behind a block's structure, as ArrayBuffers: the block's own memory for large ones, a copy for the rest.

import { ByteReader, badBytes } from "./byte-reader.ts";
import {
  BUFFER_ALIGNMENT, EXPOSED, LARGE_HEADER_BYTES, RESIZABLE_COUNT_MAX, SOURCE_AGAIN, SOURCE_INLINE, SOURCE_RESIZABLE, SOURCE_TABLE,
  TABLE_ENTRY_BYTES, VIEW_BYTES, align,
} from "./format.ts";
import type { BlockSource } from "./large-block.ts";
import { resizableBuffer } from "./resizable.ts";

/** Bytes of a buffer that a value had: `buffer[shift + i]` is byte `base + i` of the original. */
export interface Region {
  readonly buffer: ArrayBuffer;
  readonly shift: number;
  readonly base: number;
  readonly length: number;
}

interface TableEntry {
  readonly offset: number;
  readonly length: number;
  readonly base: number;
  readonly exposed: boolean;
  region: Region | undefined;
}

/** Of the largest element type. */
const VIEW_ALIGNMENT = 8;

export class BlockBuffers {
  readonly #block: Uint8Array;
  readonly #source: BlockSource | undefined;
  // Most values have neither.
  #entries: TableEntry[] | undefined;
  #inline: Region[] | undefined;
  #resizableCount = 0;

  /** `block`: all of it, or of one that is looked at in parts its head, and `source` the rest. */
  constructor(block: Uint8Array, source?: BlockSource) {
    this.#block = block;
    this.#source = source;
  }

  /** Reads the header and table of a large block; returns the end of the structure. */
  readTable(): number {
    const block = this.#block;
    if (block.length < LARGE_HEADER_BYTES) throw badBytes("the header ends too early");
    const data = new DataView(block.buffer, block.byteOffset, block.byteLength);
    const count = data.getUint32(4, true);
    const end = data.getFloat64(8, true);
    if (!isCount(end) || end < LARGE_HEADER_BYTES || end > block.length) throw badBytes("the structure is not in the block");
    const table = align(end, 8);
    const size = this.#source?.size ?? block.length;
    let free = table + count * TABLE_ENTRY_BYTES;
    if (free > block.length) throw badBytes("the buffer table is not in the block");
    for (let i = 0; i < count; i++) {
      const row = table + i * TABLE_ENTRY_BYTES;
      const offset = data.getFloat64(row, true);
      const length = data.getFloat64(row + 8, true);
      const base = data.getFloat64(row + 16, true);
      const isSound = isCount(offset) && isCount(length) && isCount(base) && offset % BUFFER_ALIGNMENT === 0
        && base % VIEW_ALIGNMENT === 0 && offset >= free && offset + length <= size;
      if (!isSound) throw badBytes("a buffer is not in the block");
      free = offset + length;
      const exposed = data.getUint32(row + 24, true) === EXPOSED;
      (this.#entries ??= []).push({ offset, length, base, exposed, region: undefined });
    }
    return end;
  }

  /** A source as it stands in the structure. `exposed`: the ArrayBuffer itself is wanted. */
  read(reader: ByteReader, exposed: boolean): Region {
    let kind = reader.byte();
    let max: number | undefined;
    if (kind === SOURCE_RESIZABLE) {
      max = reader.count();
      kind = reader.byte();
    }
    if (kind === SOURCE_INLINE) {
      const bytes = reader.raw(reader.countOf(1));
      const region = { buffer: this.#own(bytes, max), shift: 0, base: 0, length: bytes.length };
      (this.#inline ??= []).push(region);
      return region;
    }
    const number = reader.count();
    const region = kind === SOURCE_AGAIN ? this.#inline?.[number] : kind === SOURCE_TABLE ? this.region(number, max) : undefined;
    if (region === undefined) throw badBytes("a buffer is missing");
    if (exposed && (region.shift !== 0 || region.base !== 0 || region.buffer === this.#block.buffer)) {
      throw badBytes("a buffer has no ArrayBuffer of its own");
    }
    return region;
  }

  /** A table entry's bytes; the same region each time. */
  region(number: number, max?: number): Region {
    const entry = this.#entries?.[number];
    if (entry === undefined) throw badBytes("a buffer is missing");
    return (entry.region ??= this.#make(entry, max));
  }

  #make({ offset, length, base, exposed }: TableEntry, max: number | undefined): Region {
    const block = this.#block;
    if (this.#source !== undefined) return { buffer: this.#source.part(offset, length), shift: 0, base, length };
    const shift = block.byteOffset + offset;
    if (!exposed && length >= VIEW_BYTES && shift % VIEW_ALIGNMENT === 0 && block.buffer instanceof ArrayBuffer) {
      return { buffer: block.buffer, shift, base, length };
    }
    return { buffer: this.#own(block.subarray(offset, offset + length), max), shift: 0, base, length };
  }

  /** A copy in memory of its own, which may become as large as `max`. */
  #own(bytes: Uint8Array, max: number | undefined): ArrayBuffer {
    if (max !== undefined && ++this.#resizableCount > RESIZABLE_COUNT_MAX) throw badBytes("too many buffers are resizable");
    const copy = max === undefined ? new ArrayBuffer(bytes.length) : resizableBuffer(bytes.length, max);
    new Uint8Array(copy).set(bytes);
    return copy;
  }
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
