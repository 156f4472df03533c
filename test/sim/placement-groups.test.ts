// Placement groups of a whole cluster under seeds, in virtual time: bundles are reserved, used, lost with their nodes and
// removed, in every order that the seeds come upon.

import { describe, expect, test } from "vitest";
import { simulate, type Simulation } from "../../sdk/testing/index.ts";
import { inGroup, PlacementGroupRemovedError } from "../../sdk/index.ts";

const NODES = Array.from({ length: 4 }, () => ({ numCpus: 2 }));
const STRATEGIES = ["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"] as const;
const SEEDS = Array.from({ length: 15 }, (_, index) => 4 * index + 1);

interface Row {
  readonly id: string;
  readonly state: string;
  readonly strategy: string;
  readonly bundles: readonly { readonly node: string }[];
}

async function rows<R>(sim: Simulation, kind: string): Promise<R[]> {
  const { json } = await sim.session.ask("listState", { kind, limit: 1000 }, "stateRows");
  return JSON.parse(json) as R[];
}

/** CPUs of living nodes that nobody holds, in whole ones. */
async function freeCpus(sim: Simulation): Promise<number> {
  const nodes = await rows<{ state: string; available: { CPU?: number } }>(sim, "nodes");
  return nodes.filter(({ state }) => state === "ALIVE").reduce((sum, { available }) => sum + (available.CPU ?? 0), 0) / 10_000;
}

/** `moment`: when a node dies and a group is removed, relative to the making of the groups. */
async function history(sim: Simulation, moment: number) {
  const outcomes: Promise<string>[] = [];
  const groups = await Promise.all(STRATEGIES.map((strategy) => sim.placementGroup([{ CPU: 0.5 }, { CPU: 0.5 }], { strategy })));
  for (const group of groups) {
    for (const bundleIndex of [0, 1]) {
      const inside = sim.remote(async () => {
        await sim.sleep(20);
        return sim.process.node;
      }, { numCpus: 0.5, maxRetries: 5, schedulingStrategy: inGroup(group, { bundleIndex }) });
      outcomes.push(inside.remote().value().then(String, (error: unknown) => {
        expect(error).toBeInstanceOf(PlacementGroupRemovedError);
        return "removed";
      }));
    }
  }
  await sim.sleep(moment);
  sim.killNode(sim.nodes[1 + (moment % 3)]);
  const removed = groups[moment % 4];
  await sim.removeGroup(removed);
  const kept = groups.filter((group) => group !== removed);
  await Promise.all(kept.map((group) => sim.groupReady(group)));
  await expect(sim.groupReady(removed)).rejects.toBeInstanceOf(PlacementGroupRemovedError);
  const ran = await Promise.all(outcomes);
  await sim.sleep(3000);
  return { ran, groups: await rows<Row>(sim, "groups"), removed: removed.id, free: await freeCpus(sim) };
}

describe("groups in a simulated cluster", () => {
  test("are whole after a node's death at any moment, keep to their strategies, and give back what they had", async () => {
    for (const seed of SEEDS) {
      const { value: { ran, groups, removed, free } } = await simulate({ seed, nodes: NODES }, (sim) => history(sim, seed));
      for (const { id, state, strategy, bundles } of groups) {
        expect([seed, state]).toEqual([seed, id === removed ? "REMOVED" : "CREATED"]);
        if (id === removed) continue;
        const nodes = new Set(bundles.map(({ node }) => node));
        expect(nodes).not.toContain("");
        if (strategy === "STRICT_PACK") expect(nodes.size).toBe(1);
        if (strategy === "STRICT_SPREAD") expect(nodes.size).toBe(2);
      }
      expect([seed, ran.filter((one) => one === "removed").length <= 2]).toEqual([seed, true]);
      expect([seed, free]).toEqual([seed, 6 - 3]);
    }
  });

  test("have the same history under the same seed", async () => {
    const one = await simulate({ seed: 3, nodes: NODES }, (sim) => history(sim, 3));
    const other = await simulate({ seed: 3, nodes: NODES }, (sim) => history(sim, 3));
    expect(other.trace).toBe(one.trace);
  });
});
