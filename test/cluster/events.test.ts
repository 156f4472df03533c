// What a cluster tells of what happened in it, and the command that adds a node.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Cluster, get, init, InvalidArgumentError, kill, placementGroup, ready, remote, shutdown } from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";
import { until } from "../until.ts";

let cluster: TestCluster;
let driver: Cluster;

beforeEach(async () => {
  cluster = await testCluster({ head: { numCpus: 1 } });
  driver = await cluster.connect();
});
afterEach(() => cluster.stop());

class Idle {
  ping() {
    return process.pid;
  }
}

describe("events", () => {
  test("tell of nodes, jobs, actors and groups, the newest first", async () => {
    const [{ id: head }] = await driver.nodes();
    const added = await cluster.addNode({ resources: { a: 1 } });
    const actor = remote(Idle, { resources: { a: 1 }, maxRestarts: 1 }).remote();
    process.kill(await get(actor.ping.remote()), "SIGKILL");
    await until(async () => (await driver.events()).some(({ kind }) => kind === "actor-restarting"));
    await ready(actor);
    await kill(actor);
    const group = await placementGroup([{ a: 0.5 }]);
    await group.ready();
    await cluster.removeNode(added, { graceful: false });
    await until(async () => (await driver.events()).some(({ kind }) => kind === "group-rescheduling"));
    await group.remove();
    const events = await driver.events();
    const told = events.map(({ kind, id }) => `${kind} ${id}`).reverse();
    expect(told.slice(0, 3)).toEqual([`node-joined ${head}`, `job-started ${driver.jobId}`, `node-joined ${added}`]);
    expect(told.slice(3).map((one) => one.split(" ")[0])).toEqual([
      "actor-restarting", "actor-died", "group-created", "node-died", "group-rescheduling", "group-removed",
    ]);
    expect(events.find(({ kind }) => kind === "actor-restarting")?.text).toContain("SIGKILL");
    const times = events.map(({ at }) => at);
    expect([...times].sort((left, right) => right - left)).toEqual(times);
    expect(await driver.events({ limit: 2 })).toEqual(events.slice(0, 2));
  });
});

describe("joinCommand", () => {
  test("names the head's address and the token's file", async () => {
    expect(await driver.joinCommand()).toBe(`troupe start --address ${cluster.address} --token-file FILE`);
  });

  test("is refused by a private cluster", async () => {
    await shutdown();
    const own = await init({ numCpus: 1 });
    await expect(own.joinCommand()).rejects.toBeInstanceOf(InvalidArgumentError);
    await shutdown();
  });
});
