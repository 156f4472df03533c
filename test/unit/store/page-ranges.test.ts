// Page ranges against a plain array of pages: nothing is given twice, nothing is lost, and a refusal is always true.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PageRanges } from "../../../runtime/store/page-ranges.ts";

const PAGES = 64;

/** One entry a page: the number of the range that has it, or 0. */
class PlainPages {
  readonly pages = new Array<number>(PAGES).fill(0);

  isFree(start: number, count: number): boolean {
    return start >= 0 && start + count <= PAGES && this.pages.slice(start, start + count).every((owner) => owner === 0);
  }

  fits(count: number, align: number): boolean {
    for (let start = 0; start + count <= PAGES; start += align) if (this.isFree(start, count)) return true;
    return false;
  }

  set(start: number, count: number, owner: number): void {
    this.pages.fill(owner, start, start + count);
  }
}

const step = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("take" as const),
      pages: fc.integer({ min: 1, max: 24 }),
      align: fc.constantFrom(1, 1, 8),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("give" as const), which: fc.nat() }) },
);

describe("page ranges", () => {
  it("are as good as an array of pages, whatever is taken and given", () => {
    fc.assert(fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const ranges = new PageRanges(PAGES);
      const plain = new PlainPages();
      const held: { start: number; pages: number }[] = [];
      for (const [index, one] of steps.entries()) {
        if (one.kind === "give") {
          const [range] = held.splice(one.which % Math.max(1, held.length), 1);
          if (range === undefined) continue;
          ranges.give(range.start, range.pages);
          plain.set(range.start, range.pages, 0);
        } else {
          const start = ranges.take(one.pages, one.align);
          expect(start !== undefined, `${one.pages} pages aligned to ${one.align}`).toBe(plain.fits(one.pages, one.align));
          if (start === undefined) continue;
          expect(start % one.align).toBe(0);
          expect(plain.isFree(start, one.pages)).toBe(true);
          plain.set(start, one.pages, index + 1);
          held.push({ start, pages: one.pages });
        }
        ranges.validate();
        expect(ranges.usedPages).toBe(plain.pages.filter((owner) => owner !== 0).length);
      }
      for (const { start, pages } of held) ranges.give(start, pages);
      expect(ranges.take(PAGES)).toBe(0);
    }), { numRuns: 500 });
  });

  it("prefer what was freed last, and untouched pages last of all", () => {
    const ranges = new PageRanges(PAGES);
    const starts = [0, 1, 2, 3, 4, 5].map(() => ranges.take(4) as number);
    ranges.give(starts[1], 4);
    ranges.give(starts[3], 4);
    expect(ranges.take(4)).toBe(starts[3]);
    expect(ranges.take(4)).toBe(starts[1]);
    expect(ranges.take(4)).toBe(24);
  });

  it("span freed and untouched pages when neither is enough", () => {
    const ranges = new PageRanges(PAGES);
    ranges.give(ranges.take(40) as number, 40);
    expect(ranges.take(PAGES)).toBe(0);
  });

  it("take nothing back that was not given out", () => {
    const ranges = new PageRanges(PAGES);
    ranges.take(4);
    expect(() => ranges.give(0, 5)).toThrow();
    expect(() => ranges.give(-1, 1)).toThrow();
    expect(() => ranges.give(0, 0)).toThrow();
  });
});
