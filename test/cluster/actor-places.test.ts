// Actors that share a process or live in threads, on clusters of several nodes.

import { afterEach, beforeEach, expect, test } from "vitest";
import {
  get, getActor, getRuntimeContext, inGroup, kill, list, placementGroup, ready, remote, shutdown,
} from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";
import { until } from "../until.ts";

class Cell {
  #calls = 0;
  where(): [node: string, pid: number, calls: number] {
    this.#calls += 1;
    return [getRuntimeContext().nodeId, process.pid, this.#calls];
  }
}
const shared = remote(Cell, { isolation: "shared" });

let cluster: TestCluster;
let far: string;
beforeEach(async () => {
  cluster = await testCluster({ head: { numCpus: 1 } });
  far = await cluster.addNode({ numCpus: 2, resources: { far: 4 } });
  await cluster.connect();
});
afterEach(async () => {
  await shutdown();
  await cluster.stop();
});

test.each(["shared", "thread"] as const)("%s: seats are where the resources are, and move with them", async (isolation) => {
  const cells = [1, 2].map(() => shared.options({ isolation, resources: { far: 1 }, maxRestarts: 1 }).remote());
  const places = await get(cells.map((cell) => cell.where.remote()));
  expect(places.map(([node]) => node)).toEqual([far, far]);
  expect(places[0][1]).toBe(places[1][1]);
  const other = await cluster.addNode({ numCpus: 1, resources: { far: 4 } });
  await cluster.removeNode(far, { graceful: false });
  for (const cell of cells) {
    const [node, , calls] = await get(cell.where.options({ maxTaskRetries: -1 }).remote());
    expect([node, calls]).toEqual([other, 1]);
  }
});

test("a detached one outlives its driver, in a host of detached ones", async () => {
  const handle = shared.options({ name: "stays", namespace: "all", lifetime: "detached", maxRestarts: 1 }).remote();
  const beside = shared.remote();
  const [[, pid], [, other]] = await get([handle.where.remote(), beside.where.remote()]);
  expect(other).not.toBe(pid);
  await shutdown();
  await cluster.connect();
  const found = await getActor<Cell>("stays", { namespace: "all" });
  const [, again, calls] = await get(found.where.remote());
  expect([again, calls]).toEqual([pid, 2]);
  process.kill(pid, "SIGKILL");
  const [, next, first] = await get(found.where.options({ maxTaskRetries: -1 }).remote());
  expect(next).not.toBe(pid);
  expect(first).toBe(1);
  await kill(found);
  await until(async () => (await list.actors()).some(({ name, state }) => name === "stays" && state === "DEAD"));
});

test("a placement group that is removed ends the seats in it, and no others of the process", async () => {
  const group = await placementGroup([{ CPU: 1 }]);
  await group.ready();
  const inside = shared.options({ schedulingStrategy: inGroup(group) }).remote();
  const outside = shared.remote();
  await Promise.all([ready(inside), ready(outside)]);
  await group.remove();
  await expect(get(inside.where.remote())).rejects.toMatchObject({ code: "ACTOR_DIED" });
  expect((await get(outside.where.remote()))[2]).toBe(1);
});
