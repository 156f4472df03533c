// Placement groups through the public API: real head, agents and workers, agents killed by SIGKILL.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  ActorDiedError, type Cluster, get, getActor, getPlacementGroup, getRuntimeContext, GetTimeoutError, init, inGroup,
  InvalidArgumentError, kill, list, NameTakenError, NotFoundError, placementGroup, type PlacementGroup,
  PlacementGroupRemovedError, ready, remote, run, shutdown, wait,
} from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";
import { until } from "../until.ts";

let cluster: TestCluster;
let driver: Cluster;

beforeEach(async () => {
  cluster = await testCluster({ head: { numCpus: 1 }, nodes: [{ numCpus: 2 }, { numCpus: 2, resources: { a: 1 } }] });
  driver = await cluster.connect();
});
afterEach(() => cluster.stop());

const where = remote(() => getRuntimeContext().nodeId);
const forever = remote(() => new Promise<never>(() => {}));

async function nodesOf(group: PlacementGroup): Promise<string[]> {
  const [row] = await list.placementGroups({ filters: { id: group.id } });
  return row.bundles.map(({ nodeId }) => nodeId);
}

async function stateOf(group: PlacementGroup): Promise<string> {
  return (await list.placementGroups({ filters: { id: group.id } }))[0].state;
}

describe("strategies", () => {
  test("pack on one node, spread over several, and keep to their word", async () => {
    const packed = await placementGroup([{ CPU: 1 }, { CPU: 1 }], { strategy: "STRICT_PACK" });
    await packed.ready();
    expect(new Set(await nodesOf(packed)).size).toBe(1);
    const spread = await placementGroup([{ CPU: 1 }, { CPU: 1 }], { strategy: "STRICT_SPREAD" });
    await spread.ready();
    expect(new Set(await nodesOf(spread)).size).toBe(2);
    expect(await driver.resources()).toMatchObject({ CPU: 5, a: 1 });
    await until(async () => (await driver.availableResources()).CPU === 1);
    await packed.remove();
    await spread.remove();
    await until(async () => (await driver.availableResources()).CPU === 5);
    const nodes = await driver.nodes();
    for (const { resources } of nodes) expect(Object.keys(resources).filter((name) => name.includes("@"))).toEqual([]);
  });

  test("all bundles or none: what cannot be, holds nothing and says why", async () => {
    const group = await placementGroup([{ CPU: 2 }, { CPU: 2 }, { CPU: 2 }], { strategy: "STRICT_SPREAD" });
    await expect(group.ready({ timeoutMs: 300 })).rejects.toThrow(/no nodes can ever hold STRICT_SPREAD of \{CPU: 2\}/);
    await expect(group.ready({ timeoutMs: 10 })).rejects.toBeInstanceOf(GetTimeoutError);
    expect(await stateOf(group)).toBe("PENDING");
    expect((await driver.availableResources()).CPU).toBe(5);
    const added = await cluster.addNode({ numCpus: 2 });
    await group.ready();
    expect(await nodesOf(group)).toContain(added);
  });

  test("a group that wants what runs now gets it when that ends", async () => {
    const sleep = remote(() => new Promise<void>((resolve) => void setTimeout(resolve, 500)));
    const refs = Array.from({ length: 10 }, () => sleep.remote());
    await wait(refs, { numReturns: 1 });
    const group = await placementGroup([{ CPU: 2 }, { CPU: 2 }], { strategy: "STRICT_SPREAD" });
    await group.ready();
    await get(refs);
  });
});

