// Protocol buffer primitives for the generated codecs: a growing Writer and a bounds-checked Reader.
//
// 64-bit fields are plain numbers up to 2^53-1; anything beyond is refused at both ends. A nested message that can hold user
// bytes ("fat") gets a length of four bytes, padded as the format allows, so that megabytes are never moved to make room for
// their length; others get one byte and are moved in the rare case that they outgrow it. Nothing here keeps a reference
// to what it was given.

const TWO_32 = 4294967296;
const DEPTH_MAX = 64;
/** Longest nested message: what four length bytes can say. */
const FAT_LENGTH_MAX = 2 ** 28 - 1;
const SHORT_TEXT = 32;
const COPY_BY_HAND = 48;
/** Bytes fields from here on are views of a frame the reader owns; shorter ones are copied so as not to retain the frame. */
const VIEW_FROM = 32 * 1024;

/** The body as its sender may write it: every field optional, absent = default. Whatever was received is a valid draft. */
export type Draft<T> = T extends Uint8Array | string | number | boolean | undefined | null
  ? T
  : T extends readonly (infer E)[]
    ? readonly Draft<E>[]
    : { readonly [K in keyof T]?: Draft<T[K]> | null | undefined };

/** How one message type is written and read. */
export interface Codec<T> {
  readonly name: string;
  /** True when it can hold user bytes, directly or deeper. */
  readonly fat: boolean;
  write(writer: Writer, body: Draft<T>): void;
  /** Reads up to `end`, an offset inside the reader's bytes. */
  read(reader: Reader, end: number): T;
}

/** Bytes that are not a message of the contract. */
export class WireError extends Error {
  override readonly name = "WireError";
}

export class Writer {
  bytes: Buffer;
  position = 0;
  #depth = 0;

  constructor(capacity = 1024) {
    this.bytes = Buffer.allocUnsafeSlow(capacity);
  }

