// Free page ranges of the data memory: allocation, coalescing, and a preference for pages that were used before.
//
// Pure. A page that was touched once costs nothing the next time, a new one is ten times slower to fill, so ranges that were
// freed last are taken first, and untouched memory last.

interface Range {
  start: number;
  pages: number;
}

export class PageRanges {
  readonly #pages: number;
  /** Freed ranges, by start; the newest use is told by `#recent`. */
  readonly #freed = new Map<number, Range>();
  readonly #ends = new Map<number, Range>();
  /** Pages from here on were never used. */
  #untouched = 0;
  #used = 0;

  constructor(pages: number) {
    this.#pages = pages;
  }

  get usedPages(): number {
    return this.#used;
  }

  /** First page of a range, aligned to `align` pages; undefined when no range is large enough. */
  take(pages: number, align = 1): number | undefined {
    const start = this.#takeFreed(pages, align) ?? this.#takeUntouched(pages, align);
    if (start !== undefined) this.#used += pages;
    return start;
  }

  give(start: number, pages: number): void {
    if (start < 0 || pages <= 0 || start + pages > this.#untouched) throw new Error(`pages ${start}+${pages} were never taken`);
    this.#used -= pages;
    this.#put(start, pages);
  }

  /** What is free, by address; the rest up to the memory's end last. */
  gaps(): { readonly start: number; readonly pages: number }[] {
    const gaps: Range[] = [...this.#freed.values()].sort((one, other) => one.start - other.start);
    const last = gaps.at(-1);
    const untouched = this.#pages - this.#untouched;
    if (untouched === 0) return gaps;
    if (last !== undefined && last.start + last.pages === this.#untouched) {
      gaps[gaps.length - 1] = { start: last.start, pages: last.pages + untouched };
    } else gaps.push({ start: this.#untouched, pages: untouched });
    return gaps;
  }

  /** Every range is inside the memory, none touch or overlap, and the books add up. */
  validate(): void {
    let free = this.#pages - this.#untouched;
    const ranges = [...this.#freed.values()].sort((a, b) => a.start - b.start);
    ranges.forEach((range, index) => {
      const next = ranges[index + 1];
      if (next !== undefined && range.start + range.pages >= next.start)
        throw new Error(`free ranges meet at page ${next.start}`);
      free += range.pages;
    });
    if (free + this.#used !== this.#pages) throw new Error(`${free} free and ${this.#used} used pages are not ${this.#pages}`);
  }

  #takeFreed(pages: number, align: number): number | undefined {
    // Newest first: a Map keeps insertion order, and a freed range is inserted anew.
    let found: Range | undefined;
    for (const range of this.#freed.values()) if (alignUp(range.start, align) + pages <= range.start + range.pages) found = range;
    if (found === undefined) return undefined;
    const start = alignUp(found.start, align);
    this.#drop(found);
    if (start > found.start) this.#put(found.start, start - found.start);
    const rest = found.start + found.pages - (start + pages);
    if (rest > 0) this.#put(start + pages, rest);
    return start;
  }

  /** Begins in the freed range before the untouched pages, if there is one: else no object could ever span both. */
  #takeUntouched(pages: number, align: number): number | undefined {
    const last = this.#ends.get(this.#untouched);
    const before = last?.start ?? this.#untouched;
    const start = alignUp(before, align);
    if (start + pages > this.#pages) return undefined;
    if (last !== undefined) this.#drop(last);
    this.#untouched = start + pages;
    if (start > before) this.#put(before, start - before);
    return start;
  }

  #put(start: number, pages: number): void {
    const range = { start, pages };
    const before = this.#ends.get(start);
    if (before !== undefined) {
      this.#drop(before);
      range.start = before.start;
      range.pages += before.pages;
    }
    const after = this.#freed.get(start + pages);
    if (after !== undefined) {
      this.#drop(after);
      range.pages += after.pages;
    }
    this.#freed.set(range.start, range);
    this.#ends.set(range.start + range.pages, range);
  }

  #drop(range: Range): void {
    this.#freed.delete(range.start);
    this.#ends.delete(range.start + range.pages);
  }
}

function alignUp(value: number, align: number): number {
  return Math.ceil(value / align) * align;
}
