// The wire's writer and reader: those of protobufjs, with what the contract asks for beyond protobuf.
//
// 64-bit fields are plain numbers up to 2^53-1; anything beyond is refused at both ends. Large bytes of a frame that the
// reader owns are views of it, all others are copies. Whatever is written can be read: texts are UTF-8. Megabytes are not moved
// to make room for their length. Fields that this release does not know are passed over, not kept.

import { isUtf8 } from "node:buffer";
import { createRequire } from "node:module";

/** As far as it is used here: the methods that are replaced below have other types there. */
interface BaseReader {
  buf: Buffer;
  pos: number;
  /** Where the message that is being read ends. */
  len: number;
  tag(): number;
  size(): number;
  skipType(wireType: number, depth: number, field: number): unknown;
}
interface BaseWriter {
  buf: Buffer;
  pos: number;
  uint32(value: number): this;
}
interface Minimal {
  readonly BufferReader: new (bytes: Buffer) => BaseReader;
  readonly BufferWriter: new () => BaseWriter;
  readonly util: { Long: unknown; recursionLimit: number };
  configure(): void;
}

/**
 * Protobufjs without reflection, in its build of one file: that takes 2 ms of a process's start and not 14, and is ours alone. A
 * program may use protobufjs itself with another opinion on 64-bit fields.
 */
function load(): Minimal {
  const { protobuf: before } = globalThis as { protobuf?: unknown };
  const build = createRequire(import.meta.url)("protobufjs/dist/minimal/protobuf.min.js") as Minimal;
  // Made for browsers, it also leaves its name there.
  if (before === undefined) delete (globalThis as { protobuf?: unknown }).protobuf;
  else Object.assign(globalThis, { protobuf: before });
  build.util.Long = undefined;
  build.util.recursionLimit = DEPTH_MAX;
  build.configure();
  return build;
}

/** How deep messages may nest. */
const DEPTH_MAX = 64;
const TWO_32 = 4294967296;
const SHORT_TEXT = 32;
const COPY_BY_HAND = 48;
/** Bytes fields from here on are views of a frame the reader owns; shorter ones are copied so as not to retain the frame. */
const VIEW_FROM = 32 * 1024;
/** Bytes fields from here on widen the lengths around them before they are written. */
const WIDEN_FROM = 1024;
/** Longest message with a widened length: what four bytes can say. */
const WIDE_MAX = 2 ** 28 - 1;
const NOTHING = Buffer.alloc(0);
const EMPTY = new Uint8Array(0);

const { BufferReader, BufferWriter, util } = load();

/** Bytes that are not a message of the contract. */
export class WireError extends Error {
  override readonly name = "WireError";
}

/** Whatever protobufjs finds wrong with bytes. */
export function wireErrorOf(error: unknown): WireError {
  return error instanceof WireError ? error : new WireError((error as Error).message, { cause: error });
}

// -- reading -----------------------------------------------------------------------------------------------------------

// Ids travel again and again: a short text that was seen lately is found by its bytes and not made anew.
const SEEN_SIZE = 1024;
const seen: string[] = new Array<string>(SEEN_SIZE).fill("");

export class Reader extends BufferReader {
  static readonly recursionLimit = DEPTH_MAX;
  #owned = false;
  #high = 0;

  constructor() {
    super(NOTHING);
  }

  /** Begins at `start`. `owned`: nobody will write into `bytes` again, so large fields may be views of it. */
  open(bytes: Buffer, start: number, end: number, owned: boolean): void {
    this.buf = bytes;
    this.pos = start;
    this.len = end;
    this.#owned = owned;
  }

  /** Forgets the bytes. */
  close(): void {
    this.buf = NOTHING;
  }

