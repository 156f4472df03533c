// Finds the frames in what a socket delivers: u32 little endian length, then the frame.
//
// Frames that lie whole in a read are handed on in place, without a copy; only one that continues in the next read is gathered
// in memory of its own, which grows with what has really arrived, never with what a peer claims.

import { PREFIX } from "./frame.ts";

const GATHER_START = 64 * 1024;

/** Returns false to stop: the rest of the read is not to be delivered. */
export type TakeFrame = (bytes: Buffer, start: number, end: number, owned: boolean) => boolean;

export class FrameSplitter {
  /** Part of a length, or of a frame together with its length. */
  #gathered = Buffer.alloc(0);
  #filled = 0;

  /**
   * Calls `take` for each whole frame in what has arrived. `bytes` may be reused by the caller afterwards. Returns the length of
   * a frame that exceeds `frameMax`, which ends everything, else 0.
   */
  read(bytes: Buffer, length: number, frameMax: () => number, take: TakeFrame): number {
    let position = 0;
    while (position < length) {
      if (this.#filled > 0) {
        position += this.#gather(bytes, position, length);
        if (this.#filled < PREFIX) return 0;
        const frame = this.#gathered.readUInt32LE(0);
        if (frame > frameMax()) return frame;
        if (this.#filled < PREFIX + frame) continue;
        const whole = this.#gathered;
        this.#gathered = Buffer.alloc(0);
        this.#filled = 0;
        if (!take(whole, PREFIX, PREFIX + frame, true)) return 0;
        continue;
      }
      const frame = length - position < PREFIX ? 0 : bytes.readUInt32LE(position);
      if (frame > frameMax()) return frame;
      const end = position + PREFIX + frame;
      if (end > length) {
        this.#keep(bytes, position, length);
        return 0;
      }
      position = end;
      if (!take(bytes, end - frame, end, false)) return 0;
    }
    return 0;
  }

  #keep(bytes: Buffer, start: number, end: number): void {
    this.#grow(end - start);
    bytes.copy(this.#gathered, 0, start, end);
    this.#filled = end - start;
  }

  /** Adds to the frame that is being gathered, at most to its end. Returns how many bytes were taken. */
  #gather(bytes: Buffer, start: number, end: number): number {
    let taken = 0;
    if (this.#filled < PREFIX) taken = this.#copy(bytes, start, end, PREFIX);
    if (this.#filled < PREFIX) return taken;
    return taken + this.#copy(bytes, start + taken, end, PREFIX + this.#gathered.readUInt32LE(0));
  }

  #copy(bytes: Buffer, start: number, end: number, until: number): number {
    const count = Math.min(end - start, until - this.#filled);
    this.#grow(this.#filled + count, until);
    bytes.copy(this.#gathered, this.#filled, start, start + count);
    this.#filled += count;
    return count;
  }

  #grow(needed: number, most = Number.MAX_SAFE_INTEGER): void {
    if (needed <= this.#gathered.length) return;
    const size = Math.max(needed, Math.min(most, Math.max(GATHER_START, this.#gathered.length * 2)));
    const grown = Buffer.allocUnsafeSlow(size);
    this.#gathered.copy(grown, 0, 0, this.#filled);
    this.#gathered = grown;
  }
}
