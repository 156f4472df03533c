// Where ArrayBuffers go: small ones in place, large ones behind the structure, each once however many views it has.
//
// Only the part that some view of the value covers is written (`start`..`end`, the hull of the views): a 10-byte view of a
// gigabyte costs 10 bytes, and views of one buffer keep sharing it. A buffer that is itself a value is written whole.

import { Buffer } from "node:buffer";
import type { Encoded } from "./contract.ts";
import {
  BUFFERS_BLOCK, BUFFER_ALIGNMENT, EXPOSED, LARGE_HEADER_BYTES, MAGIC, PLAIN_BLOCK, RESIZABLE_COUNT_MAX, SMALL_HEADER_BYTES,
  TABLE_ENTRY_BYTES, align,
} from "./format.ts";

/** Views start at multiples of 8 in their buffers; the hull keeps that. */
const HULL_ALIGNMENT = 8;
const PADDING = new Uint8Array(BUFFER_ALIGNMENT);
const NO_BUFFERS: readonly TableEntry[] = [];

interface TableEntry {
  readonly buffer: ArrayBuffer | undefined;
  /** Bytes that are not one buffer: Arrow data. */
  readonly pieces: readonly Uint8Array[] | undefined;
  start: number;
  end: number;
  exposed: boolean;
}

export class BufferPlan {
  #inline: Map<ArrayBuffer, number> | undefined;
  #entries: TableEntry[] | undefined;
  #byBuffer: Map<ArrayBuffer, number> | undefined;
  #resizable: Set<ArrayBuffer> | undefined;

  clear(): void {
    this.#resizable = undefined;
    this.#inline = undefined;
    this.#entries = undefined;
    this.#byBuffer = undefined;
  }

  get entries(): readonly TableEntry[] {
    return this.#entries ?? NO_BUFFERS;
  }

  /** False when there are too many. */
  countResizable(buffer: ArrayBuffer): boolean {
    return (this.#resizable ??= new Set()).add(buffer).size <= RESIZABLE_COUNT_MAX;
  }

  /** The number of a buffer that was written in place, or -1 after giving it the next one. */
  inlineNumber(buffer: ArrayBuffer): number {
    const inline = (this.#inline ??= new Map());
    const known = inline.get(buffer);
    if (known !== undefined) return known;
    inline.set(buffer, inline.size);
    return -1;
  }

  /** The table number of a buffer of which `start`..`end` is needed. */
  tableNumber(buffer: ArrayBuffer, start: number, end: number, exposed: boolean): number {
    const entries = (this.#entries ??= []);
    const byBuffer = (this.#byBuffer ??= new Map());
    const known = byBuffer.get(buffer);
    if (known === undefined) {
      byBuffer.set(buffer, entries.length);
      return entries.push({ buffer, pieces: undefined, start, end, exposed }) - 1;
    }
    const entry = entries[known];
    entry.start = Math.min(entry.start, start);
    entry.end = Math.max(entry.end, end);
    entry.exposed ||= exposed;
    return known;
  }

  tableNumberOfPieces(pieces: readonly Uint8Array[]): number {
    const entries = (this.#entries ??= []);
    const end = pieces.reduce((sum, piece) => sum + piece.length, 0);
    return entries.push({ buffer: undefined, pieces, start: 0, end, exposed: false }) - 1;
  }
}

/** `structure` holds the value's bytes from LARGE_HEADER_BYTES on up to `end`, and is from here on owned by the result. */
export function finish(structure: Buffer, end: number, entries: readonly TableEntry[]): Encoded {
  if (entries.length === 0) {
    const start = LARGE_HEADER_BYTES - SMALL_HEADER_BYTES;
    structure[start] = MAGIC;
    structure[start + 1] = PLAIN_BLOCK;
    return new Block([{ offset: 0, bytes: structure.subarray(start, end) }], end - start, 0);
  }
  return withBuffers(structure, end, entries);
}

function withBuffers(structure: Buffer, end: number, entries: readonly TableEntry[]): Encoded {
  const tableStart = align(end, 8);
  const tableEnd = tableStart + entries.length * TABLE_ENTRY_BYTES;
  structure.fill(0, 0, LARGE_HEADER_BYTES);
  structure[0] = MAGIC;
  structure[1] = BUFFERS_BLOCK;
  structure.writeUInt32LE(entries.length, 4);
  structure.writeDoubleLE(end, 8);
  const table = Buffer.alloc(tableEnd - end);
  const parts: Part[] = [{ offset: 0, bytes: structure.subarray(0, end) }, { offset: end, bytes: table }];
  let at = tableEnd;
  let outOfBandBytes = 0;
  entries.forEach((entry, index) => {
    const base = entry.start - (entry.start % HULL_ALIGNMENT);
    const offset = align(at, BUFFER_ALIGNMENT);
    const row = tableStart - end + index * TABLE_ENTRY_BYTES;
    table.writeDoubleLE(offset, row);
    table.writeDoubleLE(entry.end - base, row + 8);
    table.writeDoubleLE(base, row + 16);
    table.writeUInt32LE(entry.exposed ? EXPOSED : 0, row + 24);
    if (offset > at) parts.push({ offset: at, bytes: PADDING.subarray(0, offset - at) });
    at = offset;
    for (const bytes of entry.pieces ?? slices(entry.buffer!, base, entry.end)) {
      if (bytes.length > 0) parts.push({ offset: at, bytes });
      at += bytes.length;
    }
    outOfBandBytes += entry.end - base;
  });
  return new Block(parts, at, outOfBandBytes);
}

/** On Node 20 no byte array is larger than 4 GiB. */
const SLICE_BYTES = 2 ** 31;

function* slices(buffer: ArrayBuffer, start: number, end: number): Iterable<Uint8Array> {
  for (let at = start; at < end; at += SLICE_BYTES) yield new Uint8Array(buffer, at, Math.min(SLICE_BYTES, end - at));
}

interface Part {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** The parts cover the block without gaps: a store's reused memory never shows through, and equal values have equal bytes. */
class Block implements Encoded {
  readonly size: number;
  readonly outOfBandBytes: number;
  readonly #parts: readonly Part[];

  constructor(parts: readonly Part[], size: number, outOfBandBytes: number) {
    this.#parts = parts;
    this.size = size;
    this.outOfBandBytes = outOfBandBytes;
  }

  writeTo(target: Uint8Array): void {
    for (const part of this.#parts) target.set(part.bytes, part.offset);
  }

  toBytes(): Uint8Array {
    const bytes = Buffer.allocUnsafeSlow(this.size);
    this.writeTo(bytes);
    return bytes;
  }

  parts(): Iterable<Part> {
    return this.#parts;
  }
}
