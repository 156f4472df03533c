// trigger and assetSensor on a real cluster: values go from run to run by their refs, events are heard by those who wait.

import { init, shutdown } from "troupe";
import { asset, assetSensor, dag, task, trigger } from "troupe/dag";
import { afterAll, beforeAll, expect, test } from "vitest";

beforeAll(() => init({ numCpus: 2 }));
afterAll(() => shutdown());

test("a run gives its result to the task that waits for it", async () => {
  const fill = task("fill", (length: number) => new Float64Array(length).fill(2));
  const sum = task("sum", ({ values }: { values: Float64Array }) => values.reduce((a, b) => a + b, 0));
  const inner = dag("inner", { params: { length: 1 } }, ({ length }) => ({ values: fill(length) }));
  const size = task("size", () => 200_000);
  const run = await dag("outer", () => sum(trigger(inner, { length: size() }, { wait: true }))).run();
  expect(await run.result()).toBe(400_000);
});

test("a word from outside ends the wait for an asset", async () => {
  const table = asset("s3://bucket/table");
  const run = await dag("waits", () => assetSensor("changed", table, { everyMs: 50 })).run();
  await new Promise((resolve) => setTimeout(resolve, 20));
  await table.emit({ extra: { rows: 3 } });
  expect(await run.result()).toMatchObject([{ asset: "s3://bucket/table", extra: { rows: 3 } }]);
});
