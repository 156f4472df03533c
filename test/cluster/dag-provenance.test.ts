// What is known of a run afterwards: where each result came from, how runs differ, whether they give the same again; results that
// are used again; what goes with its retention.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { get, init, kv, list, NotFoundError, remote, shutdown } from "troupe";
import { ctx, dag, defineStore, diff, getRun, provenance, reproduce, serveDags, task } from "troupe/dag";
import { sweepOnce } from "../../dist/dag/run/retention.js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const DAY_MS = 86_400_000;
const folder = mkdtempSync(join(tmpdir(), "provenance-"));

beforeAll(() => init({ numCpus: 2 }));
afterAll(async () => {
  await shutdown();
  rmSync(folder, { recursive: true, force: true });
});

const load = task("load", (n: number) => Array.from({ length: n }, (_, i) => i));
const square = task("square", (x: number) => {
  ctx().metric("x", x);
  return x * x;
});
const sum = task("sum", (values: readonly number[]) => values.reduce((a, b) => a + b, 0));
const graph = dag("squares", { params: { n: 3 } }, ({ n }) => sum(square.expand({ x: load(n) })));

describe("provenance", () => {
  test("names code, inputs, output, metrics and place of every task, and the environment of the run", async () => {
    const run = await graph.run();
    await run.done();
    const { environment, tasks, code, params } = await provenance(run.id);
    expect(environment).toMatchObject({ node: process.version, platform: process.platform, lockfile: expect.any(String) });
    expect(environment.git?.commit).toMatch(/^[0-9a-f]{40}$/);
    expect([params, code]).toEqual([{ n: 3 }, expect.stringMatching(/^[0-9a-f]{32}$/)]);
    expect(tasks.map(({ id, origin, metrics }) => [id, origin, metrics])).toEqual([
      ["load", "computed", {}], ["square[0]", "computed", { x: 0 }], ["square[1]", "computed", { x: 1 }],
      ["square[2]", "computed", { x: 2 }], ["sum", "computed", {}],
    ]);
    const [first, , second, , last] = tasks;
    expect(second.inputs).toEqual([{ task: "load", hash: first.output?.hash }]);
    expect(second).toMatchObject({ state: "success", attempt: 0, nodeId: expect.any(String), workerPid: expect.any(Number) });
    expect(last.output).toMatchObject({ size: expect.any(Number), hash: expect.stringMatching(/^[0-9a-f]{32}$/) });
    expect(last.code).not.toBe(first.code);
    await expect(provenance("none")).rejects.toThrow(NotFoundError);
  });

  test("two runs differ where their parameters, code and values do, the first cause first", async () => {
    const [a, same, b] = [await graph.run(), await graph.run(), await graph.run({ n: 2 })];
    await Promise.all([a.done(), same.done(), b.done()]);
    expect(await diff(a.id, same.id)).toMatchObject({ equal: true, differences: [] });
    const { equal, differences } = await diff(a.id, b.id);
    expect([equal, differences[0]]).toEqual([false, { what: "params", taskId: undefined, name: "n", a: 3, b: 2 }]);
    expect(differences.map(({ what, taskId }) => [what, taskId])).toContainEqual(["output", "load"]);
    expect(differences).toContainEqual({ what: "task", taskId: "square[2]", a: "success", b: undefined });
  });

  test("a run is made again from what is kept of it; what is not the same every time is found", async () => {
    const run = await graph.run();
    await run.done();
    const again = await reproduce(run.id);
    expect([again.equal, again.run.id === run.id, await again.run.result()]).toEqual([true, false, 5]);
    const random = dag("random", () => sum([task("draw", () => Math.random())(), load(1) as never]));
    const one = await random.run();
    await one.done();
    const other = await reproduce(one.id);
    expect([other.equal, other.tasks.find(({ equal }) => !equal)?.id]).toEqual([false, "draw"]);
  });

  test("a large result is in the journal by its id, size and hash: the value never is", async () => {
    const big = task("big", () => new Uint8Array(40 * 1024 * 1024).fill(3));
    const length = task("length", (bytes: Uint8Array) => bytes.length);
    const run = await dag("edges", () => length(big())).run();
    expect(await run.result()).toBe(40 * 1024 * 1024);
    let chars = 0;
    for await (const [, text] of kv.scan<string>(`dag/journal/${run.id}/`)) chars += text.length;
    expect(chars).toBeLessThan(2048);
    const [made] = (await provenance(run.id)).tasks;
    expect(made.output?.size).toBeGreaterThan(40 * 1024 * 1024);
  });
});

