// Rows that Ray's microbenchmark does not have: starting, idling, many tasks, large objects.

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { setTimeout as delay } from "node:timers/promises";
import { actorState, get, kill, type ObjectRef, put, ready } from "troupe";
import { cpuSecondsOf, rssOf, treeOf } from "./processes.ts";
import type { Row } from "./rows.ts";
import { RemoteServer, smallValue } from "./workloads.ts";

const STARTS = 7;
const REPEATS = 5;
const IDLE_SECONDS = 5;
/** Work that was just done dies down: leases are given back, garbage is collected. */
const SETTLE_MS = 2000;
const GIB = 2 ** 30;
const MIB = 2 ** 20;

async function repeated(count: number, once: () => Promise<number>): Promise<number[]> {
  const found: number[] = [];
  for (let i = 0; i < count; i += 1) found.push(await once());
  return found;
}

async function millis(action: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await action();
  return performance.now() - started;
}

/** From init() to the first result of a task, in a process that has just begun. */
async function coldStart(): Promise<number> {
  const program = fileURLToPath(new URL("first-result.js", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [program]);
  return Number(stdout);
}

async function newActor(): Promise<number> {
  const started = performance.now();
  const actor = RemoteServer.remote();
  await ready(actor);
  const took = performance.now() - started;
  await kill(actor);
  return took;
}

async function idleWorker(): Promise<number> {
  const actor = RemoteServer.remote();
  await get(actor.smallValue.remote());
  const { pid } = await actorState(actor);
  await delay(SETTLE_MS);
  const rss = rssOf(pid);
  await kill(actor);
  return rss / MIB;
}

/** Actors a second, from the first creation until all have answered. They end with their handles. */
async function actorsMade(count: number, isolation: "process" | "shared"): Promise<number> {
  const type = RemoteServer.options({ isolation });
  let actors: ReturnType<typeof type.remote>[] = [];
  const took = await millis(async () => {
    actors = Array.from({ length: count }, () => type.remote());
    await get(actors.map((actor) => actor.smallValue.remote()));
  });
  for (const actor of actors) actor[Symbol.dispose]();
  await delay(SETTLE_MS);
  return (count * 1000) / took;
}

/** Of one core, over this process and all it started. */
async function idleCpu(): Promise<number> {
  await get(smallValue.remote());
  await delay(SETTLE_MS);
  const used = () => treeOf(process.pid).reduce((sum, pid) => sum + cpuSecondsOf(pid), 0);
  const before = used();
  await delay(IDLE_SECONDS * 1000);
  return ((used() - before) / IDLE_SECONDS) * 100;
}

async function taskBurst(count: number): Promise<number> {
  const refs: ObjectRef<string>[] = [];
  const took = await millis(async () => {
    for (let i = 0; i < count; i += 1) refs.push(smallValue.remote());
    await get(refs);
  });
  return (took * 1000) / count;
}

function own(name: string, unit: string, better: Row["better"], measure: Row["measure"], alone = false): Row {
  return { name, unit, better, measure, alone };
}

export const ownRows: readonly Row[] = [
  own("init_to_first_result_ms", "ms", "lower", () => repeated(STARTS, coldStart), true),
  own("worker_ready_ms", "ms", "lower", () => repeated(STARTS, newActor)),
  own("process_actors_made_of_100", "1/s", "higher", () => repeated(3, () => actorsMade(100, "process"))),
  own("shared_actors_made_of_10k", "1/s", "higher", () => repeated(3, () => actorsMade(10_000, "shared"))),
  own("idle_worker_rss_mib", "MiB", "lower", async () => [await idleWorker()]),
  own("idle_cpu_percent", "% of a core", "lower", async () => [await idleCpu()]),
  own("task_us_of_1k", "µs a task", "lower", () => repeated(REPEATS, () => taskBurst(1000))),
  own("task_us_of_10k", "µs a task", "lower", () => repeated(REPEATS, () => taskBurst(10_000))),
  own("task_us_of_100k", "µs a task", "lower", () => repeated(1, () => taskBurst(100_000))),
  own("driver_rss_after_100k_tasks_mib", "MiB", "lower", async () => {
    await taskBurst(100_000);
    return [process.memoryUsage.rss() / MIB];
  }),
  own("get_1gib_us", "µs", "lower", async () => {
    const ref = await put(new Uint8Array(GIB));
    return repeated(REPEATS, async () => (await millis(() => get(ref))) * 1000);
  }),
  own("put_1gib_gbps", "GB/s", "higher", async () => {
    const bytes = new Uint8Array(GIB).fill(1);
    return repeated(REPEATS, async () => {
      let ref: ObjectRef<Uint8Array> | undefined;
      const took = await millis(async () => (ref = await put(bytes)));
      ref?.release();
      return GIB / 1e6 / took;
    });
  }),
];
