// Rows about graphs: how long a small run takes, how many tasks go through, and what a large run costs its engine.

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { dag, task } from "troupe/dag";
import type { Row } from "./rows.ts";

const RUNS = 30;
const LARGE = 100_000;

const first = task("first", () => 1);
const next = task("next", (n: number) => n + 1);
const empty = task("empty", (_n: number) => undefined);
const numbers = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

const steps = dag("steps", () => next(next(first())));
const wide = (count: number) => dag(`wide_${count}`, () => { empty.expand({ _n: numbers(count) }); });

async function seconds(graph: { run(): Promise<{ done(): Promise<{ state: string }> }> }): Promise<number> {
  const started = performance.now();
  const { state } = await (await graph.run()).done();
  if (state !== "success") throw new Error(`the run ended as ${state}`);
  return (performance.now() - started) / 1000;
}

async function repeated(count: number, once: () => Promise<number>): Promise<number[]> {
  const found: number[] = [];
  for (let i = 0; i < count; i += 1) found.push(await once());
  return found;
}

/** Heap that a run of so many tasks holds while it can still be looked at, by task. */
async function heapATask(): Promise<number> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const graph = wide(LARGE);
  collect();
  const before = process.memoryUsage().heapUsed;
  const run = await graph.run();
  await run.done();
  collect();
  const bytes = process.memoryUsage().heapUsed - before;
  if (run.state !== "success") throw new Error(`the run ended as ${run.state}`);
  return bytes / LARGE;
}

export const dagRows: readonly Row[] = [
  {
    name: "dag_3_steps_ms", unit: "ms", better: "lower",
    measure: async () => {
      await repeated(5, () => seconds(steps));
      return (await repeated(RUNS, () => seconds(steps))).map((took) => took * 1000);
    },
  },
  {
    name: "dag_tasks_of_100", unit: "tasks/s", better: "higher",
    measure: async () => {
      const graph = wide(100);
      await seconds(graph);
      return (await repeated(20, () => seconds(graph))).map((took) => 100 / took);
    },
  },
  {
    name: "dag_tasks_of_1000", unit: "tasks/s", better: "higher",
    measure: async () => {
      const graph = wide(1000);
      await seconds(graph);
      return (await repeated(10, () => seconds(graph))).map((took) => 1000 / took);
    },
  },
  { name: "dag_expansion_of_10k_s", unit: "s", better: "lower", measure: () => repeated(3, () => seconds(wide(10_000))) },
  { name: "dag_run_of_100k_s", unit: "s", better: "lower", measure: () => repeated(1, () => seconds(wide(LARGE))) },
  { name: "dag_engine_bytes_a_task", unit: "B", better: "lower", measure: () => repeated(1, heapATask) },
];
