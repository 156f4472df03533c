// Output of the encoder: a caller's memory of fixed size, or own memory that grows.

import { Buffer } from "node:buffer";
import { LATIN1, SHORT_TEXT, SHORT_TEXT_MAX, UTF16 } from "./format.ts";

/** Thrown when a fixed target is full; never leaves the folder. */
export const OVERFLOW: unique symbol = Symbol("overflow");

const LOOP_TEXT_MAX = 40;
const GROWTH_MIN = 16 * 1024;
const BYTES_MAX = 2 ** 32 - 4096;

const float = new Float64Array(1);
const floatBytes = new Uint8Array(float.buffer);

export class ByteWriter {
  bytes: Buffer = Buffer.alloc(0);
  at = 0;
  #limit = 0;
  #growable = false;
  #wrapped: Uint8Array | undefined;

  /** Writes to `target` from `offset` on; OVERFLOW is thrown past its end. */
  aim(target: Uint8Array, offset: number): void {
    if (this.#wrapped !== target) {
      this.#wrapped = target;
      this.bytes = Buffer.isBuffer(target) ? target : Buffer.from(target.buffer, target.byteOffset, target.byteLength);
    }
    this.at = offset;
    this.#limit = target.length;
    this.#growable = false;
  }

  /** Writes to own memory, starting with `scratch`, whose contents may be overwritten. */
  grow(scratch: Buffer, offset: number): void {
    this.#wrapped = undefined;
    this.bytes = scratch;
    this.at = offset;
    this.#limit = scratch.length;
    this.#growable = true;
  }

  reserve(count: number): void {
    if (this.at + count > this.#limit) this.#extend(count);
  }

  #extend(count: number): void {
    if (!this.#growable) throw OVERFLOW;
    const needed = this.at + count;
    if (needed > BYTES_MAX) throw new RangeError("the structure of the value is larger than 4 GiB");
    const size = Math.min(BYTES_MAX, Math.max(needed, this.#limit * 2, GROWTH_MIN));
    const larger = Buffer.allocUnsafeSlow(size);
    this.bytes.copy(larger, 0, 0, this.at);
    this.bytes = larger;
    this.#limit = size;
  }

  byte(value: number): void {
    if (this.at >= this.#limit) this.#extend(1);
    this.bytes[this.at++] = value;
  }

  /** A LEB128 number of at most 53 bits. */
  count(value: number): void {
    if (value < 0x80) {
      this.byte(value);
      return;
    }
    this.reserve(8);
    const { bytes } = this;
    let rest = value;
    while (rest >= 0x80) {
      bytes[this.at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    bytes[this.at++] = rest;
  }

  tagged16(tag: number, value: number): void {
    this.reserve(3);
    const { bytes } = this;
    bytes[this.at++] = tag;
    bytes[this.at++] = value;
    bytes[this.at++] = value >> 8;
  }

  tagged32(tag: number, value: number): void {
    this.reserve(5);
    const { bytes } = this;
    bytes[this.at++] = tag;
    bytes[this.at++] = value;
    bytes[this.at++] = value >> 8;
    bytes[this.at++] = value >> 16;
    bytes[this.at++] = value >> 24;
  }

  float(value: number): void {
    this.reserve(8);
    float[0] = value;
    const { bytes } = this;
    const { at } = this;
    // Written out: in a loop it takes twice as long.
    bytes[at] = floatBytes[0];
    bytes[at + 1] = floatBytes[1];
    bytes[at + 2] = floatBytes[2];
    bytes[at + 3] = floatBytes[3];
    bytes[at + 4] = floatBytes[4];
    bytes[at + 5] = floatBytes[5];
    bytes[at + 6] = floatBytes[6];
    bytes[at + 7] = floatBytes[7];
    this.at = at + 8;
  }

  raw(source: Uint8Array): void {
    this.reserve(source.length);
    this.bytes.set(source, this.at);
    this.at += source.length;
  }

  /** A text value with its tag. */
  text(value: string): void {
    const { length } = value;
    if (length > LOOP_TEXT_MAX) {
      this.#longText(value);
      return;
    }
    this.reserve(length + 2);
    const { bytes } = this;
    const start = this.at;
    let at = start;
    if (length <= SHORT_TEXT_MAX) {
      bytes[at++] = SHORT_TEXT | length;
    } else {
      bytes[at++] = LATIN1;
      bytes[at++] = length;
    }
    let all = 0;
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i);
      all |= code;
      bytes[at++] = code;
    }
    if (all > 0xff) this.#wideText(value);
    else this.at = at;
  }

  #wideText(value: string): void {
    this.byte(UTF16);
    this.count(value.length);
    this.reserve(value.length * 2);
    this.at += this.bytes.write(value, this.at, "utf16le");
  }

  /** Writes one byte a character and reads it back: cheaper than looking at each character, and exact. */
  #longText(value: string): void {
    const { length } = value;
    const start = this.at;
    this.byte(LATIN1);
    this.count(length);
    this.reserve(length);
    this.bytes.write(value, this.at, "latin1");
    if (this.bytes.toString("latin1", this.at, this.at + length) === value) {
      this.at += length;
    } else {
      this.at = start;
      this.#wideText(value);
    }
  }
}