  uint64(): number {
    const first = this.buf[this.pos];
    if (first < 128 && this.pos < this.len) {
      this.pos++;
      return first;
    }
    const low = this.#long();
    return joined(low, this.#high);
  }

  sint64(): number {
    const low = this.#long();
    const high = this.#high;
    const magnitude = joined(((low >>> 1) | (high << 31)) >>> 0, high >>> 1);
    return low & 1 ? -magnitude - 1 : magnitude;
  }

  /** What the static code reads a text with. */
  stringVerify(): string {
    const length = this.#take();
    const end = this.pos;
    const start = end - length;
    if (length > SHORT_TEXT) return textOf(this.buf, start, end);
    if (length === 0) return "";
    const bytes = this.buf;
    let hash = length;
    for (let i = start; i < end; i++) hash = (Math.imul(hash, 31) + bytes[i]) | 0;
    const place = (hash ^ (hash >>> 15)) & (SEEN_SIZE - 1);
    const known = seen[place];
    if (known.length === length) {
      let i = 0;
      while (i < length && known.charCodeAt(i) === bytes[start + i]) i++;
      if (i === length) return known;
    }
    const made = textOf(bytes, start, end);
    // As many characters as bytes: all are ASCII. Any other text would never equal its bytes above.
    if (made.length === length) seen[place] = made;
    return made;
  }

  bytes(): Uint8Array {
    const length = this.#take();
    if (length === 0) return EMPTY;
    const end = this.pos;
    const start = end - length;
    const bytes = this.buf;
    if (length <= COPY_BY_HAND) {
      const copy = new Uint8Array(length);
      for (let i = 0; i < length; i++) copy[i] = bytes[start + i];
      return copy;
    }
    if (this.#owned && length >= VIEW_FROM) return bytes.subarray(start, end);
    const copy = length < VIEW_FROM ? new Uint8Array(length) : Buffer.allocUnsafeSlow(length);
    bytes.copy(copy, 0, start, end);
    return copy;
  }

  /** Moves past a length and what it counts, and returns it. */
  #take(): number {
    const length = this.size();
    if (length > this.len - this.pos) throw new WireError("a field runs over the end");
    this.pos += length;
    return length;
  }

  /** Low half of a 64-bit number; the high half is left in `#high`. */
  #long(): number {
    const bytes = this.buf;
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.pos >= this.len) throw new WireError("a number runs over the end");
      const byte = bytes[this.pos++];
      const bits = byte & 127;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high |= bits >>> 4;
      } else if (shift < 63) high |= bits << (shift - 32);
      else high |= bits << 31;
      if (byte < 128) {
        this.#high = high >>> 0;
        return low >>> 0;
      }
    }
    throw new WireError("a number is longer than ten bytes");
  }
}

function joined(low: number, high: number): number {
  if (high > 0x1fffff) throw new WireError("a number is beyond 2^53-1");
  return high * TWO_32 + low;
}

/** Refuses what is not UTF-8: what would be sent on would differ from what came. */
function textOf(bytes: Buffer, start: number, end: number): string {
  if (!isUtf8(bytes.subarray(start, end))) throw new WireError("a text is not UTF-8");
  return bytes.toString("utf8", start, end);
}

// -- writing -----------------------------------------------------------------------------------------------------------

export class Writer extends BufferWriter {
  /** Where the lengths of the open messages stand, the outermost first: one byte each, or four where it is wide. */
  readonly #starts: number[] = [];
  readonly #wide: boolean[] = [];
  #depth = 0;

  constructor(capacity: number) {
    super();
    this.buf = Writer.alloc(capacity);
  }

  /** Not of Node's pool: who is given the buffer keeps nothing else alive with it. */
  static alloc(size: number): Buffer {
    return Buffer.allocUnsafeSlow(size);
  }

