// What was wrong with running Ray tasks from Airflow by the provider of 2021, defect by defect: none of it is so here.

import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { get, init, kv, list, remote, shutdown } from "troupe";
import { clear, ctx, dag, defineStore, provenance, resume, store, task } from "troupe/dag";
import { afterAll, beforeAll, expect, test } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "old-provider-"));
defineStore("provider", { dir: join(folder, "store") });
/** Several processes count together. */
const Counts = class {
  readonly #counts = new Map<string, number>();
  add(name: string) {
    const count = (this.#counts.get(name) ?? 0) + 1;
    this.#counts.set(name, count);
    return count;
  }
};

beforeAll(() => init({ numCpus: 2 }));
afterAll(async () => {
  await shutdown();
  rmSync(folder, { recursive: true, force: true });
});

test("1. tasks run in parallel: two that wait for each other both end", async () => {
  const counts = remote(Counts).remote();
  const meets = task("meets", async (name: string) => {
    await get(counts.add.remote("here"));
    while ((await get(counts.add.remote(name))) < 1000 && (await get(counts.add.remote("here"))) < 4) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return name;
  });
  expect(await (await dag("parallel", () => [meets("a"), meets("b")]).run()).result()).toEqual(["a", "b"]);
});

test("2. literals, lists and objects are arguments as they are, and mix with results", async () => {
  const path = task("path", () => "data.csv");
  const train = task("train", (from: string, about: { depth: number; files: readonly string[] }, none: undefined) => (
    [from, about.depth, ...about.files, none]
  ));
  const run = await dag("literals", () => train("path", { depth: 3, files: ["x.csv", path() as never] }, undefined)).run();
  expect(await run.result()).toEqual(["path", 3, "x.csv", "data.csv", undefined]);
});

test("3. a task says what it needs, and waits until that is free", async () => {
  // Who waits for a call would give its CPUs back meanwhile: each only says from when to when it was there.
  const whole = task("whole", async () => {
    const begun = Date.now();
    await new Promise((resolve) => setTimeout(resolve, 20));
    return [begun, Date.now()];
  }, { numCpus: 2 });
  const run = await dag("resources", () => [whole(), whole(), whole()]).run();
  const spans = (await run.result()).sort(([a], [b]) => a - b);
  expect(spans.slice(1).map(([begun], i) => begun >= spans[i][1])).toEqual([true, true]);
});

test("4. a checkpoint goes to the store that the task names, and an unknown store is an error with its name", async () => {
  const kept = task("kept", () => 7, { checkpoint: store("provider") });
  expect(await (await dag("named", () => kept()).run()).result()).toBe(7);
  expect(readdirSync(join(folder, "store"))).not.toEqual([]);
  expect(() => store("nowhere")).toThrow(/nowhere/);
});

test("5. results are not held for ever: they go with their run's retention", async () => {
  const big = task("big", () => new Float64Array(1_000_000));
  const used = async (): Promise<number> => (await list.stores()).reduce((sum, { objects }) => sum + objects, 0);
  const before = await used();
  const run = await dag("leaks", { retention: 300 }, () => big()).run();
  await run.done();
  await expect.poll(used, { timeout: 15_000, interval: 100 }).toBeLessThanOrEqual(before);
});

test("6. a task is done when its checkpoint is durable: one that can't be written fails it", async () => {
  const file = join(folder, "a-file");
  writeFileSync(file, "");
  const broken = task("broken", () => 1, { checkpoint: defineStore("broken", { dir: join(file, "below") }) });
  const run = await dag("durable", () => broken()).run();
  await run.done();
  expect([run.state, (await run.tasks())[0].state]).toEqual(["failed", "failed"]);
});

test("7. runs have ids of their own: those of one moment do not meet, nor their checkpoints", async () => {
  const kept = task("kept", (n: number) => n, { checkpoint: store("provider") });
  const same = dag("same_moment", { params: { n: 0 } }, ({ n }) => kept(n));
  const runs = await Promise.all([1, 2, 3, 4].map((n) => same.run({ n })));
  expect(await Promise.all(runs.map((run) => run.result()))).toEqual([1, 2, 3, 4]);
  expect(new Set(runs.map(({ id }) => id)).size).toBe(4);
});

test("8. callbacks of users are called, all of them", async () => {
  const called: string[] = [];
  const note = (name: string) => (): void => void called.push(name);
  const once = task("once", () => {
    if (ctx().attempt === 0) throw new Error("again");
  }, {
    retries: 1, retryDelayMs: 1, onRetry: note("retry"), onSuccess: [note("one"), note("two")], checkpoint: store("provider"),
  });
  const run = await dag("calls", { onSuccess: note("run") }, () => once()).run();
  await run.done();
  await expect.poll(() => [...called].sort()).toEqual(["one", "retry", "run", "two"]);
});

test("9. reading a checkpoint runs no code: what would need code is not written", async () => {
  class Evil { readonly n = 1; }
  const evil = task("evil", () => new Evil(), { checkpoint: store("provider") });
  await expect((await dag("code", () => evil()).run()).result()).rejects.toThrow(/instances of classes/);
});

test("10. no actor in the middle whose death loses all ids: workers die, and edges hold", async () => {
  const counts = remote(Counts).remote();
  const first = task("first", () => ({ pid: process.pid, values: new Float64Array(100_000).fill(1) }));
  const second = task("second", async ({ pid, values }: { pid: number; values: Float64Array }) => {
    if ((await get(counts.add.remote("killed"))) === 1) process.kill(pid, "SIGKILL");
    return values.length;
  });
  expect(await (await dag("dies", () => second(first())).run()).result()).toBe(100_000);
});

test("11. what a run was made in is kept as it is, and nobody compares versions as texts", async () => {
  const run = await dag("versions", () => task("one", () => 1)()).run();
  await run.done();
  expect((await provenance(run.id)).environment.node).toBe(process.version);
});

test("12. a result is a value wherever it is read: in tasks, in the driver, in callbacks of nobody's making", async () => {
  const value = task("value", () => ({ deep: [1, { two: 2 }] }));
  const reads = task("reads", (given: { deep: unknown[] }) => given.deep.length);
  const run = await dag("values", () => ({ value: value(), length: reads(value()) })).run();
  expect(await run.result()).toEqual({ value: { deep: [1, { two: 2 }] }, length: 2 });
});

test("13. graphs are tested without a cluster, without a cloud, and beside one another", async () => {
  const twice = task("twice", (n: number) => n * 2, { numCpus: 64, checkpoint: true });
  const graph = dag("tested", { params: { n: 1 } }, ({ n }) => twice(n));
  const runs = await Promise.all([1, 2, 3].map((n) => graph.test({ n })));
  expect(await Promise.all(runs.map((run) => run.result()))).toEqual([2, 4, 6]);
  expect(existsSync(join(folder, "store", "tested"))).toBe(false);
});

test("a task that failed runs again from what came before it, by the id of its run", async () => {
  const counts = remote(Counts).remote();
  const add = task("add", async () => get(counts.add.remote("add")));
  const fails = task("fails", async (n: number) => {
    if ((await kv.get("mended")) !== true) throw new Error("not yet");
    return n;
  });
  const run = await dag("again", () => fails(add())).run();
  await run.done();
  await kv.set("mended", true);
  expect(await (await resume(run.id)).result()).toBe(1);
  expect(await (await clear(run.id, { task: "add" })).result()).toBe(2);
});
