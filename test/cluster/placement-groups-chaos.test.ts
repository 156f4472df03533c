// Groups are made, used and removed while agents are killed under them: what is left in the end is whole, and nothing is lost.

import { expect, test } from "vitest";
import {
  get, getRuntimeContext, inGroup, list, placementGroup, type PlacementGroup, PlacementGroupRemovedError, remote,
} from "troupe";
import { testCluster } from "troupe/testing";
import { until } from "../until.ts";

const STRATEGIES = ["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"] as const;
const ROUNDS = 12;

function settled(result: Promise<unknown>): Promise<Error | undefined> {
  return result.then(() => undefined, (error: Error) => error);
}

test("agents killed at any moment leave groups whole and resources balanced", async () => {
  await using cluster = await testCluster({ head: { numCpus: 2 }, nodes: [{ numCpus: 2 }, { numCpus: 2 }] });
  const driver = await cluster.connect();
  const head = (await driver.nodes()).find(({ isHead }) => isHead)?.id;
  const where = remote(() => getRuntimeContext().nodeId, { numCpus: 0.25 });
  const groups: PlacementGroup[] = [];
  const results: Promise<Error | undefined>[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const group = await placementGroup([{ CPU: 0.25 }, { CPU: 0.25 }], { strategy: STRATEGIES[round % 4] });
    groups.push(group);
    for (const bundleIndex of [0, 1]) {
      results.push(settled(get(where.options({ schedulingStrategy: inGroup(group, { bundleIndex }) }).remote())));
    }
    // Before, while and after its bundles are reserved.
    if (round % 3 !== 0) await new Promise((resolve) => setTimeout(resolve, (round % 5) * 7));
    if (round % 4 === 1) {
      const victim = [...cluster.pids().agents.keys()].find((id) => id !== head) ?? "";
      const gone = cluster.removeNode(victim, { graceful: false });
      if (round % 8 === 1) void groups[round - 1].remove();
      await gone;
      await cluster.addNode({ numCpus: 2 });
    }
    if (round % 3 === 2) await groups[round - 2].remove();
  }
  // Each task has run, or says that its group is gone.
  for (const error of await Promise.all(results)) {
    if (error !== undefined) expect(error).toBeInstanceOf(PlacementGroupRemovedError);
  }
  // What lost its node after its tasks had run gets another in its own time.
  let rows = await list.placementGroups();
  await until(async () => {
    rows = await list.placementGroups();
    return rows.every(({ state }) => state === "CREATED" || state === "REMOVED");
  });
  for (const { state, bundles, strategy } of rows) {
    if (state === "REMOVED") continue;
    const nodes = new Set(bundles.map(({ nodeId }) => nodeId));
    if (strategy === "STRICT_PACK") expect(nodes.size).toBe(1);
    if (strategy === "STRICT_SPREAD") expect(nodes.size).toBe(2);
  }
  const kept = rows.filter(({ state }) => state === "CREATED").length;
  expect(kept).toBeGreaterThan(0);
  await until(async () => (await driver.availableResources()).CPU === 6 - kept / 2);
  await Promise.all(groups.map((group) => group.remove()));
  await until(async () => (await driver.availableResources()).CPU === 6);
});
