// The rows of tasks through Piscina, a pool of threads in one process.
//
//   node dist/bench/piscina-rows.js [--only PATTERN] [--seconds S]

import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { Piscina } from "piscina";
import { deviation, mean, median, rates, SHORT, type Windows } from "./timing.ts";

const BATCH = 1000;
const REPEATS = 5;

type Call = () => Promise<unknown>;

async function burst(call: Call, count: number): Promise<number> {
  const started = performance.now();
  await Promise.all(Array.from({ length: count }, call));
  return ((performance.now() - started) * 1000) / count;
}

async function bursts(call: Call, count: number, repeats: number): Promise<number[]> {
  const found: number[] = [];
  for (let i = 0; i < repeats; i += 1) found.push(await burst(call, count));
  return found;
}

const ROWS: Readonly<Record<string, (call: Call, windows: Windows) => Promise<number[]>>> = {
  single_client_tasks_and_get_batch: (call, windows) => rates(() => Promise.all(Array.from({ length: BATCH }, call)), 1, windows),
  single_client_tasks_sync: (call, windows) => rates(call, 1, windows),
  single_client_tasks_async: (call, windows) => rates(() => Promise.all(Array.from({ length: BATCH }, call)), BATCH, windows),
  task_us_of_1k: (call) => bursts(call, 1000, REPEATS),
  task_us_of_10k: (call) => bursts(call, 10_000, REPEATS),
  task_us_of_100k: (call) => bursts(call, 100_000, 1),
};

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { only: { type: "string", default: "" }, seconds: { type: "string" } } });
  const windows = { ...SHORT, seconds: Number(values.seconds ?? SHORT.seconds) };
  const pattern = new RegExp(values.only);
  const results: unknown[] = [];
  for (const [name, measure] of Object.entries(ROWS).filter(([each]) => pattern.test(each))) {
    const threads = Math.max(2, availableParallelism());
    const pool = new Piscina({
      filename: new URL("piscina-worker.js", import.meta.url).href, name: "smallValue", minThreads: threads, maxThreads: threads,
    });
    const found = await measure(() => pool.run(undefined), windows);
    results.push({ name, mean: mean(found), sd: deviation(found), median: median(found), values: found });
    await pool.destroy();
  }
  console.log(JSON.stringify(results));
}

await main();
