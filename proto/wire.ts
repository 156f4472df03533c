// The wire's writer and reader: those of protobufjs, with what the contract asks for beyond protobuf.
//
// 64-bit fields are plain numbers up to 2^53-1; anything beyond is refused at both ends. Large bytes of a frame that the
// reader owns are views of it, all others are copies. Fields that this release does not know are passed over, not kept.

import protobuf from "protobufjs/minimal.js";

const TWO_32 = 4294967296;
/** Bytes fields from here on are views of a frame the reader owns; shorter ones are copied so as not to retain the frame. */
const VIEW_FROM = 32 * 1024;
const SHORT_TEXT = 32;

/** The body as its sender may write it: every field optional, absent = default. Whatever was received is a valid draft. */
export type Draft<T> = T extends Uint8Array | string | number | boolean | undefined | null
  ? T
  : T extends readonly (infer E)[]
    ? readonly Draft<E>[]
    : { readonly [K in keyof T]?: Draft<T[K]> | null | undefined };

/** How one message type is written and read: static code of pbjs. */
export interface Codec<T> {
  readonly name: string;
  encode(body: Draft<T>, writer: Writer): unknown;
  /** Reads the next `length` bytes. */
  decode(reader: Reader, length: number): T;
}

/** Bytes that are not a message of the contract. */
export class WireError extends Error {
  override readonly name = "WireError";
}

export class Writer extends protobuf.BufferWriter {
  /** Drops everything written since `position`, also after a write that threw half-way. */
  rewind(position: number): void {
    this.pos = position;
    this.states = null;
  }

  override uint64(value: number): this {
    if (value >>> 0 === value) super.uint32(value);
    else if (Number.isSafeInteger(value) && value >= 0) super.uint64(value);
    else throw new RangeError(`${value} is no unsigned integer up to 2^53-1`);
    return this;
  }

  override sint64(value: number): this {
    if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is no integer within ±(2^53-1)`);
    super.sint64(value);
    return this;
  }
}

// Ids travel again and again: a short text that was seen lately is found by its bytes and not made anew.
const SEEN_SIZE = 1024;
const seen: string[] = new Array<string>(SEEN_SIZE).fill("");
const EMPTY = new Uint8Array(0);

export class Reader extends protobuf.BufferReader {
  override discardUnknown = true;
  #owned = false;
  #high = 0;

  constructor() {
    super(NOTHING);
  }

  /** Up to `end`. `owned`: nobody will write into `bytes` again, so large fields may be views of it. */
  open(bytes: Buffer, start: number, end: number, owned: boolean): void {
    this.buf = bytes;
    this.pos = start;
    this.len = end;
    this.#owned = owned;
  }

  /** Forgets the bytes. */
  close(): void {
    this.buf = NOTHING;
    this.len = 0;
  }

  /** A number: `long` objects of other users of protobufjs are none of ours. */
  override uint64(): never {
    const low = this.#long();
    return this.#join(low, this.#high) as never;
  }

  override sint64(): never {
    const low = this.#long();
    const magnitude = this.#join(((low >>> 1) | (this.#high << 31)) >>> 0, this.#high >>> 1);
    return (low & 1 ? -magnitude - 1 : magnitude) as never;
  }

  /** Code that pbjs wrote asks for texts that are checked to be UTF-8. */
  override stringVerify(): string {
    const start = this.pos;
    const length = this.buf[start];
    if (length >= SHORT_TEXT || start + 1 + length > this.len) return super.stringVerify();
    this.pos = start + 1 + length;
    if (length === 0) return "";
    return shortText(this.buf as Buffer, start + 1, length) ?? this.#verified(start);
  }

  override bytes(): Buffer {
    const length = this.uint32();
    const start = this.pos;
    if (length > this.len - start) throw new WireError("a field runs over the end");
    this.pos = start + length;
    if (length === 0) return EMPTY as Buffer;
    const source = this.buf as Buffer;
    if (this.#owned && length >= VIEW_FROM) return source.subarray(start, start + length);
    const copy = length < VIEW_FROM ? (new Uint8Array(length) as Buffer) : Buffer.allocUnsafeSlow(length);
    source.copy(copy, 0, start, start + length);
    return copy;
  }

  #verified(start: number): string {
    this.pos = start;
    return super.stringVerify();
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

  #join(low: number, high: number): number {
    if (high > 0x1fffff) throw new WireError("a number is beyond 2^53-1");
    return high * TWO_32 + low;
  }
}

const NOTHING = Buffer.alloc(0);

/** Undefined for a text with other than ASCII. */
function shortText(bytes: Buffer, start: number, length: number): string | undefined {
  let hash = length;
  for (let at = start; at < start + length; at++) {
    if (bytes[at] > 127) return undefined;
    hash = (Math.imul(hash, 31) + bytes[at]) | 0;
  }
  const place = (hash ^ (hash >>> 15)) & (SEEN_SIZE - 1);
  const known = seen[place];
  if (known.length === length) {
    let at = 0;
    while (at < length && known.charCodeAt(at) === bytes[start + at]) at++;
    if (at === length) return known;
  }
  const made = bytes.toString("latin1", start, start + length);
  seen[place] = made;
  return made;
}

/** One message by itself, as the `details` fields carry it. */
export function toBytes<T>(codec: Codec<T>, body: Draft<T>): Uint8Array {
  const writer = new Writer();
  codec.encode(body, writer);
  return writer.finish();
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

/** Whatever protobufjs finds wrong with bytes. */
export function wireErrorOf(error: unknown): WireError {
  return error instanceof WireError ? error : new WireError((error as Error).message, { cause: error });
}
