// Checks the bytes of an Arrow IPC stream before apache-arrow sees them: it trusts every count it reads, and a few wrong bits
// make it loop or ask for gigabytes. What is checked is what it follows: offsets, counts and lengths, not the meaning.
//
//   stream    ┌ FFFFFFFF ┬ n i32 ┬ metadata (flatbuffer, n bytes) ┬ body ┐ …  ended by n = 0 or the end of the bytes
//   table     at p: i32 back to its vtable ┌ u16 its size ┬ u16 the table's size ┬ u16 offset of each slot, 0 = not there ┐

import { badBytes } from "./byte-reader.ts";

const CONTINUATION = 0xffffffff;
const SCHEMA = 1;
const DICTIONARY_BATCH = 2;
const RECORD_BATCH = 3;
/** Type numbers of Schema.fbs with more than plain numbers in their table. */
const TIMESTAMP = 10;
const UNION = 14;
const FIELD_DEPTH_MAX = 64;
const STRUCT_BYTES = 16;
/** Columns of nulls have rows and no bytes; apache-arrow may make a bitmap for them. */
const ROWS_WITHOUT_BYTES = 2 ** 27;
/** Dictionaries of bits or nulls; apache-arrow makes an array of the length a dictionary says it has. */
const ENTRIES_WITHOUT_BYTES = 64;

/** Throws SerializationError for a stream that is not sound. */
export function checkArrowStream(bytes: Uint8Array): void {
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  /** Nodes of each column of the last schema. */
  let columns: readonly number[] = [];
  let at = 0;
  while (at + 4 <= data.byteLength) {
    if (data.getUint32(at, true) === CONTINUATION) at += 4;
    if (at + 4 > data.byteLength) break;
    const length = data.getInt32(at, true);
    at += 4;
    // apache-arrow may read on behind the end of a stream.
    if (length === 0 && at === data.byteLength) return;
    if (length <= 0 || length > data.byteLength - at) throw unsound();
    const message = new Metadata(new DataView(bytes.buffer, bytes.byteOffset + at, length), columns);
    at += length;
    at += message.check(data.byteLength - at);
    columns = message.columns;
  }
}

function unsound(): Error {
  return badBytes("the Arrow data is not sound");
}

class Metadata {
  readonly #data: DataView;
  /** Tables may be named many times: the walk must end in proportion to the bytes. */
  #budget: number;
  columns: readonly number[];

  constructor(data: DataView, columns: readonly number[]) {
    this.#data = data;
    this.columns = columns;
    this.#budget = data.byteLength;
  }

  /** Returns the size of the message's body, of which `available` bytes are there. */
  check(available: number): number {
    const root = this.#table(this.#uint32(0));
    const bodyBytes = this.#long(root, 3);
    if (bodyBytes > available) throw unsound();
    const kindAt = this.#slot(root, 1, 1);
    const kind = kindAt === 0 ? 0 : this.#data.getUint8(kindAt);
    const header = this.#child(root, 2);
    this.#keyValues(root, 4);
    if (header === 0) throw unsound();
    // apache-arrow reads no body after a schema: there must be none.
    if (kind === SCHEMA && bodyBytes === 0) this.#schema(header);
    else if (kind === RECORD_BATCH) this.#columns(header, this.#batch(header, bodyBytes, bodyBytes * 8 + ROWS_WITHOUT_BYTES));
    else if (kind === DICTIONARY_BATCH) this.#batch(this.#child(header, 1), bodyBytes, bodyBytes + ENTRIES_WITHOUT_BYTES);
    else throw unsound();
    return bodyBytes;
  }

