// The book of spilled copies against a plain model: no two share a page, none is given back under a read or a write, none is kept
// after its end.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PAGE } from "../../../runtime/store/layout.ts";
import { SpillBook } from "../../../runtime/store/spill-book.ts";

const kinds = ["begin", "written", "failed", "reading", "read", "freed"] as const;
const step = fc.record({
  kind: fc.constantFrom(...kinds), slot: fc.integer({ min: 0, max: 5 }), generation: fc.integer({ min: 1, max: 2 }),
  size: fc.integer({ min: 1, max: 4 * PAGE }),
});

interface Model {
  readonly page: number;
  readonly pages: number;
  whole: boolean;
  over: boolean;
  busy: number;
}

describe("the book of spilled copies", () => {
  it("gives each page to one copy at a time, and takes it back exactly once, when nobody works on it", () => {
    fc.assert(fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
      const model = new Map<string, Model>();
      const taken = new Map<number, string>();
      const book = new SpillBook((page, pages) => {
        for (let at = page; at < page + pages; at += 1) {
          const owner = taken.get(at);
          expect(owner, `page ${at} was given back twice`).toBeDefined();
          const copy = model.get(owner as string) as Model;
          expect(copy.busy).toBe(0);
          expect(copy.over).toBe(true);
          taken.delete(at);
        }
      });
      for (const { kind, slot, generation, size } of steps) {
        const key = `${slot}/${generation}`;
        const handle = { slot, generation };
        const copy = model.get(key);
        const forget = () => copy?.over && copy.busy === 0 && model.delete(key);
        if (kind === "begin") {
          const page = book.begin({ ...handle, size });
          expect(page === undefined).toBe(copy !== undefined);
          if (page === undefined) continue;
          const pages = Math.ceil(size / PAGE);
          for (let at = page; at < page + pages; at += 1) {
            expect(taken.has(at)).toBe(false);
            taken.set(at, key);
          }
          model.set(key, { page, pages, whole: false, over: false, busy: 1 });
        } else if (kind === "freed") {
          if (copy !== undefined) copy.over = true;
          book.freed(handle);
          book.freed(handle);
          forget();
        } else if (kind === "reading") {
          const found = book.reading(handle);
          expect(found !== undefined).toBe(copy?.whole === true && !copy.over);
          if (copy !== undefined && found !== undefined) copy.busy += 1;
        } else if (kind === "written" && copy !== undefined && !copy.whole && copy.busy === 1) {
          copy.whole = true;
          copy.busy -= 1;
          book.written(handle, [1]);
          forget();
        } else if (kind === "failed" && copy !== undefined && copy.busy > 0) {
          copy.over = true;
          copy.busy -= 1;
          book.failed(handle);
          forget();
        } else if (kind === "read" && copy !== undefined && copy.whole && copy.busy > 0) {
          copy.busy -= 1;
          book.read(handle);
          forget();
        }
        book.validate();
        expect(book.has(handle)).toBe(model.get(key)?.whole === true && !model.get(key)?.over);
        expect(book.bytes).toBe(taken.size * PAGE);
        expect(book.copies).toBe(model.size);
      }
    }));
  });
});
