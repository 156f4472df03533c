// Who ends when memory is short.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type MemoryHolder, reliefOf, WORTHWHILE_BYTES } from "../../../runtime/core/index.ts";

const MIB = 1024 * 1024;
const holder = (process: string, work: MemoryHolder["work"], mib: number, since = 0): MemoryHolder => ({
  process, work, bytes: mib * MIB, since,
});
const chosen = (...holders: MemoryHolder[]) => reliefOf(holders)?.process;

describe("who ends", () => {
  test("idle workers first, the largest of them", () => {
    expect(chosen(holder("task", "task", 900), holder("a", "none", 100), holder("b", "none", 200))).toBe("b");
  });

  test("of the large ones with tasks the one that began last", () => {
    expect(chosen(holder("old", "task", 1000, 1), holder("new", "task", 600, 2), holder("small", "task", 100, 3))).toBe("new");
    expect(chosen(holder("leaks", "task", 1000, 1), holder("new", "task", 400, 2))).toBe("leaks");
  });

  test("actors last, and nobody whose end would not help", () => {
    expect(chosen(holder("actor", "actor", 5000), holder("task", "task", 80))).toBe("task");
    expect(chosen(holder("actor", "actor", 5000), holder("task", "task", 20))).toBe("actor");
    expect(chosen(holder("actor", "actor", 30), holder("task", "task", 20), holder("idle", "none", 50))).toBeUndefined();
    expect(chosen()).toBeUndefined();
  });

  test("in any company: a worthwhile one, and no actor while a task would do", () => {
    const some = fc.record({
      process: fc.uuid(), bytes: fc.nat(4096).map((mib) => mib * MIB), since: fc.nat(100),
      work: fc.constantFrom<MemoryHolder["work"]>("none", "task", "actor"),
    });
    fc.assert(
      fc.property(fc.array(some), (holders) => {
        const found = reliefOf(holders);
        const worthwhile = holders.filter(({ bytes }) => bytes >= WORTHWHILE_BYTES);
        expect(found === undefined).toBe(worthwhile.length === 0);
        if (found === undefined) return;
        expect(worthwhile).toContain(found);
        const rank = { none: 0, task: 1, actor: 2 };
        expect(rank[found.work]).toBe(Math.min(...worthwhile.map(({ work }) => rank[work])));
      }),
    );
  });
});
