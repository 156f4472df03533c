// Objects that outlive who made them: detached ones, found by name, and scopes, which keep many until they are freed together.

import assert from "node:assert/strict";
import { free, get, getObject, init, NotFoundError, ObjectFreedError, put, remote, run, scope } from "troupe";

await using _cluster = await init({ numCpus: 2 });

// A worker makes a model, detaches it under a name, and ends. (With several nodes: `replicas: 2` outlives one of them.)
const train = remote(async (steps: number) => {
  const model = await put({ steps, weights: new Float64Array(100_000).fill(steps) });
  await model.detach({ name: "model", ttlMs: 3_600_000 });
  return process.pid;
}, { maxCalls: 1 });
const trainer = await run(train, 42);

const model = await getObject<{ steps: number; weights: Float64Array }>("model");
const predict = remote(async (name: string) => {
  const { weights } = await get(await getObject<{ weights: Float64Array }>(name));
  return { sum: weights.reduce((sum, weight) => sum + weight, 0), pid: process.pid };
});
const { sum, pid } = await run(predict, "model");
assert.equal(sum, 42 * 100_000);
assert.notEqual(pid, trainer);
assert.equal((await get(model)).steps, 42);

// It is there until somebody frees it.
await free(model);
await assert.rejects(get(model), ObjectFreedError);
await assert.rejects(getObject("model"), NotFoundError);

// All that belongs to one run: whoever opens the scope by its name may add to it, and one call ends it.
// (With several nodes: `{ replicas: 2 }` has each of its objects on two of them.)
const run42 = await scope("run-42");
const raw = await put(Array.from({ length: 1000 }, (_, index) => index), { scope: run42 });
const evens = remote((values: number[]) => values.filter((value) => value % 2 === 0), { scope: run42 }).remote(raw);
const report = remote(async () => {
  const ref = await put("made by another process", { scope: await scope("run-42") });
  return { ref };
});
const { ref: note } = await run(report);
assert.equal((await get(evens)).length, 500);
assert.equal(await get(note), "made by another process");

await run42.free();
for (const ref of [raw, evens, note]) await assert.rejects(get(ref as typeof note), ObjectFreedError);
console.log("detached objects: a model outlived its maker, and a run's data went together");
