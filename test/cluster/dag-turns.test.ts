// Graphs that run all the time, or when assets change, and several services that serve them: each turn has one run, whichever of
// the services are killed. TROUPE_DAG_TURNS=20 for a longer run.

import { init, kv, list, shutdown } from "troupe";
import { type AssetEvent, asset, dag, dagService, every, serveDags, task } from "troupe/dag";
import { afterAll, beforeAll, expect, test } from "vitest";
import { randomOf } from "../seeded.ts";

const KILLS = Number(process.env.TROUPE_DAG_TURNS ?? 4);

beforeAll(() => init({ numCpus: 2 }));
afterAll(() => shutdown());

interface RunRecord {
  readonly id: string;
  readonly dagId: string;
  readonly state: string;
  readonly createdAt: Date;
  readonly endedAt?: Date;
  readonly assetEvents?: readonly AssetEvent[];
}

async function recordsOf(dagId: string): Promise<RunRecord[]> {
  const found: RunRecord[] = [];
  for await (const [, record] of kv.scan<RunRecord>("dag/run/")) if (record.dagId === dagId) found.push(record);
  return found.sort((a, b) => a.createdAt.getTime() - b.createdAt.getTime());
}

const heardBy = async (dagId: string): Promise<AssetEvent[]> => (
  (await recordsOf(dagId)).flatMap(({ assetEvents = [] }) => assetEvents)
);

test("one of two services makes each run, and all of them go on when services are killed", async () => {
  const work = (id: string) => task(id, () => undefined, { numCpus: 0.1 });
  const [outside, made] = [asset("outside"), asset("made")];
  const dags = [
    dag("always", { schedule: "@continuous" }, () => work("busy")()),
    dag("makes", { schedule: every(300) }, () => work("make").with({ outlets: made })()),
    dag("hears-made", { schedule: made }, () => work("hear")()),
    dag("hears-outside", { schedule: outside }, () => work("hear")()),
  ];
  const names = ["one", "two"];
  await Promise.all(names.map((name) => serveDags({ dags }, { name })));
  const random = randomOf(11);
  let emitted = 0;
  for (let kill = 0; kill < KILLS; kill += 1) {
    const before = (await recordsOf("always")).length;
    for (let i = 0; i < 3; i += 1) await outside.emit({ extra: { n: (emitted += 1) } });
    const hosts = await list.actors({ filters: { className: "DagHost", state: "ALIVE" } });
    const host = hosts.length === 0 ? undefined : random.pick(hosts);
    if (host !== undefined) process.kill(host.pid, "SIGKILL");
    await expect.poll(async () => (await recordsOf("always")).length).toBeGreaterThan(before + 1);
  }
  await expect.poll(async () => (await heardBy("hears-outside")).length).toBe(emitted);
  // No more runs; those that are open are gone on with and end.
  for (const name of names) for (const { id } of dags) await (await dagService(name)).pause(id);
  const open = async (): Promise<string[]> => {
    const found: string[] = [];
    for await (const [key] of kv.scan("dag/lease/")) found.push(key);
    return found;
  };
  await expect.poll(open, { timeout: 60_000 }).toEqual([]);

  const always = await recordsOf("always");
  expect(new Set(always.map(({ state }) => state))).toEqual(new Set(["success"]));
  for (const [i, { createdAt }] of always.slice(1).entries()) {
    expect(createdAt.getTime(), `run ${i + 1} begins when run ${i} is over`).toBeGreaterThanOrEqual(always[i].endedAt!.getTime());
  }
  const numbers = (await heardBy("hears-outside")).map(({ extra }) => extra.n as number);
  expect(numbers).toEqual(Array.from({ length: emitted }, (_, i) => i + 1));

  // A run of the producer is one event, and an event is in one run: also those that were on their way when a service died.
  const heard = (await heardBy("hears-made")).map(({ source }) => source!.runId);
  const told: string[] = [];
  for await (const [, event] of kv.scan<AssetEvent>("dag/event/")) if (event.asset === "made") told.push(event.source!.runId);
  expect(told.sort()).toEqual((await recordsOf("makes")).map(({ id }) => id).sort());
  expect(new Set(heard).size).toBe(heard.length);
  expect(heard.every((id) => told.includes(id))).toBe(true);
  for (const name of names) await (await dagService(name)).stop();
});
