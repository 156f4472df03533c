// What a cluster tells of itself: tasks, objects, actors, workers, nodes and stores, from every process of two nodes.

import { get, getRuntimeContext, kill, list, put, remote, summary } from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await testCluster({ head: { numCpus: 2 }, nodes: [{ numCpus: 1, resources: { far: 1 } }] });
  await cluster.connect();
});
afterAll(() => cluster.stop());

async function until<T>(look: () => Promise<T>, good: (found: T) => boolean): Promise<T> {
  for (let tries = 0; ; tries += 1) {
    const found = await look();
    if (good(found) || tries === 100) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe("list.tasks", () => {
  test("tells where each is, of every process that submits", async () => {
    const slow = remote(async function slow(ms: number) {
      await new Promise((resolve) => setTimeout(resolve, ms));
      return getRuntimeContext().taskId;
    }, { name: "slow" });
    const parent = remote(async () => get(slow.options({ numCpus: 0, name: "child" }).remote(60_000)), {
      name: "parent",
      numCpus: 1,
    });
    const running = slow.options({ numCpus: 0, resources: { far: 0.5 } }).remote(60_000);
    const waiting = slow.remote(running as never);
    const tree = parent.remote();
    const rows = await until(() => list.tasks(), (found) => (
      ["slow", "child", "parent"].every((name) => found.some((row) => row.name === name && row.state === "RUNNING"))
    ));
    const rowOf = (id: string) => rows.find((row) => row.id === id);
    const far = (await list.nodes()).find((node) => "far" in node.resources);
    expect(rowOf(running.id)).toMatchObject({ state: "RUNNING", nodeId: far?.id, attempt: 0, errorCode: "", actorId: "" });
    expect(rowOf(running.id)?.workerPid).toBeGreaterThan(1);
    expect(rowOf(waiting.id)?.state).toBe("WAITING_FOR_ARGUMENTS");
    expect(rowOf(tree.id)?.state).toBe("RUNNING");
    const child = rows.find((row) => row.name === "child");
    expect(child?.ownerId).not.toBe(rowOf(tree.id)?.ownerId);
  });

  test("remembers those that ended, filters and limits", async () => {
    const good = remote(() => 1, { name: "good" });
    const bad = remote(() => {
      throw new TypeError("no");
    }, { name: "bad" });
    await get(Array.from({ length: 5 }, () => good.remote()));
    const failed = bad.remote();
    await expect(get(failed)).rejects.toThrow("no");
    expect(await list.tasks({ filters: { name: "good" } })).toHaveLength(5);
    expect(await list.tasks({ filters: { name: "good" }, limit: 2 })).toHaveLength(2);
    const [row] = await list.tasks({ filters: { id: failed.id } });
    expect(row).toMatchObject({ name: "bad", state: "FAILED", errorCode: "TASK_ERROR" });
    expect(row.endedAt).toBeGreaterThanOrEqual(row.submittedAt);
    expect(Math.abs(Date.now() - row.submittedAt)).toBeLessThan(60_000);
    expect((await summary.tasks()).find(({ name }) => name === "good")).toEqual({
      name: "good",
      states: { FINISHED: 5 },
      total: 5,
    });
    await expect(list.tasks({ limit: 0 })).rejects.toThrow("limit must be a whole number of 1 or more");
    await expect(list.tasks({ filters: { name: undefined }, limit: 1 })).resolves.toHaveLength(1);
    await expect(list.tasks({ filters: { colour: "red" } as never })).rejects.toThrow("tasks have no field colour");
    for (const kind of ["tasks", "nodes", "workers", "jobs", "logs"] as const) {
      for (const row of (await list[kind]({ limit: 3 })) as object[]) {
        const known = Object.keys(row).map((field) => list[kind]({ filters: { [field]: "" }, limit: 1 } as never));
        await Promise.all(known);
      }
    }
  });
});

describe("list.objects", () => {
  test("names the processes that hold an object", async () => {
    class Keeper {
      kept: unknown;
      keep(box: unknown) {
        this.kept = box;
        return getRuntimeContext().workerId;
      }
    }
    const ref = await put("held");
    const keepers = [{}, { far: 0.1 }].map((resources) => remote(Keeper, { resources, numCpus: 0 }).remote());
    const workers = await get(keepers.map((keeper) => keeper.keep.remote({ ref })));
    const holders = async () => (await list.objects({ filters: { id: ref.id } }))[0].heldBy;
    const [{ ownerId }] = await list.objects({ filters: { id: ref.id } });
    expect([...await holders()].sort()).toEqual([ownerId, ...workers].sort());
    await kill(keepers[1]);
    await expect.poll(holders).toEqual([ownerId, workers[0]]);
  });

  test("has an object as long as a handle to it lives", async () => {
    const small = await put("small");
    const large = await put(new Uint8Array(200_000));
    const rows = await list.objects({ limit: 1000 });
    expect(rows.find(({ id }) => id === small.id)).toMatchObject({ state: "READY", locations: [] });
    const row = rows.find(({ id }) => id === large.id);
    const head = (await list.nodes()).find((node) => node.isHead);
    expect(row).toMatchObject({ state: "READY", locations: [head?.id] });
    expect(row?.size).toBeGreaterThanOrEqual(200_000);
    const { id } = large;
    large.release();
    dropped();
    const left = await until(() => list.objects({ limit: 1000 }), (found) => found.every((one) => one.id !== id));
    expect(left.some((one) => one.id === id)).toBe(false);
    expect(left.some((one) => one.id === small.id)).toBe(true);

    /** An object whose only handle is gone with this call. */
    function dropped(): void {
      void put("dropped");
    }
  });
});

describe("the rest of the state", () => {
  test("actors, workers, jobs and stores", async () => {
    class Keeper {
      pid() {
        return process.pid;
      }
    }
    const keeper = remote(Keeper, { name: "keeper", numCpus: 0 }).remote();
    const pid = await get(keeper.pid.remote());
    const [actor] = await list.actors({ filters: { name: "keeper" } });
    expect(actor).toMatchObject({ className: "Keeper", state: "ALIVE", pid, restarts: 0 });
    const workers = await list.workers();
    expect(workers.find((worker) => worker.pid === pid)?.state).toBe("ACTOR");
    expect(new Set(workers.map((worker) => worker.nodeId)).size).toBe(2);
    expect(await list.jobs({ filters: { state: "RUNNING" } })).toHaveLength(1);
    const before = (await list.stores()).reduce((sum, store) => sum + store.copiedBytes, 0);
    const bytes = await put(new Uint8Array(300_000));
    await get(remote((b: Uint8Array) => b.length, { resources: { far: 0.1 } }).remote(bytes));
    const stores = await list.stores();
    expect(stores).toHaveLength(2);
    const copied = stores.reduce((sum, store) => sum + store.copiedBytes, 0) - before;
    expect(copied).toBeGreaterThanOrEqual(300_000);
    expect(copied).toBeLessThan(310_000);
  });

  test("tells what a process with a blocked loop can't, without it", async () => {
    const blocked = remote(() => {
      const until = Date.now() + 4000;
      while (Date.now() < until);
    }, { name: "blocked", numCpus: 0 });
    const ref = blocked.remote();
    await until(() => list.tasks({ filters: { name: "blocked" } }), ([row]) => row?.state === "RUNNING");
    expect((await list.tasks({ filters: { name: "blocked" } }))[0]?.state).toBe("RUNNING");
    await get(ref);
  });
});