  uint64(value: number): this {
    if (value >>> 0 === value) this.uint32(value);
    else if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} is no unsigned integer up to 2^53-1`);
    else this.#long(value % TWO_32 >>> 0, Math.floor(value / TWO_32));
    return this;
  }

  sint64(value: number): this {
    if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is no integer within ±(2^53-1)`);
    const magnitude = value < 0 ? -value - 1 : value;
    const low = magnitude % TWO_32 >>> 0;
    const high = Math.floor(magnitude / TWO_32);
    this.#long(((low << 1) | (value < 0 ? 1 : 0)) >>> 0, ((high << 1) | (low >>> 31)) >>> 0);
    return this;
  }

  /** A packed field. */
  uint64s(values: readonly number[]): this {
    this.fork();
    for (const value of values) this.uint64(value);
    return this.ldelim();
  }

  string(value: string): this {
    if (value.length <= SHORT_TEXT && this.#ascii(value)) return this;
    const length = Buffer.byteLength(value);
    this.uint32(length);
    this.#reserve(length);
    this.pos += this.buf.write(value, this.pos);
    return this;
  }

  bytes(value: Uint8Array): this {
    const length = value.length;
    if (length >= WIDEN_FROM) this.#widen();
    this.uint32(length);
    this.#reserve(length);
    if (length > COPY_BY_HAND) this.buf.set(value, this.pos);
    else {
      const { buf, pos } = this;
      for (let i = 0; i < length; i++) buf[pos + i] = value[i];
    }
    this.pos += length;
    return this;
  }

  /** Opens a message, after its tag. */
  fork(): this {
    this.#reserve(1);
    this.#starts[this.#depth] = this.pos;
    this.#wide[this.#depth++] = false;
    this.pos += 1;
    return this;
  }

  /** Completes the message opened last. */
  ldelim(): this {
    const start = this.#starts[--this.#depth];
    const length = this.pos - start - 1;
    if (this.#wide[this.#depth]) this.#fillWide(start, length - 3);
    else if (length < 128) this.buf[start] = length;
    else this.#fillLong(start, length);
    return this;
  }

  /** Drops everything written since `position`, also after a write that threw half-way. */
  rewind(position: number): void {
    this.pos = position;
    this.#depth = 0;
  }

  #fillWide(start: number, length: number): void {
    if (length > WIDE_MAX) throw new RangeError(`a message of ${length} bytes is too large`);
    const bytes = this.buf;
    bytes[start] = (length & 127) | 128;
    bytes[start + 1] = ((length >>> 7) & 127) | 128;
    bytes[start + 2] = ((length >>> 14) & 127) | 128;
    bytes[start + 3] = length >>> 21;
  }

  #fillLong(start: number, length: number): void {
    const width = length < 1 << 14 ? 2 : length < 1 << 21 ? 3 : length < 1 << 28 ? 4 : 5;
    // Five more: the length is written in front of what is there by a method that makes room for the longest.
    this.#reserve(width + 4);
    this.buf.copyWithin(start + width, start + 1, this.pos);
    this.pos = start;
    this.uint32(length);
    this.pos = start + width + length;
  }

  /** Gives every open length four bytes, the innermost first: only what stands before the large bytes is moved. */
  #widen(): void {
    for (let i = this.#depth - 1; i >= 0; i--) {
      if (this.#wide[i]) continue;
      this.#reserve(3);
      const start = this.#starts[i];
      this.buf.copyWithin(start + 4, start + 1, this.pos);
      this.pos += 3;
      this.#wide[i] = true;
      for (let inner = i + 1; inner < this.#depth; inner++) this.#starts[inner] += 3;
    }
  }

  #long(low: number, high: number): void {
    this.#reserve(10);
    const bytes = this.buf;
    let at = this.pos;
    while (high > 0 || low > 127) {
      bytes[at++] = (low & 127) | 128;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
    }
    bytes[at++] = low;
    this.pos = at;
  }

  /** Writes length and text if every character is ASCII. */
  #ascii(value: string): boolean {
    const length = value.length;
    this.#reserve(length + 1);
    const bytes = this.buf;
    let at = this.pos;
    bytes[at++] = length;
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i);
      if (code > 127) return false;
      bytes[at++] = code;
    }
    this.pos = at;
    return true;
  }

  /** Makes room for `count` more bytes. */
  #reserve(count: number): void {
    const needed = this.pos + count;
    if (needed <= this.buf.length) return;
    const grown = Writer.alloc(Math.max(this.buf.length * 2, needed));
    this.buf.copy(grown, 0, 0, this.pos);
    this.buf = grown;
  }
}

// -- messages ----------------------------------------------------------------------------------------------------------

/** What the static code imports in place of protobufjs. */
export const protobuf = { Reader, Writer, util };

/** The body as its sender may write it: every field optional, absent = default. Whatever was received is a valid draft. */
export type Draft<T> = T extends Uint8Array | string | number | boolean | undefined | null
  ? T
  : T extends readonly (infer E)[]
    ? readonly Draft<E>[]
    : string extends keyof T
      ? T
      : { readonly [K in keyof T]?: Draft<T[K]> | null | undefined };

/** How one message type is written and read: static code of pbjs. */
export interface Codec<T> {
  readonly name: string;
  readonly encode: (body: Draft<T>, writer: Writer) => unknown;
  /** Reads the next `length` bytes. */
  readonly decode: (reader: Reader, length: number) => T;
}

/** One message by itself, as the `details` fields carry it. */
export function toBytes<T>(codec: Codec<T>, body: Draft<NoInfer<T>>): Uint8Array {
  const writer = new Writer(256);
  codec.encode(body, writer);
  return writer.buf.subarray(0, writer.pos);
}

/** Throws WireError unless `bytes` are one message of that type. */
export function fromBytes<T>(codec: Codec<T>, bytes: Uint8Array): T {
  const reader = new Reader();
  reader.open(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, bytes.length, false);
  try {
    return codec.decode(reader, bytes.length);
  } catch (error) {
    throw wireErrorOf(error);
  }
}
