// A pipeline as a graph: calls draw edges, results stay where they are made, and lists become instances.

import assert from "node:assert/strict";
import { init } from "troupe";
import { ctx, dag, group, task } from "troupe/dag";

await using _cluster = await init({ numCpus: 2 });

const load = task("load", (rows: number) => Float64Array.from({ length: rows }, (_, i) => i % 10));
const scale = task("scale", (table: Float64Array, factor: number) => table.map((value) => value * factor), {
  retries: 2,
  retryDelayMs: 100,
});
const mean = task("mean", (table: Float64Array) => {
  const value = table.reduce((a, b) => a + b, 0) / table.length;
  ctx().metric("mean", value);
  return value;
});
const best = task("best", (means: readonly number[]) => Math.max(...means));

const pipeline = dag("scales", { params: { rows: 100_000 } }, ({ rows }) => {
  const table = load(rows);
  const means = group("each", (factor: number) => mean(scale(table, factor))).expand({ factor: [1, 2, 3] });
  return { best: best(means), means };
});

const run = await pipeline.run({ rows: 200_000 });
assert.deepEqual(await run.result(), { best: 13.5, means: [4.5, 9, 13.5] });

// Everything that happened, from the start; a run that is over ends the loop.
for await (const event of run.events())
  if (event.type === "metric") console.log(event.taskId, event.name, event.value);

// The same graph in this process, without a cluster: for tests.
assert.deepEqual(await (await pipeline.test({ rows: 10 })).result(), { best: 13.5, means: [4.5, 9, 13.5] });
console.log("dags: one graph, on the cluster and here");