  #schema(table: number): void {
    const columns: number[] = [];
    this.#tables(table, 1, (field) => columns.push(this.#field(field, 0)));
    this.columns = columns;
    this.#keyValues(table, 2);
    this.#vector(table, 3, 8);
  }

  /** Returns how many nodes of a batch the field takes. */
  #field(table: number, depth: number): number {
    if (depth > FIELD_DEPTH_MAX) throw unsound();
    this.#vector(table, 0, 1);
    const kindAt = this.#slot(table, 2, 1);
    const type = this.#child(table, 3);
    const kind = kindAt === 0 ? 0 : this.#data.getUint8(kindAt);
    if (type !== 0 && kind === TIMESTAMP) this.#vector(type, 1, 1);
    if (type !== 0 && kind === UNION) this.#vector(type, 1, 4);
    const dictionary = this.#child(table, 4);
    if (dictionary !== 0) this.#child(dictionary, 1);
    let nodes = 1;
    this.#tables(table, 5, (child) => (nodes += this.#field(child, depth + 1)));
    this.#keyValues(table, 6);
    return dictionary === 0 ? nodes : 1;
  }

  /** Columns that are shorter than their batch are filled up, with memory of apache-arrow's own. */
  #columns(batch: number, lengths: readonly number[]): void {
    const rows = this.#long(batch, 0);
    let node = 0;
    for (const nodes of this.columns) {
      if (lengths[node] !== rows) throw unsound();
      node += nodes;
    }
  }

  /** Returns the lengths of the batch's nodes. */
  #batch(table: number, bodyBytes: number, rowsMax: number): readonly number[] {
    if (table === 0) throw unsound();
    if (this.#long(table, 0) > rowsMax) throw unsound();
    const lengths: number[] = [];
    this.#structs(table, 1, (length, nulls) => lengths.push(length) > 0 && length <= rowsMax && nulls <= length);
    this.#structs(table, 2, (offset, length) => offset + length <= bodyBytes);
    this.#child(table, 3);
    const buffers = this.#vector(table, 2, STRUCT_BYTES).count;
    const variadic = this.#vector(table, 4, 8);
    for (let i = 0; i < variadic.count; i++) if (this.#int64(variadic.start + i * 8) > buffers) throw unsound();
    return lengths;
  }

  #keyValues(table: number, slot: number): void {
    this.#tables(table, slot, (pair) => {
      this.#vector(pair, 0, 1);
      this.#vector(pair, 1, 1);
    });
  }

  #structs(table: number, slot: number, isSound: (first: number, second: number) => boolean): void {
    const { start, count } = this.#vector(table, slot, STRUCT_BYTES);
    for (let i = 0; i < count; i++) {
      const at = start + i * STRUCT_BYTES;
      if (!isSound(this.#int64(at), this.#int64(at + 8))) throw unsound();
    }
  }

  #tables(table: number, slot: number, each: (child: number) => void): void {
    const { start, count } = this.#vector(table, slot, 4);
    for (let i = 0; i < count; i++) each(this.#table(start + i * 4 + this.#uint32(start + i * 4)));
  }

  /** Where a slot's bytes are, or 0. */
  #slot(table: number, slot: number, bytes: number): number {
    const vtable = table - this.#data.getInt32(table, true);
    const at = 4 + slot * 2;
    if (at + 2 > this.#data.getUint16(vtable, true)) return 0;
    const offset = this.#data.getInt16(vtable + at, true);
    if (offset === 0) return 0;
    if (offset < 0) throw unsound();
    this.#need(table + offset, bytes);
    return table + offset;
  }

  #child(table: number, slot: number): number {
    const at = this.#slot(table, slot, 4);
    return at === 0 ? 0 : this.#table(at + this.#uint32(at));
  }

  #vector(table: number, slot: number, bytes: number): { start: number; count: number } {
    const at = this.#slot(table, slot, 4);
    if (at === 0) return { start: 0, count: 0 };
    const vector = at + this.#uint32(at);
    const count = this.#uint32(vector);
    this.#need(vector + 4, count * bytes);
    return { start: vector + 4, count };
  }

  /** A number of 64 bits that must not be negative; 0 when it is not there. */
  #long(table: number, slot: number): number {
    const at = this.#slot(table, slot, 8);
    return at === 0 ? 0 : this.#int64(at);
  }

  #int64(at: number): number {
    const value = Number(this.#data.getBigInt64(at, true));
    if (value < 0 || !Number.isSafeInteger(value)) throw unsound();
    return value;
  }

  /** Checks that a table stands at `at`, and returns that. */
  #table(at: number): number {
    if (--this.#budget < 0) throw unsound();
    this.#need(at, 4);
    const vtable = at - this.#data.getInt32(at, true);
    this.#need(vtable, 4);
    const size = this.#data.getInt16(vtable, true);
    if (size < 4 || size % 2 !== 0) throw unsound();
    this.#need(vtable, size);
    return at;
  }

  #uint32(at: number): number {
    this.#need(at, 4);
    return this.#data.getUint32(at, true);
  }

  #need(at: number, bytes: number): void {
    if (at < 0 || at + bytes > this.#data.byteLength) throw unsound();
  }
}
