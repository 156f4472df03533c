// Graphs served by a detached actor of a real cluster: one run a time, also when its process is killed.

import { getActor, init, kv, list, shutdown } from "troupe";
import { dag, dagService, every, serveDags, task, variable } from "troupe/dag";
import { afterAll, beforeAll, expect, test } from "vitest";

beforeAll(() => init({ numCpus: 2 }));
afterAll(() => shutdown());

test("runs are made on time, exactly one a time, whatever happens to the service", async () => {
  const tick = task("tick", async () => {
    for (;;) {
      const count = await kv.get<number>("served/count");
      if (await kv.cas("served/count", count, (count ?? 0) + 1)) return count;
    }
  });
  const graph = dag("ticks", { schedule: every(200) }, () => tick());
  const service = await serveDags({ dags: [graph] }, { name: "tested" });
  const times = async (): Promise<string[]> => {
    const found: string[] = [];
    for await (const [key, runId] of kv.scan<string>("dag/tick/ticks/")) {
      if ((await kv.get<{ state: string }>(`dag/run/${runId}`))?.state === "success") found.push(key);
    }
    return found;
  };
  await expect.poll(async () => (await times()).length).toBeGreaterThanOrEqual(3);
  const [host] = await list.actors({ filters: { className: "DagHost", state: "ALIVE" } });
  process.kill(host.pid, "SIGKILL");
  const before = (await times()).length;
  await expect.poll(async () => (await times()).length).toBeGreaterThanOrEqual(before + 3);

  const other = await serveDags({ dags: [dag("other", () => tick())] }, { name: "tested" });
  expect((await other.dags()).map(({ id }) => id).sort()).toEqual(["other", "ticks"]);
  expect((await dagService("tested")).name).toBe("tested");
  await other.trigger("other");
  await expect
    .poll(async () => (await other.dags()).find(({ id }) => id === "other")?.runs[0]?.state)
    .toBe("success");
  // What was added to the service is served in its next life too.
  const [again] = await list.actors({ filters: { className: "DagHost", state: "ALIVE" } });
  process.kill(again.pid, "SIGKILL");
  const served = async () => (await other.dags().catch(() => [])).map(({ id }) => id).sort();
  await expect.poll(served).toEqual(["other", "ticks"]);
  await service.stop();
  await expect(getActor("dags:tested", { namespace: "troupe-dags" })).rejects.toThrow(/dags:tested/);
  const done = await times();
  expect(new Set(done).size).toBe(done.length);
});

test("a graph that is served again is a newer version; a continuous one has one run at a time all the while", async () => {
  const [now, most, ended] = ["now", "most", "ended"].map((name) => variable<number>(name));
  const busy = task("busy", async () => {
    const active = await now.update((n) => (n ?? 0) + 1);
    await most.update((n) => Math.max(n ?? 0, active));
    await new Promise((resolve) => setTimeout(resolve, 100));
    await now.update((n) => (n ?? 0) - 1);
    await ended.update((n) => (n ?? 0) + 1);
  });
  const graph = dag("always", { schedule: "@continuous" }, () => busy());
  const service = await serveDags({ dags: [graph] }, { name: "again" });
  expect((await service.dags()).map(({ id, version }) => [id, version])).toEqual([["always", 1]]);
  for (let i = 0; i < 3; i += 1) await serveDags({ dags: [graph] }, { name: "again" });
  expect((await service.dags())[0].version).toBe(4);
  await expect.poll(() => ended.get()).toBeGreaterThanOrEqual(3);
  expect(await most.get()).toBe(1);
  // Also in its next life.
  const host = async () => (await list.actors({ filters: { className: "DagHost", state: "ALIVE" } }))[0]?.pid;
  const pid = (await host())!;
  process.kill(pid, "SIGKILL");
  await expect.poll(host).not.toBe(pid);
  expect((await service.dags()).map(({ version }) => version)).toEqual([4]);
  await service.stop();
});
