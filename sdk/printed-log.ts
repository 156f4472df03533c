// What a program printed: the last of it, and where in all of it that lies.

/** Its first byte is the `begin`th that was printed. */
export interface Printed {
  readonly begin: number;
  readonly bytes: Uint8Array;
}

/** A ring of bytes: each is copied once when it comes, however little comes at a time. */
export class PrintedLog {
  readonly #ring: Buffer;
  #end = 0;

  /** Keeps the last `limit` bytes. */
  constructor(limit: number) {
    this.#ring = Buffer.allocUnsafeSlow(limit);
  }

  add(bytes: Uint8Array): void {
    const limit = this.#ring.length;
    const kept = bytes.subarray(Math.max(0, bytes.length - limit));
    const at = (this.#end + bytes.length - kept.length) % limit;
    const first = kept.subarray(0, limit - at);
    this.#ring.set(first, at);
    this.#ring.set(kept.subarray(first.length), 0);
    this.#end += bytes.length;
  }

  /** What is kept from a byte on. */
  from(byte: number): Printed {
    const limit = this.#ring.length;
    const begin = Math.min(this.#end, Math.max(byte, this.#end - limit, 0));
    const at = begin % limit;
    const count = this.#end - begin;
    const first = this.#ring.subarray(at, Math.min(limit, at + count));
    return { begin, bytes: Buffer.concat([first, this.#ring.subarray(0, count - first.length)]) };
  }

  /** The last bytes. */
  last(count: number): Printed {
    return this.from(this.#end - count);
  }
}

/** Of what was printed, what comes from a byte on. */
export function fromByte({ begin, bytes }: Printed, byte: number): Printed {
  const skipped = Math.min(Math.max(0, byte - begin), bytes.length);
  return { begin: begin + skipped, bytes: bytes.subarray(skipped) };
}

/** As text, with where the next byte will be. A character that is not there to its last byte is left for the next time. */
export function textOf({ begin, bytes }: Printed): { readonly text: string; readonly end: number } {
  const whole = bytes.subarray(0, bytes.length - unfinished(bytes));
  return { text: Buffer.from(whole.buffer, whole.byteOffset, whole.length).toString(), end: begin + whole.length };
}

/** How many bytes at the end are the beginning of a character of UTF-8. */
function unfinished(bytes: Uint8Array): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back += 1) {
    const byte = bytes[bytes.length - back];
    if ((byte & 0xc0) === 0x80) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}