  /** Makes room for `count` more bytes. Earlier views of `bytes` then show the old buffer. */
  reserve(count: number): void {
    if (this.position + count <= this.bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, this.position + count));
    this.bytes.copy(grown, 0, 0, this.position);
    this.bytes = grown;
  }

  /** An unsigned number below 2^32, without a tag. Room must have been reserved. */
  varint(value: number): void {
    const bytes = this.bytes;
    let position = this.position;
    while (value > 127) {
      bytes[position++] = (value & 127) | 128;
      value >>>= 7;
    }
    bytes[position++] = value;
    this.position = position;
  }

  uint32(tag: number, value: number): void {
    this.reserve(16);
    this.varint(tag);
    this.varint(value >>> 0);
  }

  sint32(tag: number, value: number): void {
    this.uint32(tag, (value << 1) ^ (value >> 31));
  }

  bool(tag: number): void {
    this.uint32(tag, 1);
  }

  uint64(tag: number, value: number): void {
    if (value >>> 0 === value) return this.uint32(tag, value);
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} is no unsigned integer up to 2^53-1`);
    this.reserve(16);
    this.varint(tag);
    this.#long(value % TWO_32 >>> 0, Math.floor(value / TWO_32));
  }

  sint64(tag: number, value: number): void {
    if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is no integer within ±(2^53-1)`);
    const magnitude = value < 0 ? -value - 1 : value;
    const low = magnitude % TWO_32 >>> 0;
    const high = Math.floor(magnitude / TWO_32);
    this.reserve(16);
    this.varint(tag);
    this.#long(((low << 1) | (value < 0 ? 1 : 0)) >>> 0, ((high << 1) | (low >>> 31)) >>> 0);
  }

  /** Untagged element of a packed field. */
  packedUint64(value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} is no unsigned integer up to 2^53-1`);
    this.reserve(16);
    this.#long(value % TWO_32 >>> 0, Math.floor(value / TWO_32));
  }

  packedUint32(value: number): void {
    this.reserve(16);
    this.varint(value >>> 0);
  }

  string(tag: number, value: string): void {
    const length = value.length;
    this.reserve(16 + length * 3);
    this.varint(tag);
    if (length <= SHORT_TEXT && this.#ascii(value)) return;
    const byteLength = Buffer.byteLength(value);
    this.varint(byteLength);
    this.position += this.bytes.write(value, this.position);
  }

  raw(tag: number, value: Uint8Array): void {
    const length = value.length;
    this.reserve(16 + length);
    this.varint(tag);
    this.varint(length);
    if (length <= COPY_BY_HAND) {
      const bytes = this.bytes;
      let position = this.position;
      for (let i = 0; i < length; i++) bytes[position++] = value[i];
      this.position = position;
    } else {
      this.bytes.set(value, this.position);
      this.position += length;
    }
  }

  /** Opens a nested message; the result goes to `end`. */
  begin(tag: number, fat: boolean): number {
    if (++this.#depth > DEPTH_MAX) throw new RangeError(`messages nest deeper than ${DEPTH_MAX}`);
    this.reserve(16);
    this.varint(tag);
    this.position += fat ? 4 : 1;
    return this.position;
  }

  end(start: number, fat: boolean): void {
    this.#depth--;
    const length = this.position - start;
    if (fat) {
      if (length > FAT_LENGTH_MAX) throw new RangeError(`a message of ${length} bytes is too large`);
      const bytes = this.bytes;
      bytes[start - 4] = (length & 127) | 128;
      bytes[start - 3] = ((length >>> 7) & 127) | 128;
      bytes[start - 2] = ((length >>> 14) & 127) | 128;
      bytes[start - 1] = length >>> 21;
    } else if (length < 128) {
      this.bytes[start - 1] = length;
    } else {
      this.reserve(8);
      const end = this.position;
      this.position = start - 1;
      const width = length < 1 << 14 ? 2 : length < 1 << 21 ? 3 : length < 1 << 28 ? 4 : 5;
      this.bytes.copyWithin(start - 1 + width, start, end);
      this.varint(length);
      this.position += length;
    }
  }

  /** Drops everything written since `position`, also after a write that threw half-way. */
  rewind(position: number): void {
    this.position = position;
    this.#depth = 0;
  }

  #long(low: number, high: number): void {
    const bytes = this.bytes;
    let position = this.position;
    while (high > 0 || low > 127) {
      bytes[position++] = (low & 127) | 128;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
    }
    bytes[position++] = low;
    this.position = position;
  }

  /** Writes length and text if every character is ASCII. */
  #ascii(value: string): boolean {
    const bytes = this.bytes;
    const length = value.length;
    let position = this.position;
    bytes[position++] = length;
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i);
      if (code > 127) return false;
      bytes[position++] = code;
    }
    this.position = position;
    return true;
  }
}

// Ids travel again and again: a short text that was seen lately is found by its bytes and not made anew.
const SEEN_SIZE = 1024;
const seen: string[] = new Array<string>(SEEN_SIZE).fill("");
const EMPTY = new Uint8Array(0);

export class Reader {
  #bytes: Buffer = Buffer.alloc(0);
  #owned = false;
  #depth = 0;
  position = 0;

  /** `owned`: nobody will write into `bytes` again, so large fields may be views of it. */
  open(bytes: Buffer, owned: boolean, position = 0): void {
    this.#bytes = bytes;
    this.#owned = owned;
    this.#depth = 0;
    this.position = position;
  }

  /** Forgets the bytes. */
  close(): void {
    this.#bytes = Buffer.alloc(0);
  }

  uint32(): number {
    const bytes = this.#bytes;
    const first = bytes[this.position];
    if (first < 128) {
      this.position++;
      return first;
    }
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.position >= bytes.length) throw new WireError("a number runs over the end");
      const byte = bytes[this.position++];
      if (shift < 28) value |= (byte & 127) << shift;
      else if (shift === 28) value |= (byte & 15) << 28;
      if (byte < 128) return value >>> 0;
    }
    throw new WireError("a number is longer than ten bytes");
  }

  sint32(): number {
    const value = this.uint32();
    return (value >>> 1) ^ -(value & 1);
  }

  bool(): boolean {
    return this.uint64() !== 0;
  }

  uint64(): number {
    const bytes = this.#bytes;
    const first = bytes[this.position];
    if (first < 128) {
      this.position++;
      return first;
    }
    const low = this.#long();
    return this.#join(low, this.#high);
  }

  sint64(): number {
    const low = this.#long();
    const high = this.#high;
    const magnitude = this.#join(((low >>> 1) | (high << 31)) >>> 0, high >>> 1);
    return low & 1 ? -magnitude - 1 : magnitude;
  }

  string(): string {
    const length = this.#length();
    const start = this.position;
    this.position = start + length;
    if (length > SHORT_TEXT) return this.#bytes.toString("utf8", start, start + length);
    if (length === 0) return "";
    const bytes = this.#bytes;
    let hash = length;
    for (let i = start; i < start + length; i++) hash = (Math.imul(hash, 31) + bytes[i]) | 0;
    const place = (hash ^ (hash >>> 15)) & (SEEN_SIZE - 1);
    const known = seen[place];
    if (known.length === length) {
      let i = 0;
      while (i < length && known.charCodeAt(i) === bytes[start + i]) i++;
      if (i === length) return known;
    }
    const made = bytes.toString("utf8", start, start + length);
    // A text with other than ASCII never equals its bytes above: its length differs from them, or a code is beyond 127.
    if (made.length === length && isAscii(bytes, start, length)) seen[place] = made;
    return made;
  }

  raw(): Uint8Array {
    const length = this.#length();
    const start = this.position;
    this.position = start + length;
    if (length === 0) return EMPTY;
    const bytes = this.#bytes;
    if (length <= COPY_BY_HAND) {
      const copy = new Uint8Array(length);
      for (let i = 0; i < length; i++) copy[i] = bytes[start + i];
      return copy;
    }
    if (this.#owned && length >= VIEW_FROM) return bytes.subarray(start, start + length);
    const copy = length < VIEW_FROM ? new Uint8Array(length) : Buffer.allocUnsafeSlow(length);
    bytes.copy(copy, 0, start, start + length);
    return copy;
  }

  /** Opens a nested message and returns its end; `leave` must follow. */
  enter(limit: number): number {
    if (++this.#depth > DEPTH_MAX) throw new WireError(`messages nest deeper than ${DEPTH_MAX}`);
    const end = this.#length() + this.position;
    if (end > limit) throw new WireError("a message runs over the end of the one around it");
    return end;
  }

  leave(end: number): void {
    this.#depth--;
    if (this.position !== end) throw new WireError("a field runs over the end of its message");
  }

  /** Passes over a field this release does not know. */
  skip(tag: number): void {
    if (tag >>> 3 === 0) throw new WireError("a field has the number 0");
    switch (tag & 7) {
      case 0:
        this.#long();
        return;
      case 1:
        return this.#advance(8);
      case 2: {
        return this.#advance(this.#length());
      }
      case 5:
        return this.#advance(4);
      default:
        throw new WireError(`a field has wire type ${tag & 7}, which the contract does not use`);
    }
  }

  #high = 0;

  /** Low half of a 64-bit number; the high half is left in `#high`. */
  #long(): number {
    const bytes = this.#bytes;
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.position >= bytes.length) throw new WireError("a number runs over the end");
      const byte = bytes[this.position++];
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

  #length(): number {
    const length = this.uint32();
    if (length > this.#bytes.length - this.position) throw new WireError("a field runs over the end");
    return length;
  }

  #advance(count: number): void {
    if (count > this.#bytes.length - this.position) throw new WireError("a field runs over the end");
    this.position += count;
  }
}

function isAscii(bytes: Buffer, start: number, length: number): boolean {
  for (let i = start; i < start + length; i++) if (bytes[i] > 127) return false;
  return true;
}

/** One message by itself, as the `details` fields carry it. */
export function toBytes<T>(codec: Codec<T>, body: Draft<T>): Uint8Array {
  const writer = new Writer(256);
  codec.write(writer, body);
  return writer.bytes.subarray(0, writer.position);
}

/** Throws WireError unless `bytes` are one message of that type. */
export function fromBytes<T>(codec: Codec<T>, bytes: Uint8Array): T {
  const reader = new Reader();
  reader.open(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), false);
  return codec.read(reader, bytes.length);
}
