// Fixed point: what is taken and given back is exactly what was there.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  addResources, coverResources, formatResources, missingResources, parseResources, resourceAmounts, ResourcePool, type Resources,
  resourcesEqual, resourcesFit, resourcesKey, subtractResources,
} from "../../../scheduler/index.ts";

function units(amounts: Record<string, number>): Resources {
  const parsed = parseResources(amounts);
  if ("text" in parsed) throw new Error(parsed.text);
  return parsed.resources;
}

const someNames = fc.constantFrom("CPU", "GPU", "a", "constructor", "__proto__");
const someResources = fc.dictionary(someNames, fc.integer({ min: 0, max: 50_000 }));

describe("numbers of users", () => {
  test("become units of 1/10000, memory whole bytes, zero is left out", () => {
    expect({ ...units({ CPU: 0.5, gpu_a: 2, memory: 2 ** 42, none: 0 }) }).toEqual({ CPU: 5000, gpu_a: 20_000, memory: 2 ** 42 });
    expect(resourceAmounts(units({ CPU: 0.1, memory: 7 }))).toEqual({ CPU: 0.1, memory: 7 });
  });

  test.each([
    [{ CPU: -1 }, "CPU is -1, but must not be negative"],
    [{ CPU: Number.NaN }, "CPU is NaN, but must be a number"],
    [{ CPU: Infinity }, "must be at most"],
    [{ CPU: "2" }, "CPU is 2, but must be a number"],
    [{ a: 0.00005 }, "the smallest amount is 0.0001"],
    [{ memory: 0.5 }, "must be a whole number of bytes"],
    [{ "7": 1 }, "is not a resource name"],
    [{ "two words": 1 }, "is not a resource name"],
  ])("%o is refused", (amounts, text) => {
    const parsed = parseResources(amounts, "numCpus");
    expect("text" in parsed && parsed.text).toContain(text);
    expect("text" in parsed && parsed.text).toContain("numCpus: ");
  });

  test("are shown as people write them", () => {
    expect(formatResources(units({ CPU: 0.5, memory: 512 * 2 ** 20, a: 3 }))).toBe("{CPU: 0.5, memory: 512 MiB, a: 3}");
  });
});

describe("arithmetic", () => {
  test("adding and subtracting are inverse, whatever the names", () => {
    fc.assert(fc.property(someResources, someResources, (left, right) => {
      expect(resourcesEqual(subtractResources(addResources(left, right), right), left)).toBe(true);
      expect(resourcesFit(left, addResources(left, right))).toBe(true);
      expect(resourcesFit(left, coverResources(left, right)) && resourcesFit(right, coverResources(left, right))).toBe(true);
      expect(resourcesFit(left, right)).toBe(missingResources(left, right).length === 0);
      expect(resourcesEqual(left, right)).toBe(resourcesKey(left) === resourcesKey(right));
    }));
  });
});

describe("a pool", () => {
  test("gives all or nothing, and takes back no more than it gave", () => {
    const pool = new ResourcePool(units({ CPU: 2, a: 1 }));
    expect(pool.acquire(units({ CPU: 1, a: 1 }))).toBe(true);
    expect(pool.acquire(units({ CPU: 1, a: 1 }))).toBe(false);
    expect({ ...pool.available }).toEqual({ CPU: 10_000, a: 0 });
    expect(pool.acquire(units({ b: 1 }))).toBe(false);
    pool.release(units({ CPU: 1, a: 1 }));
    expect(() => pool.release(units({ a: 1 }))).toThrow("more a given back than was taken");
  });

  test("is overdrawn only by force", () => {
    const pool = new ResourcePool(units({ CPU: 1 }));
    expect(pool.acquire(units({ CPU: 1 }))).toBe(true);
    pool.forceAcquire(units({ CPU: 1 }));
    expect(pool.available.CPU).toBe(-10_000);
    pool.release(units({ CPU: 1 }));
    expect(pool.fits(units({ CPU: 0.0001 }))).toBe(false);
    pool.release(units({ CPU: 1 }));
    pool.validate();
  });
});
