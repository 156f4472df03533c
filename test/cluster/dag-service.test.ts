// Graphs served by a detached actor of a real cluster: one run a time, also when its process is killed.

import { getActor, init, kv, list, shutdown } from "troupe";
import { dag, dagService, every, serveDags, task } from "troupe/dag";
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
  await expect.poll(async () => (await times()).length, { timeout: 20_000 }).toBeGreaterThanOrEqual(3);
  const [host] = await list.actors({ filters: { className: "DagHost", state: "ALIVE" } });
  process.kill(host.pid, "SIGKILL");
  const before = (await times()).length;
  await expect.poll(async () => (await times()).length, { timeout: 20_000 }).toBeGreaterThanOrEqual(before + 3);

  const other = await serveDags({ dags: [dag("other", () => tick())] }, { name: "tested" });
  expect((await other.dags()).map(({ id }) => id).sort()).toEqual(["other", "ticks"]);
  expect((await dagService("tested")).name).toBe("tested");
  await other.trigger("other");
  await expect
    .poll(async () => (await other.dags()).find(({ id }) => id === "other")?.runs[0]?.state, { timeout: 10_000 })
    .toBe("success");
  await service.stop();
  await expect(getActor("dags:tested", { namespace: "troupe-dags" })).rejects.toThrow(/dags:tested/);
  const done = await times();
  expect(new Set(done).size).toBe(done.length);
}, 90_000);
