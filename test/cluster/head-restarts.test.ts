// The head dies and is started again: what was acknowledged is there, what runs goes on, and nobody sees an error.

import { expect, test } from "vitest";
import { get, getActor, HeadUnavailableError, inGroup, kv, list, placementGroup, ready, remote } from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";

const pause = (ms: number) => new Promise<void>((resolve) => void setTimeout(resolve, ms));

class Counter {
  #n = 0;

  add(): number {
    this.#n += 1;
    return this.#n;
  }
}

/** As anything may kill it: its agent is not told. */
async function killHead(cluster: TestCluster): Promise<number> {
  const { head } = cluster.pids();
  process.kill(head, "SIGKILL");
  return head;
}

test("tasks and calls under way go on, and what was made before is there afterwards", async () => {
  await using cluster = await testCluster({ head: { numCpus: 2 }, nodes: [{ numCpus: 2, resources: { far: 1 } }] });
  await cluster.connect();
  const counter = remote(Counter, { name: "counter", lifetime: "detached", namespace: "ns", maxRestarts: 1 }).remote();
  const far = remote(Counter, { resources: { far: 0.1 } }).remote();
  await Promise.all([ready(counter), ready(far)]);
  const group = await placementGroup([{ CPU: 0.5 }, { CPU: 0.5 }], { strategy: "SPREAD", name: "spread" });
  await group.ready();
  await kv.set("before", { n: 1 });
  const slow = remote(async (ms: number) => {
    await new Promise((resolve) => setTimeout(resolve, ms));
    return ms;
  }, { numCpus: 0.25 });
  const running = [300, 600, 900].map((ms) => slow.remote(ms));
  await pause(100);

  const before = await killHead(cluster);
  const calls = await Promise.all(Array.from({ length: 20 }, () => get(far.add.remote())));
  expect(calls).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
  await kv.set("after", 2);
  expect(await kv.get("before")).toEqual({ n: 1 });
  expect(await kv.get("after")).toBe(2);
  expect(await get(running)).toEqual([300, 600, 900]);
  expect(cluster.pids().head).not.toBe(before);

  const same = await getActor<Counter>("counter", { namespace: "ns" });
  expect(await get(same.add.remote())).toBe(1);
  const where = remote(() => process.pid, { numCpus: 0.5 });
  await get([0, 1].map((bundleIndex) => where.options({ schedulingStrategy: inGroup(group, { bundleIndex }) }).remote()));
  expect((await list.nodes()).map(({ state }) => state)).toEqual(["ALIVE", "ALIVE"]);
  expect((await list.placementGroups()).map(({ name, state }) => [name, state])).toEqual([["spread", "CREATED"]]);
  expect((await list.actors()).map(({ state }) => state)).toEqual(["ALIVE", "ALIVE"]);
  expect((await list.jobs()).map(({ state }) => state)).toEqual(["RUNNING"]);
  await group.remove();
  expect((await list.placementGroups()).map(({ state }) => state)).toEqual(["REMOVED"]);
});

test("a head that is held dead: what needs it waits, the rest goes on, and too long is a typed error", async () => {
  await using cluster = await testCluster({ head: { numCpus: 2 }, nodes: [{ numCpus: 1, resources: { far: 1 } }] });
  await cluster.connect();
  const far = remote(Counter, { resources: { far: 0.1 } }).remote();
  const double = remote((n: number) => 2 * n);
  expect(await get(double.remote(2))).toBe(4);
  await ready(far);
  await cluster.killHead();
  expect(cluster.pids().head).toBe(0);
  expect(await get(far.add.remote())).toBe(1);
  expect(await get(double.remote(3))).toBe(6);
  const asked = [kv.set("k", 1), placementGroup([{ CPU: 0.5 }]).then((group) => group.ready()), list.nodes()];
  const named = remote(Counter, { name: "late" }).remote();
  const called = get(named.add.remote());
  expect(await Promise.race([...asked, called, pause(500).then(() => "waits")])).toBe("waits");
  await cluster.restartHead();
  await Promise.all(asked);
  expect(await called).toBe(1);
  expect(await kv.get("k")).toBe(1);
});

test("an outage that is longer than questions wait is a typed error, and over when there is a head again", async () => {
  process.env.TROUPE_HEAD_WAIT_MS = "700";
  await using cluster = await testCluster({ head: { numCpus: 2 } }).finally(() => delete process.env.TROUPE_HEAD_WAIT_MS);
  await cluster.connect();
  const counter = remote(Counter).remote();
  await ready(counter);
  await cluster.killHead();
  const named = remote(Counter, { name: "late" }).remote();
  const failures = await Promise.allSettled([
    kv.set("k", 1), list.nodes(), placementGroup([{ CPU: 1 }]), getActor("nobody"), get(named.add.remote()),
    get(remote(() => 1).remote()),
  ]);
  for (const outcome of failures) {
    const { reason } = outcome as PromiseRejectedResult;
    expect(reason).toBeInstanceOf(HeadUnavailableError);
    expect(reason.message).toMatch(/head.*on node [0-9a-f]{16}.*Try again/s);
  }
  expect(await get(counter.add.remote())).toBe(1);
  await cluster.restartHead();
  await kv.set("k", 2);
  expect(await kv.get("k")).toBe(2);
  expect(await get(remote(() => 1).remote())).toBe(1);
  expect(await get(counter.add.remote())).toBe(2);
});

test("a node that dies, and one that is added, while there is no head are known to the next one", async () => {
  await using cluster = await testCluster({ head: { numCpus: 2 }, nodes: [{ resources: { far: 1 } }] });
  await cluster.connect();
  const kept = remote(Counter, { name: "kept", lifetime: "detached", namespace: "ns", maxRestarts: 1, resources: { far: 0.1 } });
  await ready(kept.remote());
  const far = (await list.nodes()).find(({ isHead }) => !isHead)?.id ?? "";
  await cluster.killHead();
  await cluster.removeNode(far, { graceful: false });
  const added = cluster.addNode({ resources: { far: 1 } });
  expect(await Promise.race([added, pause(500).then(() => "waits")])).toBe("waits");
  await cluster.restartHead();
  await added;
  const actor = await getActor<Counter>("kept", { namespace: "ns" });
  await ready(actor);
  expect(await get(actor.add.remote())).toBe(1);
  expect((await list.nodes()).map(({ state }) => state).sort()).toEqual(["ALIVE", "ALIVE", "DEAD"]);
});

test("a head that stands still is ended by its agent, and what was asked of it is asked of the next one", async () => {
  await using cluster = await testCluster({ head: { numCpus: 2 }, nodes: [{}] });
  await cluster.connect();
  const { head } = cluster.pids();
  process.kill(head, "SIGSTOP");
  await kv.set("k", 1);
  expect(cluster.pids().head).not.toBe(head);
  expect((await list.nodes()).map(({ state }) => state)).toEqual(["ALIVE", "ALIVE"]);
});