describe("work in a group", () => {
  test("runs where its bundle is, and elsewhere never", async () => {
    const group = await placementGroup([{ CPU: 1 }, { CPU: 1, a: 1 }], { strategy: "SPREAD" });
    const [first, second] = [inGroup(group, { bundleIndex: 0 }), inGroup(group, { bundleIndex: 1 })];
    const early = where.options({ schedulingStrategy: second }).remote();
    await group.ready();
    const nodes = await nodesOf(group);
    expect(await get(early)).toBe(nodes[1]);
    for (let again = 0; again < 3; again += 1) {
      expect(await run(where.options({ schedulingStrategy: first }))).toBe(nodes[0]);
      expect(await run(where.options({ schedulingStrategy: first, numCpus: 0 }))).toBe(nodes[0]);
      expect(await run(where.options({ schedulingStrategy: second, resources: { a: 1 } }))).toBe(nodes[1]);
      expect(nodes).toContain(await run(where.options({ schedulingStrategy: inGroup(group) })));
    }
    const held = remote(() => getRuntimeContext().resources, { schedulingStrategy: first });
    expect(await run(held)).toEqual({ CPU: 1 });
  });

  test("uses what the group has reserved and no more", async () => {
    const group = await placementGroup([{ CPU: 1 }], { strategy: "PACK" });
    await group.ready();
    const slow = remote(async () => {
      const from = Date.now();
      await new Promise((resolve) => setTimeout(resolve, 100));
      return [from, Date.now()] as const;
    }, { schedulingStrategy: inGroup(group) });
    const times = await get([slow.remote(), slow.remote(), slow.remote()]);
    times.sort((left, right) => left[0] - right[0]);
    for (const [index, [from]] of times.entries()) if (index > 0) expect(from).toBeGreaterThanOrEqual(times[index - 1][1]);
  });

  test("captures its children when told to, and gives its CPU to them while it waits", async () => {
    const group = await placementGroup([{ CPU: 1, a: 1 }]);
    await group.ready();
    const child = remote(() => getRuntimeContext().placementGroup?.id);
    const parent = remote(() => run(child));
    const captured = inGroup(group, { captureChildTasks: true });
    expect(await run(parent.options({ schedulingStrategy: captured }))).toBe(group.id);
    expect(await run(parent.options({ schedulingStrategy: inGroup(group) }))).toBeUndefined();
    const own = remote(() => run(child.options({ schedulingStrategy: "default" })));
    expect(await run(own.options({ schedulingStrategy: captured }))).toBeUndefined();
  });

  test("holds actors, which captured or not are where the group is", async () => {
    class Place {
      node() {
        return getRuntimeContext().nodeId;
      }
      inside() {
        return run(where);
      }
    }
    const group = await placementGroup([{ CPU: 2 }], { strategy: "STRICT_PACK" });
    await group.ready();
    const [node] = await nodesOf(group);
    const actor = remote(Place, { numCpus: 1, schedulingStrategy: inGroup(group, { captureChildTasks: true }) }).remote();
    expect(await get(actor.node.remote())).toBe(node);
    expect(await get(actor.inside.remote())).toBe(node);
  });

  test("a handle travels, and a task can make, use and remove groups", async () => {
    const group = await placementGroup([{ CPU: 1, a: 1 }]);
    await group.ready();
    const use = remote((one: PlacementGroup) => run(where.options({ schedulingStrategy: inGroup(one, { bundleIndex: 0 }) })));
    expect([await run(use, group)]).toEqual(await nodesOf(group));
    const makes = remote(async () => {
      const own = await placementGroup([{ CPU: 2 }]);
      await own.ready();
      const node = await run(where.options({ schedulingStrategy: inGroup(own) }));
      await own.remove();
      return node;
    });
    expect(await run(makes)).toBeTypeOf("string");
  });

  test("what is wrong is said at the door", async () => {
    const group = await placementGroup([{ CPU: 1 }, { CPU: 2 }]);
    expect(() => inGroup(group, { bundleIndex: 2 })).toThrow(InvalidArgumentError);
    expect(() => inGroup(group, { bundleIndex: 0.5 })).toThrow(/from 0 to 1/);
    expect(() => inGroup({} as PlacementGroup)).toThrow(InvalidArgumentError);
    const first = inGroup(group, { bundleIndex: 0 });
    expect(() => where.options({ numCpus: 2, schedulingStrategy: first })).toThrow(/\{CPU: 2\} fits not bundle 0/);
    expect(() => where.options({ numGpus: 1, schedulingStrategy: inGroup(group) })).toThrow(/fits no bundle/);
    for (const wrong of [[], [{}], [{ CPU: -1 }], [{ CPU: 0 }], "CPU", [null], [{ "CPU@x": 1 }]]) {
      await expect(placementGroup(wrong as never)).rejects.toBeInstanceOf(InvalidArgumentError);
    }
    await expect(placementGroup([{ CPU: 1 }], { strategy: "TIGHT" as never })).rejects.toBeInstanceOf(InvalidArgumentError);
    await expect(placementGroup([{ CPU: 1 }], { stratgy: "PACK" } as never)).rejects.toThrow(/stratgy is not known/);
  });
});

