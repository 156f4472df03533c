// Input of the decoder. Every length is checked against the bytes that remain before anything is made from it.

import { Buffer } from "node:buffer";
import { SerializationError } from "../errors.ts";
import { LATIN1, SHORT_ARRAY, SHORT_TEXT, UTF16 } from "./format.ts";

const CACHED_TEXT_MAX = 24;
const CACHE_SLOTS = 2048;
const float = new Float64Array(1);
const floatBytes = new Uint8Array(float.buffer);
const { fromCharCode } = String;

/** Short texts seen before, by a hash of their bytes: property names are read without making a string. */
const textCache: string[] = new Array<string>(CACHE_SLOTS).fill("");

export function badBytes(text: string, cause?: unknown): SerializationError {
  return new SerializationError(`these bytes are not a Troupe value: ${text}`, { path: "" }, cause);
}

/** Up to here the engine joins characters faster than it makes a string of bytes. */
const JOINED_TEXT_MAX = 12;

function joined(b: Uint8Array, s: number, length: number): string {
  switch (length) {
    case 0: return "";
    case 1: return fromCharCode(b[s]);
    case 2: return fromCharCode(b[s], b[s + 1]);
    case 3: return fromCharCode(b[s], b[s + 1], b[s + 2]);
    case 4: return fromCharCode(b[s], b[s + 1], b[s + 2], b[s + 3]);
    case 5: return fromCharCode(b[s], b[s + 1], b[s + 2], b[s + 3], b[s + 4]);
    case 6: return fromCharCode(b[s], b[s + 1], b[s + 2], b[s + 3], b[s + 4], b[s + 5]);
    case 7: return fromCharCode(b[s], b[s + 1], b[s + 2], b[s + 3], b[s + 4], b[s + 5], b[s + 6]);
    case 8: return fromCharCode(b[s], b[s + 1], b[s + 2], b[s + 3], b[s + 4], b[s + 5], b[s + 6], b[s + 7]);
    default: return joined(b, s, 8) + joined(b, s + 8, length - 8);
  }
}

export class ByteReader {
  readonly bytes: Buffer;
  at: number;
  readonly end: number;

  constructor(block: Uint8Array, start: number, end: number) {
    this.bytes = Buffer.isBuffer(block) ? block : Buffer.from(block.buffer, block.byteOffset, block.byteLength);
    this.at = start;
    this.end = end;
  }

  byte(): number {
    if (this.at >= this.end) throw badBytes("they end too early");
    return this.bytes[this.at++];
  }

  count(): number {
    let value = this.byte();
    if (value < 0x80) return value;
    value &= 0x7f;
    let scale = 0x80;
    for (let i = 0; i < 7; i++) {
      const next = this.byte();
      value += (next & 0x7f) * scale;
      if (next < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
      scale *= 0x80;
    }
    throw badBytes("a count is too large");
  }

  /** A count of things that take at least `unit` bytes each. */
  countOf(unit: number): number {
    const count = this.count();
    if (count * unit > this.end - this.at) throw badBytes("a length goes past their end");
    return count;
  }

  int16(): number {
    this.#need(2);
    const { bytes, at } = this;
    this.at = at + 2;
    return ((bytes[at] | (bytes[at + 1] << 8)) << 16) >> 16;
  }

  int32(): number {
    this.#need(4);
    const { bytes, at } = this;
    this.at = at + 4;
    return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
  }

  float(): number {
    this.#need(8);
    const { bytes, at } = this;
    // Written out: in a loop it takes twice as long.
    floatBytes[0] = bytes[at];
    floatBytes[1] = bytes[at + 1];
    floatBytes[2] = bytes[at + 2];
    floatBytes[3] = bytes[at + 3];
    floatBytes[4] = bytes[at + 4];
    floatBytes[5] = bytes[at + 5];
    floatBytes[6] = bytes[at + 6];
    floatBytes[7] = bytes[at + 7];
    this.at = at + 8;
    return float[0];
  }

  /** A view of the input. */
  raw(length: number): Buffer {
    this.#need(length);
    const start = this.at;
    this.at = start + length;
    return this.bytes.subarray(start, this.at);
  }

  /** A text value; `tag` was read. */
  textOf(tag: number): string {
    if (tag >= SHORT_TEXT && tag < SHORT_ARRAY) return this.latin1(tag & 0x1f);
    if (tag === LATIN1) return this.latin1(this.countOf(1));
    if (tag !== UTF16) throw badBytes("a text is missing");
    const start = this.#skip(this.countOf(2) * 2);
    return this.bytes.toString("utf16le", start, this.at);
  }

  text(): string {
    return this.textOf(this.byte());
  }

  /** Text of property names and other texts that come again and again. */
  name(tag: number): string {
    if (tag < SHORT_TEXT || tag > SHORT_TEXT + CACHED_TEXT_MAX) return this.textOf(tag);
    const length = tag & 0x1f;
    const start = this.#skip(length);
    const { bytes, at: end } = this;
    let hash = length;
    for (let i = start; i < end; i++) hash = (hash * 31 + bytes[i]) | 0;
    const slot = (hash ^ (hash >>> 11)) & (CACHE_SLOTS - 1);
    const known = textCache[slot];
    if (known.length === length) {
      let i = 0;
      while (i < length && known.charCodeAt(i) === bytes[start + i]) i++;
      if (i === length) return known;
    }
    const made = bytes.toString("latin1", start, end);
    textCache[slot] = made;
    return made;
  }

  latin1(length: number): string {
    const start = this.#skip(length);
    return length <= JOINED_TEXT_MAX ? joined(this.bytes, start, length) : this.bytes.toString("latin1", start, this.at);
  }

  #skip(length: number): number {
    this.#need(length);
    const start = this.at;
    this.at = start + length;
    return start;
  }

  #need(length: number): void {
    if (length > this.end - this.at) throw badBytes("they end too early");
  }
}
