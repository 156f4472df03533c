// Pages of an object that are made as it is filled, a few megabytes ahead of its bytes: while they are made, others come.

const BLOCK_BYTES = 8 * 1024 * 1024;

export class UnmadePages {
  readonly #size: number;
  readonly #populate: (offset: number, length: number) => Promise<void>;
  readonly #blocks: Promise<void>[];
  #made = 0;

  constructor(size: number, populate: (offset: number, length: number) => Promise<void>) {
    this.#size = size;
    this.#populate = populate;
    this.#blocks = Array(Math.ceil(size / BLOCK_BYTES));
  }

  /** Every page is there. */
  get areMade(): boolean {
    return this.#made === this.#blocks.length;
  }

  /** Those that hold a part; undefined: they are all there. */
  make(offset: number, length: number): Promise<void> | undefined {
    if (this.areMade) return undefined;
    const first = Math.floor(offset / BLOCK_BYTES);
    const last = Math.floor((offset + Math.max(length, 1) - 1) / BLOCK_BYTES);
    const parts: Promise<void>[] = [];
    for (let block = first; block <= last; block += 1) parts.push((this.#blocks[block] ??= this.#makeBlock(block)));
    return parts.length === 1 ? parts[0] : Promise.all(parts).then(() => {});
  }

  async #makeBlock(block: number): Promise<void> {
    const offset = block * BLOCK_BYTES;
    await this.#populate(offset, Math.min(BLOCK_BYTES, this.#size - offset));
    this.#made += 1;
  }
}
