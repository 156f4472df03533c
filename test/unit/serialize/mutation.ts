// Encoded values with a few bytes changed, the same ones for the same seed.

import { Buffer } from "node:buffer";

/** Most of what a header says stands at the front. */
const FRONT_BYTES = 400;
const CHANGES_MAX = 4;
const BORROWED_BYTES_MAX = 40;

export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function mutated(source: Buffer, other: Buffer, next: () => number): Buffer {
  let bytes = Buffer.from(source);
  const below = (limit: number): number => Math.floor(next() * limit);
  for (let changes = 1 + below(CHANGES_MAX); changes > 0 && bytes.length > 0; changes--) {
    const at = below(Math.min(bytes.length, next() < 0.8 ? FRONT_BYTES : bytes.length));
    switch (below(7)) {
      case 0: bytes[at] = below(256); break;
      case 1: bytes[at] ^= 1 << below(8); break;
      case 2: bytes = bytes.subarray(0, at); break;
      case 3: {
        const from = below(other.length);
        const borrowed = other.subarray(from, from + below(BORROWED_BYTES_MAX));
        bytes = Buffer.concat([bytes.subarray(0, at), borrowed, bytes.subarray(at)]);
        break;
      }
      case 4: bytes.fill(0xff, at, Math.min(at + 4, bytes.length)); break;
      // A tag, and a count of up to 49 bits.
      case 5: bytes[at] = 0xb0 + below(0x50); break;
      default: bytes = Buffer.concat([bytes.subarray(0, at), hugeCount(below(7)), bytes.subarray(at + 1)]);
    }
  }
  return bytes;
}

function hugeCount(more: number): Buffer {
  return Buffer.from([...new Array<number>(more).fill(0xff), 0x7f]);
}
