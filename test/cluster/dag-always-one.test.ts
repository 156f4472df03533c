// However many serve a graph, and whichever of them die: a time has one run, and a task of it one result.
// TROUPE_DAG_TICKS=1000 for the long run.

import { init, kv, list, shutdown } from "troupe";
import { dag, every, serveDags, task } from "troupe/dag";
import { afterAll, beforeAll, expect, test } from "vitest";
import { randomOf } from "../seeded.ts";

const TICKS = Number(process.env.TROUPE_DAG_TICKS ?? 60);
const TASKS = 20;
const EVERY_MS = 300;
/** What is open then stays open. */
const BOUND_MS = 600_000 + TICKS * 1000;
/** Runs that end between two kills: from so many on, up to so many more. */
const KILL_AFTER = { least: 4, more: 24 };

beforeAll(() => init({ numCpus: 2 }));
afterAll(() => shutdown());

interface Entry {
  readonly type: string;
  readonly task?: number;
  readonly coords?: readonly number[];
  readonly lost?: readonly { readonly task: number; readonly coords: readonly number[] }[];
}

async function scanned<T>(prefix: string): Promise<[string, T][]> {
  const found: [string, T][] = [];
  for await (const entry of kv.scan<T>(prefix)) found.push(entry);
  return found;
}

/** Results of each task that the journal of a run has, beyond those that were said to be lost. */
async function resultsOf(runId: string): Promise<number[]> {
  const counts = new Map<string, number>();
  const add = (key: string, by: number): unknown => counts.set(key, (counts.get(key) ?? 0) + by);
  for (const [, text] of await scanned<string>(`dag/journal/${runId}/`)) {
    for (const { type, task, coords, lost = [] } of JSON.parse(text) as Entry[]) {
      if (type === "succeeded") add(`${task}:${coords}`, 1);
      for (const one of lost) add(`${one.task}:${one.coords}`, -1);
    }
  }
  return [...counts.values()];
}

test("a time has one run and each task one result, while services are killed at random", async () => {
  // Most of the times have passed already and are caught up with, as fast as it goes; the others come meanwhile.
  const start = Date.now() - Math.floor(TICKS * 0.9) * EVERY_MS;
  const step = task("step", (value: number) => value + 1, { numCpus: 0.25 });
  const graph = dag("always-one", {
    schedule: every(EVERY_MS), startDate: new Date(start), endDate: new Date(start + (TICKS - 1) * EVERY_MS), catchup: true,
  }, () => {
    let node = step(0);
    for (let i = 1; i < TASKS; i += 1) node = step(node);
    return node;
  });
  const services = await Promise.all(["one", "two"].map((name) => serveDags({ dags: [graph] }, { name })));
  const claimed = (): Promise<[string, string][]> => scanned<string>("dag/tick/always-one/");
  const random = randomOf(7);
  let kills = 0;
  const kill = async (): Promise<void> => {
    await new Promise((resolve) => setTimeout(resolve, random.below(300)));
    const hosts = await list.actors({ filters: { className: "DagHost", state: "ALIVE" } });
    if (hosts.length === 0) return;
    process.kill(random.pick(hosts).pid, "SIGKILL");
    kills += 1;
  };
  const awaited = (): number => KILL_AFTER.least + random.below(KILL_AFTER.more);
  // Kills come with progress, not with time: however slow the machine is, what was killed has begun again and done something.
  const deadline = Date.now() + BOUND_MS;
  for (let next = awaited(); ;) {
    const leases = await scanned("dag/lease/");
    const [made, open] = [(await claimed()).length, leases.length];
    if (made === TICKS && open === 0) break;
    if (Date.now() > deadline) throw new Error(`open: ${made} times, ${JSON.stringify(leases)}`);
    if (made - open >= next) {
      await kill();
      next = made - open + awaited();
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await Promise.all(services.map((service) => service.stop()));
  const times = await claimed();
  expect(times).toHaveLength(TICKS);
  expect(new Set(times.map(([, runId]) => runId)).size).toBe(TICKS);
  const records = await scanned<{ dagId: string; id: string; state: string; logicalDate: Date }>("dag/run/");
  expect(new Set(records.map(({ 1: { logicalDate } }) => logicalDate.getTime())).size).toBe(TICKS);
  expect(records.map(([, { state }]) => state)).toEqual(Array.from({ length: TICKS }, () => "success"));
  for (const [, runId] of times) expect(await resultsOf(runId)).toEqual(Array.from({ length: TASKS }, () => 1));
  expect(kills).toBeGreaterThan(0);
}, BOUND_MS + 60_000);
