// Several nodes: real agents and a separate head on one machine, killed and removed.

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import {
  ActorDiedError,
  ActorUnavailableError,
  get,
  getRuntimeContext,
  InfeasibleError,
  kill,
  list,
  NodeDiedError,
  onNode,
  put,
  ready,
  remote,
  run,
  type Cluster,
} from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";
import { until } from "../until.ts";

let cluster: TestCluster;
let driver: Cluster;

beforeEach(async () => {
  cluster = await testCluster({ head: { numCpus: 1 }, nodes: [{ numCpus: 1, resources: { a: 1 }, labels: { zone: "east" } }] });
  driver = await cluster.connect();
});
afterEach(() => cluster.stop());

/** Id of the node with that resource. */
async function nodeWith(resource: string): Promise<string> {
  const node = (await driver.nodes()).find((one) => one.state === "ALIVE" && one.resources[resource] !== undefined);
  return (node as { id: string }).id;
}

/** Two tasks that end when both run, and keep their CPUs until then; they see each other by their files. */
function meetingOfTwo() {
  const folder = mkdtempSync(join(tmpdir(), "meeting-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return remote(async (name: string, _argument?: Uint8Array) => {
    writeFileSync(join(folder, name), "");
    while (readdirSync(folder).length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
    return getRuntimeContext().nodeId;
  });
}

const where = remote(() => getRuntimeContext().nodeId);

describe("placement", () => {
  test("resources, labels and affinity lead to their nodes", async () => {
    const a = await nodeWith("a");
    expect(await run(where.options({ resources: { a: 1 } }))).toBe(a);
    expect(await run(where.options({ labelSelector: { zone: "east" } }))).toBe(a);
    expect(await run(where.options({ labelSelector: { zone: "!east" } }))).not.toBe(a);
    expect(await run(where.options({ schedulingStrategy: onNode(a) }))).toBe(a);
    await expect(
      run(where.options({ schedulingStrategy: onNode("0123456789abcdef"), infeasibleGraceMs: 50 })),
    ).rejects.toThrow(InfeasibleError);
    expect(await run(where.options({ schedulingStrategy: onNode("0123456789abcdef", { soft: true }) }))).toBeTypeOf("string");
  });

  test("work spreads over the nodes and the cluster adds up", async () => {
    const meet = meetingOfTwo().options({ schedulingStrategy: "spread" });
    expect(new Set(await get([meet.remote("one"), meet.remote("other")])).size).toBe(2);
    expect(await driver.resources()).toMatchObject({ CPU: 2, a: 1 });
    await until(async () => (await driver.availableResources()).CPU === 2);
  });

  test("a waiting task helps only with children that its node has the resources for", async () => {
    const parent = remote(() => run(where.options({ resources: { a: 1 } })), { labelSelector: { zone: "!east" } });
    const a = await nodeWith("a");
    for (let again = 0; again < 5; again += 1) expect(await run(parent)).toBe(a);
  });

  test("a task goes to the node with most bytes of its arguments while that has room", async () => {
    const a = await nodeWith("a");
    const make = remote((bytes: number) => new Uint8Array(bytes));
    const large = make.options({ resources: { a: 1 } }).remote(4 << 20);
    const larger = make.options({ resources: { a: 1 } }).remote(6 << 20);
    const here = await put(new Uint8Array(5 << 20));
    const at = remote((..._values: Uint8Array[]) => getRuntimeContext().nodeId);
    await get([large, larger]);
    // What made them keeps its lease for a moment, and while it does that node may be full.
    await until(async () => (await driver.availableResources()).CPU === 2);
    expect(await run(at, large, larger, here)).toBe(a);
    expect(await run(at, here)).not.toBe(a);
    expect(await run(at, here, large)).not.toBe(a);
    // A preference and no more: both have one CPU.
    const meet = meetingOfTwo();
    const both = await get([meet.remote("one", large), meet.remote("other", large)]);
    expect(both).toContain(a);
    expect(new Set(both).size).toBe(2);
  });

  test("an actor without a node for its next life ends with its last handle, and when it is killed", async () => {
    class Tied {
      node() {
        return getRuntimeContext().nodeId;
      }
    }
    const tied = remote(Tied, { numCpus: 0, resources: { a: 0.5 }, maxRestarts: 5 });
    const [dropped, killed] = [tied.remote(), tied.remote()];
    const [a] = await get([dropped.node.remote(), killed.node.remote()]);
    await cluster.removeNode(a, { graceful: false });
    await until(async () => (await list.actors()).every(({ state }) => state === "RESTARTING"));
    dropped[Symbol.dispose]();
    await kill(killed);
    await until(async () => (await list.actors()).every(({ state }) => state === "DEAD"));
    await expect(get(killed.node.remote())).rejects.toThrow(ActorDiedError);
  });

  test("a node that joins later takes what waited for it", async () => {
    const ref = where.options({ resources: { late: 1 }, throwOnInfeasible: false }).remote();
    const added = await cluster.addNode({ numCpus: 1, resources: { late: 1 } });
    expect(await get(ref)).toBe(added);
    class Late {
      node() {
        return getRuntimeContext().nodeId;
      }
    }
    const actor = remote(Late, { resources: { later: 1 }, throwOnInfeasible: false }).remote();
    const call = actor.node.remote();
    const last = await cluster.addNode({ numCpus: 1, resources: { later: 1 } });
    expect(await get(call)).toBe(last);
    const never = remote(Late, { resources: { never: 1 }, infeasibleGraceMs: 50 }).remote();
    await expect(get(never.node.remote())).rejects.toThrow(/\{CPU: 1, never: 1\}.*too little never/);
  });
});

describe("actors on other nodes", () => {
  class Counter {
    n = 0;
    inc() {
      return ++this.n;
    }
    node() {
      return getRuntimeContext().nodeId;
    }
  }

  test("answer in order, and their handles travel between nodes", async () => {
    const counter = remote(Counter, { resources: { a: 1 } }).remote();
    expect(await get(counter.node.remote())).toBe(await nodeWith("a"));
    expect(await get(Array.from({ length: 50 }, () => counter.inc.remote()))).toEqual(
      Array.from({ length: 50 }, (_, i) => i + 1),
    );
    const use = remote(async (c: typeof counter) => get(c.inc.remote()));
    expect(await get(use.remote(counter as never))).toBe(51);
  });

  test("restart on another node when theirs dies, or die with its cause", async () => {
    const extra = await cluster.addNode({ numCpus: 1, resources: { b: 1 } });
    const other = await cluster.addNode({ numCpus: 1, resources: { b: 1 } });
    const phoenix = remote(Counter, { resources: { b: 1 }, maxRestarts: 1 }).remote();
    const first = await get(phoenix.node.remote());
    await cluster.removeNode(first, { graceful: false });
    const survivor = first === extra ? other : extra;
    await until(async () => (await get(phoenix.node.remote()).catch((error: unknown) => {
      if (error instanceof ActorUnavailableError) return "unavailable";
      throw error;
    })) === survivor);
    const mortal = remote(Counter, { resources: { a: 1 } }).remote();
    await ready(mortal);
    await cluster.removeNode(await nodeWith("a"), { graceful: false });
    await expect(get(mortal.inc.remote())).rejects.toThrow(ActorDiedError);
  });
});

describe("the death of a worker on another node", () => {
  test("fails what had started; what was queued behind it runs elsewhere and is not charged", async () => {
    const step = remote((last: boolean) => {
      if (last) process.kill(process.pid, "SIGKILL");
      return process.pid;
    }, { resources: { a: 1 }, maxRetries: 0 });
    // Short enough to be queued many deep.
    const [pid] = await get(Array.from({ length: 50 }, () => step.remote(false)));
    const last = step.remote(true);
    const behind = Array.from({ length: 20 }, () => step.remote(false));
    await expect(get(last)).rejects.toMatchObject({ code: "WORKER_CRASHED", signal: "SIGKILL", reason: "signaled" });
    expect((await get(behind)).every((other) => other !== pid)).toBe(true);
  });
});

describe("the death of a node", () => {
  test("is seen by the head; its tasks run elsewhere, or fail with the cause", async () => {
    const twins = [await cluster.addNode({ numCpus: 1, resources: { twin: 1 } })];
    class Started {
      #count = 0;
      add() {
        this.#count += 1;
      }
      get() {
        return this.#count;
      }
    }
    const started = remote(Started).options({ schedulingStrategy: onNode(await nodeWith("a")) }).remote();
    const survivor = remote(
      async () => {
        const { attempt, nodeId } = getRuntimeContext();
        await get(started.add.remote());
        if (attempt === 0) await new Promise(() => {});
        return nodeId;
      },
      { numCpus: 0 },
    );
    const ref = survivor.options({ resources: { twin: 1 } }).remote();
    await until(async () => (await driver.availableResources()).twin === 0);
    twins.push(await cluster.addNode({ numCpus: 1, resources: { twin: 1 } }));
    const hard = survivor.options({ schedulingStrategy: onNode(twins[0]), maxRetries: 0 }).remote();
    await until(async () => (await get(started.get.remote())) === 2);
    await cluster.removeNode(twins[0], { graceful: false });
    expect(await get(ref)).toBe(twins[1]);
    await expect(get(hard)).rejects.toThrow(NodeDiedError);
    await until(async () => (await driver.nodes()).some((node) => node.id === twins[0] && node.state === "DEAD"));
  });
});