describe("results that are kept", () => {
  test("for the same key a result is used again, by any run; another key runs the task", async () => {
    const counts = remote(class { #n = 0; next() { return (this.#n += 1); } }).remote();
    const counted = task("counted", async (key: string) => `${key} ${await get(counts.next.remote())}`, {
      checkpoint: defineStore("cached", { dir: folder }), cacheKey: (key: string) => key,
    });
    const cached = dag("cached", { params: { key: "a" } }, ({ key }) => counted(key));
    const values = [];
    const origins = [];
    for (const key of ["a", "a", "b"]) {
      const run = await cached.run({ key });
      values.push(await run.result());
      origins.push((await provenance(run.id)).tasks[0].origin);
    }
    expect(values).toEqual(["a 1", "a 1", "b 2"]);
    expect(origins).toEqual(["computed", "cache", "computed"]);
  });

  test("a key made of the arguments holds for every instance of a mapped task, a text for one place each", async () => {
    const cache = defineStore("mapped", { dir: folder });
    const twice = task("byArguments", (n: number) => n * 2, { checkpoint: cache, cacheKey: (n: number) => `n${n}` });
    const byText = task("byText", (n: number) => n * 2, { checkpoint: cache, cacheKey: "same" });
    const mapped = dag("mapped", { params: { list: [1, 2] } }, ({ list: n }) => [twice.expand({ n }), byText.expand({ n })]);
    await (await mapped.run()).done();
    const run = await mapped.run({ list: [3, 2, 1] });
    expect(await run.result()).toEqual([[6, 4, 2], [2, 4, 2]]);
    expect((await provenance(run.id)).tasks.map(({ origin }) => origin))
      .toEqual(["computed", "cache", "cache", "cache", "cache", "computed"]);
  });

  test("what can't outlive its process is refused as a checkpoint, for good", async () => {
    const wrong = task("wrong", () => () => 1, { checkpoint: defineStore("plain", { dir: folder }), retries: 3 });
    const run = await dag("unkept", () => wrong()).run();
    await expect(run.result()).rejects.toThrow(/can't hold functions/);
    expect((await run.tasks())[0].attempt).toBe(0);
  });

  test("results go when their retention is over, then the record", async () => {
    const short = dag("short", { retention: { results: 200, record: 3000 } }, () => load(2));
    const run = await short.run();
    expect(await run.result()).toEqual([0, 1]);
    const freed = async () => (await kv.get<{ resultsFreed?: boolean }>(`dag/run/${run.id}`))?.resultsFreed;
    await expect.poll(freed).toBe(true);
    const found = () => getRun(run.id).then(() => "there", (error: Error) => error.name);
    await expect.poll(found).toBe("NotFoundError");
  });

  test("code goes with the last run or service that names it", async () => {
    const programs = async (): Promise<Map<string, number>> => {
      const pieces = new Map<string, number>();
      for await (const [key] of kv.scan("dag/program/")) {
        const [, , hash] = key.split("/");
        pieces.set(hash, (pieces.get(hash) ?? 0) + 1);
      }
      return pieces;
    };
    const hashOf = async (run: { readonly id: string }): Promise<string> => (
      (await kv.get<{ program: string }>(`dag/run/${run.id}`))!.program
    );
    const [old, kept] = [1, 2].map((n) => dag(`code-${n}`, { retention: n * 10 * DAY_MS }, () => load(n)));
    const [first, second] = [await old.run(), await kept.run()];
    await Promise.all([first.done(), second.done()]);
    const service = await serveDags({ dags: [] }, { name: "keeps", paused: true });
    await serveDags({ dags: [dag("code-served", () => load(3))] }, { name: "keeps", paused: true });
    const served: string[] = [];
    for await (const [, { hash }] of kv.scan<{ hash: string }>("dag/served/")) served.push(hash);
    const [gone, stays] = [await hashOf(first), await hashOf(second)];
    expect([...(await programs()).keys()]).toEqual(expect.arrayContaining([gone, stays, ...served]));
    expect(served).toHaveLength(1);

    await sweepOnce(Date.now() + 11 * DAY_MS);
    expect([...(await programs()).keys()].sort()).toEqual([stays, ...served].sort());
    await service.stop();
    const actors = () => list.actors({ filters: { className: "DagHost", state: "ALIVE" } });
    await expect.poll(actors).toEqual([]);
    await sweepOnce(Date.now() + 30 * DAY_MS);
    expect((await programs()).size).toBe(0);
    for (const prefix of ["dag/version/", "dag/served/", "dag/run/"]) {
      for await (const [key] of kv.scan(prefix)) expect(key).toBe("");
    }
  });
});
