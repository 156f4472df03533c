// What arrives on a direct connection, taken apart: frames, and bytes beside them, which are read to where they belong.
//
//   u32 little endian: bytes beside the frame     u32: length of the frame     frame     bytes beside it
//
// `room` is where the next read goes: into the place of what is arriving, or into a small buffer that all connections share, for
// a read is handled to its end before the next one starts. A frame that continues in the next read is gathered in memory that
// grows with what has arrived, never with what a peer claims.

import type { Place } from "./carrier.ts";

export const HEAD_BYTES = 8;
/** So much of what lies beside a frame is copied at most. */
const SCRATCH_BYTES = 8 * 1024;
const GATHER_START = 4 * 1024;
const NOTHING = Buffer.alloc(0);

const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);

export interface DirectArrivals {
  /** Of a frame; larger ones are not gathered. */
  readonly frameMax: () => number;
  frame(bytes: Buffer, start: number, end: number, owned: boolean): void;
  /** Undefined: nothing more is read. */
  beside(bytes: Buffer, start: number, end: number, length: number): Place | undefined;
  arrived(place: Place): void;
  tooLong(length: number): void;
}

export class DirectReader {
  readonly #arrivals: DirectArrivals;
  /** A head, or a head and a part of its frame. */
  #gathered = NOTHING;
  #filled = 0;
  #place: Place | undefined;
  #placed = 0;
  #isLent = false;
  #isOver = false;

  constructor(arrivals: DirectArrivals) {
    this.#arrivals = arrivals;
  }

  room(): Uint8Array {
    return this.#place === undefined || this.#isLent ? scratch : this.#place.bytes.subarray(this.#placed);
  }

  /** So much is still to come to the present place. */
  get missing(): number {
    return this.#place === undefined ? 0 : this.#place.bytes.length - this.#placed;
  }

  /** What is missing is put there by somebody else, who says so with `filled`. `have`: bytes that are there. */
  lend(): { readonly bytes: Uint8Array; readonly have: number } {
    this.#isLent = true;
    return { bytes: (this.#place as Place).bytes, have: this.#placed };
  }

  /** `sum`: of all bytes of the place. */
  filled(sum: number): void {
    if (this.#place === undefined) return;
    this.#isLent = false;
    this.#placed = this.#place.bytes.length;
    this.#place.summed?.(sum);
    this.#landed();
  }

  /** So many bytes were read to `room`. */
  took(length: number): void {
    if (this.#place === undefined) return this.read(scratch, length);
    this.#placed += length;
    this.#landed();
  }

  /** The same for bytes that are somewhere else, and may change afterwards. */
  read(bytes: Buffer, length: number): void {
    let at = 0;
    while (at < length && !this.#isOver) {
      at = this.#place === undefined ? this.#frame(bytes, at, length) : this.#fill(bytes, at, length);
    }
  }

  /** Nothing more is read. Safe to call twice. */
  end(): void {
    this.#isOver = true;
    const place = this.#place;
    this.#place = undefined;
    place?.ended();
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #fill(bytes: Buffer, at: number, length: number): number {
    const { bytes: target } = this.#place as Place;
    const until = Math.min(length, at + target.length - this.#placed);
    target.set(bytes.subarray(at, until), this.#placed);
    this.#placed += until - at;
    this.#landed();
    return until;
  }

  #landed(): void {
    const place = this.#place as Place;
    if (this.#placed < place.bytes.length) return;
    this.#place = undefined;
    this.#arrivals.arrived(place);
    place.ended();
  }

  /** Returns where what follows begins. */
  #frame(bytes: Buffer, at: number, length: number): number {
    if (this.#filled === 0 && length - at >= HEAD_BYTES) {
      const end = at + HEAD_BYTES + this.#lengthOf(bytes, at);
      if (this.#isOver) return length;
      if (end <= length) {
        this.#take(bytes, at, end, false);
        return end;
      }
    }
    return this.#gather(bytes, at, length);
  }

  #gather(bytes: Buffer, at: number, length: number): number {
    const needed = HEAD_BYTES + (this.#filled < HEAD_BYTES ? 0 : this.#lengthOf(this.#gathered, 0));
    const count = Math.min(length - at, needed - this.#filled);
    this.#grow(this.#filled + count);
    bytes.copy(this.#gathered, this.#filled, at, at + count);
    this.#filled += count;
    if (this.#filled < HEAD_BYTES) return at + count;
    const end = HEAD_BYTES + this.#lengthOf(this.#gathered, 0);
    if (this.#isOver || this.#filled < end) return at + count;
    const whole = this.#gathered;
    this.#gathered = NOTHING;
    this.#filled = 0;
    this.#take(whole, 0, end, true);
    return at + count;
  }

  #lengthOf(bytes: Buffer, at: number): number {
    const length = bytes.readUInt32LE(at + HEAD_BYTES / 2);
    if (length <= this.#arrivals.frameMax()) return length;
    this.end();
    this.#arrivals.tooLong(length);
    return 0;
  }

  #take(bytes: Buffer, start: number, end: number, owned: boolean): void {
    const beside = bytes.readUInt32LE(start);
    if (beside === 0) return this.#arrivals.frame(bytes, start + HEAD_BYTES, end, owned);
    const place = this.#arrivals.beside(bytes, start + HEAD_BYTES, end, beside);
    if (place === undefined) return this.end();
    // The connection may have ended while the place was sought.
    if (this.#isOver) return place.ended();
    this.#place = place;
    this.#placed = 0;
  }

  #grow(needed: number): void {
    if (needed <= this.#gathered.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, GATHER_START, this.#gathered.length * 2));
    this.#gathered.copy(grown, 0, 0, this.#filled);
    this.#gathered = grown;
  }
}
