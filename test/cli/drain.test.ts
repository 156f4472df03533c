// A node is drained from the command line: what runs there goes on, everything new goes elsewhere.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  type Cluster, get, getObject, getRuntimeContext, InfeasibleError, inGroup, list, placementGroup, remote, run,
} from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";
import { type Ended, Machine } from "./machine.ts";
import { until } from "../until.ts";

let cluster: TestCluster;
let driver: Cluster;
let machine: Machine;

beforeEach(async () => {
  machine = new Machine();
  cluster = await testCluster({ head: { numCpus: 1 }, nodes: [{ numCpus: 2, resources: { a: 2 } }] });
  driver = await cluster.connect();
});
afterEach(async () => {
  await cluster.stop();
  await machine.remove();
});

function drain(node: string): Promise<Ended> {
  const file = join(machine.folder, "token");
  writeFileSync(file, cluster.token, { mode: 0o600 });
  return machine.troupe("drain", node, "--json", "--address", cluster.address, "--token-file", file);
}

const where = remote(() => getRuntimeContext().nodeId);

describe("troupe drain", () => {
  test("copies what the node keeps to another, where it is when the node has left", async () => {
    const make = remote((length: number) => new Uint8Array(length).fill(6), { resources: { a: 1 } });
    const ref = make.remote(2_000_000);
    await ref.detach({ name: "moved" });
    const locations = async () => (await list.objects({ filters: { id: ref.id } }))[0]?.locations ?? [];
    const [node] = await locations();
    expect((await drain(node)).code).toBe(0);
    await expect.poll(async () => (await locations()).length).toBe(2);
    await cluster.removeNode(node);
    for (const one of [await getObject<Uint8Array>("moved"), ref]) expect((await get(one)).at(-1)).toBe(6);
  });

  test("lets what runs end, and sends everything new elsewhere", async () => {
    class Here {
      node() {
        return getRuntimeContext().nodeId;
      }
    }
    const nodes = await driver.nodes();
    const a = nodes.find(({ resources }) => resources.a === 2)?.id ?? "";
    const actor = remote(Here, { resources: { a: 1 } }).remote();
    expect(await get(actor.node.remote())).toBe(a);
    const nap = remote(async () => {
      await new Promise((resolve) => setTimeout(resolve, 1500));
      return getRuntimeContext().nodeId;
    }, { resources: { a: 1 } });
    const running = nap.remote();
    await until(async () => (await list.tasks({ filters: { state: "RUNNING" } })).length === 1);

    const drained = await drain(a);
    expect([drained.code, drained.stderr]).toEqual([0, ""]);
    expect(JSON.parse(drained.stdout)).toMatchObject({ id: a, state: "DRAINING" });
    expect((await drain(a)).code).toBe(0);
    const others = await get(Array.from({ length: 6 }, () => where.remote()));
    expect(others).not.toContain(a);
    const error = await run(where.options({ resources: { a: 1 }, infeasibleGraceMs: 50 })).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InfeasibleError);
    expect((error as Error).message).toContain("is draining");
    expect(await get(running)).toBe(a);
    expect(await get(actor.node.remote())).toBe(a);
  });

  test("moves bundles of groups to other nodes", async () => {
    const group = await placementGroup([{ CPU: 1 }, { CPU: 1 }], { strategy: "STRICT_SPREAD" });
    await group.ready();
    const nodes = async () => (await list.placementGroups({ filters: { id: group.id } }))[0].bundles.map(({ nodeId }) => nodeId);
    const [kept, left] = await nodes();
    expect((await drain(left)).code).toBe(0);
    const added = await cluster.addNode({ numCpus: 1 });
    await group.ready();
    expect(await nodes()).toEqual([kept, added]);
    expect(await run(where.options({ schedulingStrategy: inGroup(group, { bundleIndex: 1 }) }))).toBe(added);
  });

  test("of a node that is none says so", async () => {
    const { code, stderr } = await drain("0123456789abcdef");
    expect([code, stderr]).toEqual([1, expect.stringContaining("node 0123456789abcdef is not one of this cluster's")]);
  });
});
