// trigger and assetSensor on a real cluster: values go from run to run by their refs, events are heard by those who wait.

import { init, kv, shutdown } from "troupe";
import { asset, assetSensor, clear, dag, resume, task, trigger } from "troupe/dag";
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

test("a task that triggers makes a run each time it is run by hand, and none when it only goes on", async () => {
  const inner = dag("made", () => task("one", () => 1)());
  const fails = task("fails", (_id: string) => { throw new Error("no"); });
  const run = await dag("makes", () => fails(trigger(inner))).run();
  await run.done();
  const made = async (): Promise<number> => {
    let count = 0;
    for await (const [, { dagId }] of kv.scan<{ dagId: string }>("dag/run/")) count += Number(dagId === "made");
    return count;
  };
  expect(await made()).toBe(1);
  await (await resume(run.id)).done();
  expect(await made()).toBe(1);
  await (await clear(run.id, { task: "trigger_made" })).done();
  expect(await made()).toBe(2);
});

test("a word from outside ends the wait for an asset", async () => {
  const table = asset("s3://bucket/table");
  const run = await dag("waits", () => assetSensor("changed", table, { everyMs: 50 })).run();
  await new Promise((resolve) => setTimeout(resolve, 20));
  await table.emit({ extra: { rows: 3 } });
  expect(await run.result()).toMatchObject([{ asset: "s3://bucket/table", extra: { rows: 3 } }]);
});
