// Pages that are made as they are needed: each block once, for whoever asks first, and everybody hears when there is no memory.

import { expect, it } from "vitest";
import { UnmadePages } from "../../../runtime/store/unmade-pages.ts";

const MIB = 1024 * 1024;

it("makes each block once, the last as long as it is, and says when all are there", async () => {
  const made: [number, number][] = [];
  const pages = new UnmadePages(20 * MIB + 5, (offset, length) => Promise.resolve(void made.push([offset / MIB, length])));
  await Promise.all([pages.make(0, MIB), pages.make(7 * MIB, MIB), pages.make(20 * MIB, 5)]);
  expect(made).toEqual([[0, 8 * MIB], [16, 4 * MIB + 5]]);
  expect(pages.areMade).toBe(false);
  await pages.make(7 * MIB, 10 * MIB);
  expect(made.slice(2)).toEqual([[8, 8 * MIB]]);
  expect([pages.areMade, pages.make(0, MIB)]).toEqual([true, undefined]);
});

it("fails for everybody who needs a block that can't be made, and for nobody else", async () => {
  const pages = new UnmadePages(16 * MIB, (offset) => offset > 0 ? Promise.reject(new Error("no memory")) : Promise.resolve());
  const results = await Promise.allSettled([pages.make(0, 1), pages.make(8 * MIB, 1), pages.make(9 * MIB, 1)]);
  expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "rejected"]);
  expect(pages.areMade).toBe(false);
});