describe("removal", () => {
  test("fails running, queued and later work, and gives everything back", async () => {
    const group = await placementGroup([{ CPU: 1 }, { CPU: 1 }], { strategy: "STRICT_SPREAD" });
    await group.ready();
    const inside = forever.options({ schedulingStrategy: inGroup(group) });
    const refs = Array.from({ length: 5 }, () => inside.remote());
    await until(async () => (await list.tasks({ filters: { state: "RUNNING" } })).length === 2);
    await group.remove();
    for (const ref of refs) await expect(get(ref)).rejects.toBeInstanceOf(PlacementGroupRemovedError);
    await expect(run(inside)).rejects.toThrow(/was removed/);
    await expect(group.ready()).rejects.toBeInstanceOf(PlacementGroupRemovedError);
    await group.remove();
    await until(async () => (await driver.availableResources()).CPU === 5);
    expect(await stateOf(group)).toBe("REMOVED");
  });

  test("ends actors with that cause, those that wait for it too", async () => {
    class Idle {
      ping() {
        return 1;
      }
    }
    const group = await placementGroup([{ CPU: 1 }]);
    await group.ready();
    const Inside = remote(Idle, { numCpus: 1, maxRestarts: -1, schedulingStrategy: inGroup(group) });
    const alive = Inside.remote();
    await ready(alive);
    const waits = Inside.remote();
    const call = waits.ping.remote();
    await group.remove();
    const later = Inside.remote();
    for (const ref of [alive.ping.remote(), call, later.ping.remote()]) {
      const error = await get(ref).then(() => undefined, (thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(ActorDiedError);
      expect((error as ActorDiedError).cause).toBeInstanceOf(PlacementGroupRemovedError);
    }
  });

  test("of a pending group takes it out of the queue", async () => {
    const group = await placementGroup([{ CPU: 64 }]);
    const ref = where.options({ schedulingStrategy: inGroup(group) }).remote();
    const readiness = group.ready();
    readiness.catch(() => {});
    await group.remove();
    await expect(readiness).rejects.toBeInstanceOf(PlacementGroupRemovedError);
    await expect(get(ref)).rejects.toBeInstanceOf(PlacementGroupRemovedError);
  });
});

describe("nodes that go", () => {
  test("a lost bundle is placed anew, what was there is tried again, and the rest stays where it is", async () => {
    const group = await placementGroup([{ CPU: 2 }, { CPU: 2 }], { strategy: "STRICT_SPREAD" });
    await group.ready();
    const [kept, lost] = await nodesOf(group);
    const second = where.options({ schedulingStrategy: inGroup(group, { bundleIndex: 1 }) });
    expect(await run(second)).toBe(lost);
    const nap = remote(async () => {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      return getRuntimeContext().nodeId;
    }, { schedulingStrategy: inGroup(group, { bundleIndex: 1 }) });
    const ref = nap.remote();
    await until(async () => (await list.tasks({ filters: { state: "RUNNING" } })).length === 1);
    await cluster.removeNode(lost, { graceful: false });
    await until(async () => (await stateOf(group)) === "RESCHEDULING");
    await expect(group.ready({ timeoutMs: 100 })).rejects.toBeInstanceOf(GetTimeoutError);
    const added = await cluster.addNode({ numCpus: 2 });
    await group.ready();
    expect(await nodesOf(group)).toEqual([kept, added]);
    expect(await get(ref)).toBe(added);
    expect(await run(second)).toBe(added);
  });

  test("an actor in a lost bundle lives again where the bundle is", async () => {
    class Place {
      node() {
        return getRuntimeContext().nodeId;
      }
    }
    const group = await placementGroup([{ CPU: 1, a: 1 }]);
    await group.ready();
    const actor = remote(Place, {
      maxRestarts: 1, maxTaskRetries: -1, resources: { a: 1 }, schedulingStrategy: inGroup(group),
    }).remote();
    const lost = await get(actor.node.remote());
    await cluster.removeNode(lost, { graceful: false });
    const added = await cluster.addNode({ numCpus: 1, resources: { a: 1 } });
    expect(await get(actor.node.remote())).toBe(added);
  });
});

describe("names and lifetimes", () => {
  test("a named group is found, its name is taken once, and free after removal", async () => {
    const group = await placementGroup([{ CPU: 1 }], { name: "pool", namespace: "shop" });
    const found = await getPlacementGroup("pool", { namespace: "shop" });
    expect(found.id).toBe(group.id);
    expect(found.bundles).toEqual([{ CPU: 1 }]);
    await expect(placementGroup([{ CPU: 1 }], { name: "pool", namespace: "shop" })).rejects.toBeInstanceOf(NameTakenError);
    await expect(getPlacementGroup("pool")).rejects.toBeInstanceOf(NotFoundError);
    await group.remove();
    await expect(getPlacementGroup("pool", { namespace: "shop" })).rejects.toBeInstanceOf(NotFoundError);
    await placementGroup([{ CPU: 1 }], { name: "pool", namespace: "shop" });
  });

  test("a group that a detached actor made ends with it, not with the job", async () => {
    class Maker {
      async make() {
        const group = await placementGroup([{ CPU: 1 }]);
        await group.ready();
        return group;
      }
    }
    const maker = remote(Maker, { name: "maker", namespace: "shop", lifetime: "detached" }).remote();
    const group = await get(maker.make.remote());
    await shutdown();
    driver = await init({ address: cluster.socket, token: cluster.token });
    expect(await run(where.options({ schedulingStrategy: inGroup(group) }))).toBe((await nodesOf(group))[0]);
    await kill(await getActor("maker", { namespace: "shop" }));
    await until(async () => (await stateOf(group)) === "REMOVED");
    await shutdown();
  });

  test("a group ends with its job, a detached one does not", async () => {
    const bound = await placementGroup([{ CPU: 1 }]);
    const detached = await placementGroup([{ CPU: 1 }], { name: "stays", namespace: "shop", lifetime: "detached" });
    await detached.ready();
    await bound.ready();
    await shutdown();
    driver = await init({ address: cluster.socket, token: cluster.token });
    await until(async () => (await stateOf(bound)) === "REMOVED");
    const found = await getPlacementGroup("stays", { namespace: "shop" });
    expect(await nodesOf(found)).toContain(await run(where.options({ schedulingStrategy: inGroup(found) })));
    await until(async () => (await driver.availableResources()).CPU === 4);
    await shutdown();
  });
});
