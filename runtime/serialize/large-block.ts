// Blocks that are looked at in parts: those too large for one array, and those of which only a range is wanted. And blocks that
// are one array of bytes, whose header is made before there are any.

import { Buffer } from "node:buffer";
import { badBytes, ByteReader } from "./byte-reader.ts";
import {
  align, ARRAY_BUFFER, BUFFER_ALIGNMENT, BUFFERS_BLOCK, LARGE_HEADER_BYTES, MAGIC, SOURCE_TABLE, TABLE_ENTRY_BYTES, VIEW,
  VIEW_KINDS,
} from "./format.ts";
import { ByteWriter } from "./byte-writer.ts";

/** The bytes of a block, wherever they are. */
export interface BlockSource {
  readonly size: number;
  part(offset: number, length: number): ArrayBuffer;
}

export interface BufferPlace {
  readonly offset: number;
  readonly length: number;
  /** Of a typed array; an ArrayBuffer has none. */
  readonly elements: number;
}

/** Bytes of the structure and the table of a block, by its first ones. */
export function headBytes(first: Uint8Array): number {
  if (first.length < LARGE_HEADER_BYTES || first[0] !== MAGIC) throw badBytes("they have another format or version");
  if (first[1] !== BUFFERS_BLOCK) return first.length;
  const data = new DataView(first.buffer, first.byteOffset, first.byteLength);
  return align(data.getFloat64(8, true), 8) + data.getUint32(4, true) * TABLE_ENTRY_BYTES;
}

/** Where in the block the bytes of a value lie that is one buffer or typed array; undefined for any other value. */
export function bufferPlace(head: Uint8Array): BufferPlace | undefined {
  if (head.length < LARGE_HEADER_BYTES || head[0] !== MAGIC || head[1] !== BUFFERS_BLOCK) return undefined;
  const data = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const end = data.getFloat64(8, true);
  const isWhole = end > LARGE_HEADER_BYTES && align(end, 8) + TABLE_ENTRY_BYTES <= head.length;
  if (data.getUint32(4, true) !== 1 || !isWhole) return undefined;
  const reader = new ByteReader(head, LARGE_HEADER_BYTES, end);
  const tag = reader.byte();
  if (tag !== VIEW && tag !== ARRAY_BUFFER) return undefined;
  const unit = tag === VIEW ? unitOf(reader.byte()) : 1;
  if (unit === undefined || reader.byte() !== SOURCE_TABLE || reader.count() !== 0) return undefined;
  const row = align(end, 8);
  const [offset, length, base] = [data.getFloat64(row, true), data.getFloat64(row + 8, true), data.getFloat64(row + 16, true)];
  if (tag === ARRAY_BUFFER) return { offset, length, elements: 0 };
  const start = reader.count() - base;
  const elements = reader.count();
  return { offset: offset + start, length: elements * unit, elements };
}

/** The head of a block whose value is a Uint8Array of `size` bytes, which begin at `offset`. */
export function byteArrayHead(size: number): { readonly head: Uint8Array; readonly offset: number } {
  const out = new ByteWriter();
  out.grow(Buffer.alloc(HEAD_SCRATCH_BYTES), LARGE_HEADER_BYTES);
  out.byte(VIEW);
  out.byte(VIEW_KINDS.indexOf("Uint8Array"));
  out.byte(SOURCE_TABLE);
  out.count(0);
  out.count(0);
  out.count(size);
  const end = out.at;
  const table = align(end, 8);
  const offset = align(table + TABLE_ENTRY_BYTES, BUFFER_ALIGNMENT);
  const head = Buffer.alloc(offset);
  head.set(out.bytes.subarray(0, end));
  head[0] = MAGIC;
  head[1] = BUFFERS_BLOCK;
  head.writeUInt32LE(1, 4);
  head.writeDoubleLE(end, 8);
  head.writeDoubleLE(offset, table);
  head.writeDoubleLE(size, table + 8);
  return { head, offset };
}
const HEAD_SCRATCH_BYTES = 256;

function unitOf(kind: number): number | undefined {
  const name = VIEW_KINDS[kind];
  if (name === undefined) return undefined;
  return (globalThis as unknown as Record<string, { BYTES_PER_ELEMENT?: number }>)[name]?.BYTES_PER_ELEMENT ?? 1;
}
