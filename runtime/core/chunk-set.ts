// Which of the numbered chunks of an object: one bit each, looked through a word at a time.

export class ChunkSet {
  readonly length: number;
  readonly #words: Uint32Array;
  #count = 0;

  constructor(length: number) {
    this.length = length;
    this.#words = new Uint32Array(Math.ceil(length / 32));
  }

  static full(length: number): ChunkSet {
    const set = new ChunkSet(length);
    set.#words.fill(0xffffffff);
    if (length % 32 !== 0) set.#words[set.#words.length - 1] = 2 ** (length % 32) - 1;
    set.#count = length;
    return set;
  }

  /** As `toBytes` gave it; bits past the length are nobody's. */
  static from(length: number, bytes: Uint8Array): ChunkSet {
    const set = new ChunkSet(length);
    for (let index = 0; index < length && index >> 3 < bytes.length; index += 1) {
      if ((bytes[index >> 3] & (1 << (index & 7))) !== 0) set.add(index);
    }
    return set;
  }

  get count(): number {
    return this.#count;
  }
  get isFull(): boolean {
    return this.#count === this.length;
  }

  has(index: number): boolean {
    return (this.#words[index >>> 5] & (1 << (index & 31))) !== 0;
  }

  /** False when it was there. */
  add(index: number): boolean {
    if (this.has(index)) return false;
    this.#words[index >>> 5] |= 1 << (index & 31);
    this.#count += 1;
    return true;
  }

  /** False when it was not there. */
  delete(index: number): boolean {
    if (!this.has(index)) return false;
    this.#words[index >>> 5] &= ~(1 << (index & 31));
    this.#count -= 1;
    return true;
  }

  /** The first of these from `start` on, and round the end, that is in `within` (undefined: any) and in none of `outside`. */
  first(start: number, within: ChunkSet | undefined, outside: readonly ChunkSet[]): number | undefined {
    const words = this.#words.length;
    const firstWord = start >>> 5;
    for (let step = 0; step <= words; step += 1) {
      const at = (firstWord + step) % words;
      let word = this.#words[at];
      if (within !== undefined) word &= within.#words[at];
      for (let index = 0; index < outside.length; index += 1) word &= ~outside[index].#words[at];
      // Of the first word what lies behind the start, at the end of the round what lies before it.
      if (step === 0) word &= -1 << (start & 31);
      if (word !== 0) return at * 32 + (31 - Math.clz32(word & -word));
    }
    return undefined;
  }

  /** Those that are not in this one. */
  inverse(): ChunkSet {
    const set = ChunkSet.full(this.length);
    for (let at = 0; at < this.#words.length; at += 1) set.#words[at] &= ~this.#words[at];
    set.#count = this.length - this.#count;
    return set;
  }

  /** Something of these is not in `other`. */
  hasBeyond(other: ChunkSet): boolean {
    return this.first(0, undefined, [other]) !== undefined;
  }

  toBytes(): Uint8Array {
    const bytes = new Uint8Array(Math.ceil(this.length / 8));
    for (let at = 0; at < bytes.length; at += 1) bytes[at] = this.#words[at >> 2] >>> ((at & 3) * 8);
    return bytes;
  }
}
