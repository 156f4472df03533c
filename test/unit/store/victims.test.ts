// The choice of victims against every possible place: it finds one whenever there is one, and none was used less lately.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { StoreMap, StoreUnit } from "../../../runtime/store/store.ts";
import { chooseVictims, oldestUnits } from "../../../runtime/store/victims.ts";

const ALIGN = 4;

/** A memory, cut into pieces: free, movable, or somebody's. */
const memory = fc.array(
  fc.record({
    pages: fc.integer({ min: 1, max: 9 }),
    kind: fc.constantFrom("free" as const, "movable" as const, "movable" as const, "fixed" as const),
    usedAt: fc.integer({ min: 1, max: 30 }),
  }),
  { minLength: 1, maxLength: 14 },
).map((pieces): StoreMap => {
  const units: StoreUnit[] = [];
  const gaps: { start: number; pages: number }[] = [];
  let at = 0;
  for (const { pages, kind, usedAt } of pieces) {
    if (kind !== "free") units.push({ firstPage: at, pages, usedAt, objects: kind === "movable" ? [] : undefined });
    else if (gaps.at(-1) !== undefined && (gaps.at(-1)?.start ?? 0) + (gaps.at(-1)?.pages ?? 0) === at) {
      const last = gaps.pop() as { start: number; pages: number };
      gaps.push({ start: last.start, pages: last.pages + pages });
    } else gaps.push({ start: at, pages });
    at += pages;
  }
  return { pages: at, units, gaps };
});

/** Units that would have to leave for each place there is, by trying all. */
function everyPlace(map: StoreMap, pages: number, align: number): StoreUnit[][] {
  const places: StoreUnit[][] = [];
  for (let start = 0; start + pages <= map.pages; start += align) {
    const inside = map.units.filter((unit) => unit.firstPage < start + pages && start < unit.firstPage + unit.pages);
    if (inside.every((unit) => unit.objects !== undefined)) places.push(inside);
  }
  return places;
}

const latest = (units: readonly StoreUnit[]) => Math.max(0, ...units.map((unit) => unit.usedAt));
const size = (units: readonly StoreUnit[]) => units.reduce((sum, unit) => sum + unit.pages, 0);

describe("victims", () => {
  it("are those of the best of all places, and undefined only when there is none", () => {
    const need = fc.record({ pages: fc.integer({ min: 1, max: 30 }), align: fc.constantFrom(1, ALIGN) });
    fc.assert(fc.property(memory, need, (map, { pages, align }) => {
      const places = everyPlace(map, pages, align);
      const chosen = chooseVictims(map, { pages, align });
      expect(chosen === undefined).toBe(places.length === 0);
      if (chosen === undefined) return;
      const best = Math.min(...places.map(latest));
      expect(latest(chosen)).toBe(best);
      expect(size(chosen)).toBe(Math.min(...places.filter((place) => latest(place) === best).map(size)));
      expect(places).toContainEqual(chosen);
    }), { numRuns: 500 });
  });

  it("go together with the oldest others, never with what is fixed", () => {
    fc.assert(fc.property(memory, fc.integer({ min: -3, max: 60 }), (map, pages) => {
      const first = map.units.filter((unit) => unit.objects !== undefined).slice(0, 1);
      const chosen = oldestUnits(map, pages, first);
      const others = map.units.filter((unit) => unit.objects !== undefined && !first.includes(unit) && !chosen.includes(unit));
      expect(chosen.every((unit) => unit.objects !== undefined && !first.includes(unit))).toBe(true);
      expect(others.every((unit) => unit.usedAt >= latest(chosen))).toBe(true);
      if (others.length > 0) expect(size(chosen)).toBeGreaterThanOrEqual(Math.max(0, pages));
    }));
  });
});
