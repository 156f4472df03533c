// Plans of placement groups against every plan there is: for small clusters all of them can be tried.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type GroupStrategy, planBundles, type Resources, resourcesFit, subtractResources } from "../../../scheduler/index.ts";
import { nodeView, units } from "./queue-harness.ts";

const strategies = fc.constantFrom<GroupStrategy>("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD");
const bundle = fc.record({ CPU: fc.integer({ min: 0, max: 4 }), GPU: fc.integer({ min: 0, max: 1 }) });
const machine = fc.record({ CPU: fc.integer({ min: 0, max: 8 }), GPU: fc.integer({ min: 0, max: 2 }), free: fc.nat(8) });

function allows(strategy: GroupStrategy, places: readonly string[]): boolean {
  if (strategy === "STRICT_PACK") return new Set(places).size <= 1;
  return strategy !== "STRICT_SPREAD" || new Set(places).size === places.length;
}

function fitsAll(bundles: readonly Resources[], plan: readonly string[], room: ReadonlyMap<string, Resources>): boolean {
  const left = new Map(room);
  return bundles.every((one, index) => {
    const available = left.get(plan[index]);
    if (available === undefined || !resourcesFit(one, available)) return false;
    left.set(plan[index], subtractResources(available, one));
    return true;
  });
}

/** Every way to give each bundle a node. */
function* everyPlan(bundles: number, nodes: readonly string[]): Iterable<string[]> {
  if (bundles === 0) yield [];
  else for (const rest of everyPlan(bundles - 1, nodes)) for (const node of nodes) yield [...rest, node];
}

describe("a plan", () => {
  test("is found if there is one, fits, and keeps to its strategy, also beside the group's other bundles", () => {
    const taken = fc.array(fc.constantFrom("n0", "n1"), { maxLength: 2 });
    const small = fc.array(bundle, { minLength: 1, maxLength: 4 });
    fc.assert(fc.property(strategies, small, fc.array(machine, { maxLength: 4 }), taken, (strategy, wanted, machines, others) => {
      fc.pre(allows(strategy, others));
      const bundles = wanted.map(units);
      const nodes = machines.map(({ CPU, GPU, free }, index) => {
        return nodeView(`n${index}`, { CPU, GPU }, { CPU: Math.min(CPU, free), GPU });
      });
      const room = new Map(nodes.map(({ id, available }) => [id, available]));
      const fitting = [...everyPlan(bundles.length, [...room.keys()])]
        .filter((one) => allows(strategy, [...others, ...one]) && fitsAll(bundles, one, room));
      const plan = planBundles({ strategy, bundles, taken: others }, nodes);
      expect(plan === undefined).toBe(fitting.length === 0);
      if (plan === undefined) return;
      expect(fitsAll(bundles, plan, room)).toBe(true);
      expect(allows(strategy, [...others, ...plan])).toBe(true);
    }), { numRuns: 2000 });
  });

  test("packs on few nodes and spreads over many, whatever the order of nodes", () => {
    const ids = fc.shuffledSubarray(["a", "b", "c", "d"], { minLength: 4 });
    fc.assert(fc.property(ids, fc.integer({ min: 1, max: 8 }), (order, count) => {
      const nodes = order.map((id) => nodeView(id, { CPU: 8 }));
      const bundles = Array.from({ length: count }, () => units({ CPU: 1 }));
      const used = (strategy: GroupStrategy) => new Set(planBundles({ strategy, bundles, taken: [] }, nodes)).size;
      expect(used("PACK")).toBe(1);
      expect(used("SPREAD")).toBe(Math.min(4, count));
    }));
  });

  test("leaves machines with GPUs, drained and dead ones alone", () => {
    const nodes = [
      nodeView("gpu", { CPU: 8, GPU: 1 }), nodeView("plain", { CPU: 8 }),
      nodeView("leaves", { CPU: 64 }, { CPU: 64 }, { state: "DRAINING" }),
      nodeView("gone", { CPU: 64 }, { CPU: 64 }, { state: "DEAD" }),
    ];
    for (const strategy of ["PACK", "STRICT_PACK", "SPREAD", "STRICT_SPREAD"] as const) {
      expect(planBundles({ strategy, bundles: [units({ CPU: 1 })], taken: [] }, nodes)).toEqual(["plain"]);
      expect(planBundles({ strategy, bundles: [units({ CPU: 9 })], taken: [] }, nodes)).toBeUndefined();
    }
  });

  test("of a strict spread moves a bundle that stands in another's way", () => {
    const nodes = [nodeView("small", { CPU: 2 }), nodeView("large", { CPU: 4 }), nodeView("gpu", { CPU: 2, GPU: 1 })];
    const bundles = [{ CPU: 1 }, { CPU: 4 }, { CPU: 2 }].map(units);
    expect(planBundles({ strategy: "STRICT_SPREAD", bundles, taken: [] }, nodes)).toEqual(["small", "large", "gpu"]);
  });

  test("of a hundred bundles for a thousand nodes is made in bounded time, also when there is none", () => {
    const nodes = Array.from({ length: 1000 }, (_, at) => nodeView(`n${at}`, { CPU: 4 }, { CPU: at % 4 }));
    const bundles = Array.from({ length: 100 }, (_, at) => units({ CPU: 1 + (at % 3) }));
    for (const strategy of ["PACK", "SPREAD", "STRICT_SPREAD"] as const) {
      const plan = planBundles({ strategy, bundles, taken: [] }, nodes) ?? [];
      expect(fitsAll(bundles, plan, new Map(nodes.map(({ id, available }) => [id, available])))).toBe(true);
    }
    const hopeless = Array.from({ length: 100 }, () => units({ CPU: 3.5 }));
    expect(planBundles({ strategy: "PACK", bundles: hopeless, taken: [] }, nodes)).toBeUndefined();
  });
});
