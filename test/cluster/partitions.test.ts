// Networks that lose frames: short breaks cost nothing but time, long ones cost the node, and no call runs twice.

import { expect, test } from "vitest";
import { get, list, ready, remote } from "troupe";
import { testCluster } from "troupe/testing";

const pause = (ms: number) => new Promise<void>((resolve) => void setTimeout(resolve, ms));

class Counter {
  #n = 0;

  add(): number {
    this.#n += 1;
    return this.#n;
  }
}

for (const direction of ["both", "in", "out"] as const) {
  test(`a short break (${direction}) is bridged: calls run once each and in order`, async () => {
    await using cluster = await testCluster({ nodes: [{ numCpus: 1, resources: { far: 1 } }] });
    await cluster.connect();
    const counter = remote(Counter, { resources: { far: 1 } }).remote();
    await ready(counter);
    const [node] = [...cluster.pids().agents.keys()].slice(1);
    const before = Array.from({ length: 50 }, () => counter.add.remote());
    await cluster.partition([node], { from: "head", direction });
    const during = Array.from({ length: 50 }, () => counter.add.remote());
    await pause(1500);
    await cluster.heal();
    const after = Array.from({ length: 50 }, () => counter.add.remote());
    expect(await get([...before, ...during, ...after])).toEqual(Array.from({ length: 150 }, (_, index) => index + 1));
    expect((await list.nodes()).map(({ state }) => state)).toEqual(["ALIVE", "ALIVE"]);
  });
}

test("a node that is cut off for long is dead, for itself too, and its work goes on elsewhere", async () => {
  await using cluster = await testCluster({ nodes: [{ resources: { far: 1 } }, { resources: { far: 1 } }] });
  await cluster.connect();
  const counter = remote(Counter, { resources: { far: 1 }, maxRestarts: 1, maxTaskRetries: -1 }).remote();
  await ready(counter);
  expect(await get(counter.add.remote())).toBe(1);
  const [{ nodeId }] = await list.actors();
  await cluster.partition([nodeId], { direction: "both" });
  // It begins anew on the other node.
  expect(await get(counter.add.remote())).toBe(1);
  const [row] = await list.actors();
  expect(row.nodeId).not.toBe(nodeId);
  expect((await list.nodes({ filters: { id: nodeId } })).map(({ state }) => state)).toEqual(["DEAD"]);
  const agent = cluster.pids().agents.get(nodeId);
  while (agent !== undefined && cluster.pids().agents.has(nodeId) && isAlive(agent)) await pause(100);
  await cluster.heal();
  expect(await get(counter.add.remote())).toBe(2);
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
