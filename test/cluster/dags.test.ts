// Graphs on a real cluster: results stay in the store, workers may die, failures say why.

import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { get, getRuntimeContext, init, list, remote, shutdown } from "troupe";
import { chain, clear, ctx, dag, DagRunFailedError, getRun, group, loop, mark, noop, resume, task } from "troupe/dag";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

beforeAll(() => init({ numCpus: 2 }));
afterAll(() => shutdown());

const add = task("add", (v: number, by = 1) => v + by);
const sum = task("sum", (values: readonly number[]) => values.reduce((a, b) => a + b, 0));

describe("a run on the cluster", () => {
  test("runs tasks on workers, with results of other tasks at any depth", async () => {
    const numbers = task("numbers", (n: number) => Array.from({ length: n }, (_, i) => i));
    const graph = dag("cluster", { params: { n: 3 } }, ({ n }) => {
      const added = add.expand({ v: numbers(n) }, 10);
      return {
        added,
        total: sum(added),
        nested: sum([add(1), 5, add(2)]),
        looped: loop<number>((v) => add(v), { max: 3, initial: 0 }),
        inGroup: group("g", () => sum(add.expand({ v: add.expand({ v: numbers(n) }) }))),
      };
    });
    const run = await graph.run({ n: 4 });
    expect(await run.result()).toEqual({ added: [10, 11, 12, 13], total: 46, nested: 10, looped: 3, inGroup: 14 });
    const rows = await run.tasks();
    expect(new Set(rows.map(({ state }) => state))).toEqual(new Set(["success"]));
    const workers = new Set((await list.workers()).map(({ pid }) => pid));
    for (const { workerPid, nodeId } of rows) expect([workers.has(workerPid!), typeof nodeId]).toEqual([true, "string"]);
  });

  test("what a task waits for is told, also what the cluster lacks", async () => {
    const rare = task("rare", () => 1, { resources: { rare: 1 }, throwOnInfeasible: false });
    const run = await dag("waits", () => add(rare())).run();
    const told = async () => (await run.explain("rare")).reasons.find(({ kind }) => kind === "cluster")?.text;
    await expect.poll(told).toMatch(/rare/);
    expect(run.why("add").text).toContain("it waits for rare, which is queued");
    await run.cancel();
    expect((await run.tasks()).map(({ state, attempt, startedAt }) => [state, attempt, startedAt])).toEqual([
      ["skipped", 0, undefined], ["skipped", 0, undefined],
    ]);
  });

  test("a task is queued until a worker runs it, for other processes too; then it is known where, and since when", async () => {
    const folder = mkdtempSync(join(tmpdir(), "queues-"));
    const held = task("held", async (path: string) => {
      while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 20));
      return ctx().attempt;
    }, { numCpus: 2 });
    const [first, second] = ["first", "second"].map((name) => join(folder, name));
    const run = await dag("queues", () => chain(held(first), noop("between"), held(second))).run();
    const other = await dag("behind", () => held(second)).run();
    await expect.poll(async () => (await run.tasks())[0].state).toBe("running");
    const [row] = await run.tasks();
    expect(row).toMatchObject({ startedAt: expect.any(Date), nodeId: expect.any(String), workerPid: expect.any(Number) });
    const waiting = { state: "queued", attempt: 0, startedAt: undefined, nodeId: undefined, workerPid: undefined };
    expect((await other.tasks())[0]).toMatchObject(waiting);
    // Others read what is kept of it.
    const seen = remote(async (id: string) => (await (await getRun(id)).tasks()).map(({ state }) => state), { numCpus: 0 });
    const states = (id: string): Promise<string[]> => get(seen.remote(id));
    await expect.poll(() => states(other.id)).toEqual(["queued"]);
    await expect.poll(() => states(run.id)).toEqual(["running", "none", "none"]);
    writeFileSync(first, "");
    writeFileSync(second, "");
    expect(await other.result()).toBe(0);
    const [ended] = await other.tasks();
    expect(ended.startedAt!.getTime()).toBeGreaterThan(other.startedAt!.getTime());
    const told: (string | undefined)[] = [];
    for await (const { type, state } of other.events()) if (type === "task") told.push(state);
    expect(told).toEqual(["scheduled", "queued", "running", "success"]);
    rmSync(folder, { recursive: true });
  });

  test("what a task needs is asked when its inputs are there", async () => {
    const rows = task("rows", () => [1, 2, 3]);
    const held = task("held", (_rows: readonly number[]) => getRuntimeContext().resources, {
      resources: ({ _rows, 0: first }) => ({ numCpus: (_rows as number[]).length / 2, memory: (first as number[]).length }),
    });
    expect(await (await dag("sized", () => held(rows())).run()).result()).toMatchObject({ CPU: 1.5, memory: 3 });
    const wrong = task("wrong", () => 1, { resources: () => ({ cpus: 1 }) as never });
    const run = await dag("wrong-size", () => wrong()).run();
    await expect(run.result()).rejects.toThrow(/task wrong: resources gave .* cpus is not known/);
  });

  test("large results are read from the store by what comes after, and never pass through here", async () => {
    const big = task("big", (length: number) => new Float64Array(length).fill(0.5));
    const total = task("total", (values: Float64Array) => values.reduce((a, b) => a + b, 0));
    const run = await dag("edges", () => total.expand({ values: [big(500_000), big(500_000)] })).run();
    expect(await run.result()).toEqual([250_000, 250_000]);
  });

  test("errors keep their class, a killed worker is no failure of the task, skip and fail work there", async () => {
    class Wrong extends Error { readonly level = 3; }
    const wrong = task("wrong", () => { throw new Wrong("no"); });
    const failed = await dag("wrong", () => add(wrong())).run();
    const error = (await failed.result().catch((reason: unknown) => reason)) as DagRunFailedError;
    expect(error).toBeInstanceOf(DagRunFailedError);
    expect(error.failures[0].error).toMatchObject({ level: 3, message: "no" });
    expect(error.failures[0].error).toBeInstanceOf(Wrong);

    const marks = remote(class { #n = 0; next() { return (this.#n += 1); } }).remote();
    const dies = task("dies", async () => {
      if ((await get(marks.next.remote())) === 1) process.kill(process.pid, "SIGKILL");
      return ctx().attempt;
    });
    const lost = await dag("dies", () => dies()).run();
    expect([await lost.result(), (await lost.tasks())[0].attempt]).toEqual([1, 1]);

    const skips = task("skips", () => ctx().skip("not here"));
    const run = await dag("skips", () => skips()).run();
    expect([await run.result(), (await run.tasks())[0]]).toEqual([
      undefined,
      expect.objectContaining({ state: "skipped", reason: "not here" }),
    ]);
  });

  test("cancel stops what runs", async () => {
    const waits = task("waits", () => new Promise((resolve, reject) => {
      const { signal } = ctx();
      signal.addEventListener("abort", () => reject(signal.reason as Error));
    }));
    const run = await dag("cancelled", () => add(waits() as never)).run();
    await expect.poll(async () => (await run.tasks())[0].state).toBe("running");
    await run.cancel();
    expect([run.state, (await run.tasks()).map(({ state }) => state)]).toEqual(["cancelled", ["failed", "skipped"]]);
    await expect(run.result()).rejects.toThrow(DagRunFailedError);
  });

  test("cleared, resumed and marked runs run what they must, and nothing else", async () => {
    const counts = remote(class {
      readonly #calls: string[] = [];
      call(id: string): number { return this.#calls.push(id); }
      all(): string[] { return this.#calls; }
    }).remote();
    const counted = (id: string) => task(id, async (v: number) => {
      const calls = await get(counts.call.remote(id));
      if (id === "second" && calls === 2) throw new Error("the first time");
      return v + 1;
    });
    const [first, second, third] = ["first", "second", "third"].map(counted);
    const run = await dag("again", () => third(second(first(0)))).run();
    await expect(run.result()).rejects.toThrow(/the first time/);
    await resume(run.id);
    expect([await run.result(), await get(counts.all.remote())]).toEqual([3, ["first", "second", "second", "third"]]);
    expect((await run.tasks()).map(({ id, attempt }) => [id, attempt])).toEqual([["first", 0], ["second", 1], ["third", 0]]);
    await clear(run.id, { task: "third" });
    expect([await run.result(), (await get(counts.all.remote())).length]).toEqual([3, 5]);
    await mark(run.id, "third", "failed");
    expect([run.state, (await get(counts.all.remote())).length]).toEqual(["failed", 5]);
    await expect(resume("nowhere")).rejects.toThrow(/run nowhere is not known/);
    for (const again of [mark(run.id, "third[7]", "success"), clear(run.id, { task: "third[7]" })]) {
      await expect(again).rejects.toThrow(/has no instance third\[7\]/);
    }
  });

  test("a run that goes on is changed at once: marks end what hangs, clears what waits, all else goes on", async () => {
    const folder = mkdtempSync(join(tmpdir(), "changed-"));
    const aborted = join(folder, "aborted");
    const told: string[] = [];
    const hangs = task("hangs", (path: string) => new Promise((resolve) => {
      ctx().signal.addEventListener("abort", () => resolve(writeFileSync(path, "")));
    }), { numCpus: 0, onSuccess: () => told.push("hangs") });
    const waits = task("waits", () => {
      if (ctx().attempt === 0) throw new Error("not yet");
      return "cleared";
    }, { retries: 1, retryDelayMs: 3_600_000 });
    const round = task("round", async (n: number) => { await new Promise((go) => setTimeout(go, 20)); return n + 1; });
    const read = task("read", (...values: unknown[]) => values, { triggerRule: "noneFailed" });
    const graph = dag("changed", () => read(hangs(aborted), waits(), loop<number>((n) => round(n), { max: 5, initial: 0 })));
    const run = await graph.run();
    const seen = async (id: string, state: string): Promise<void> => {
      for await (const one of run.events()) if (one.taskId === id && one.state === state) return;
    };
    await Promise.all([seen("hangs", "running"), seen("waits", "upForRetry")]);
    expect((await mark(run.id, "hangs", "skipped")).id).toBe(run.id);
    await clear(run.id, { task: "waits" });
    expect(await run.result()).toEqual([undefined, "cleared", 5]);
    const rows = (await run.tasks()).map(({ id, state, attempt }) => [id, state, attempt]);
    expect(rows).toEqual([
      ["hangs", "skipped", 0], ["waits", "success", 1], ...[0, 1, 2, 3, 4].map((n) => [`round[${n}]`, "success", 0]),
      ["read", "success", 0],
    ]);
    await expect.poll(() => existsSync(aborted)).toBe(true);
    await seen("hangs", "skipped");
    expect(told).toEqual([]);
    rmSync(folder, { recursive: true });
  });

  test("a task that depends on its past goes on when the run before has it done, also by hand", async () => {
    const folder = mkdtempSync(join(tmpdir(), "past-"));
    const path = join(folder, "bad");
    writeFileSync(path, "");
    const once = task("once", (bad: string) => { if (existsSync(bad)) throw new Error("bad"); }, { dependsOnPast: true });
    const graph = dag("past", { params: { bad: "" } }, ({ bad }) => chain(once(bad), noop("after")));
    const first = await graph.run({ bad: path });
    await expect(first.result()).rejects.toThrow(/once failed: bad/);
    const second = await graph.run();
    expect(second.why("once").reasons).toMatchObject([{ kind: "past" }]);
    rmSync(folder, { recursive: true });
    await resume(first.id);
    await second.result();
    expect([second.state, first.state]).toEqual(["success", "success"]);
  });

  test("what another process has filled in is not filled in twice, and is run again from here", async () => {
    const graph = dag("filled", { schedule: "@daily" }, () => task("date", () => ctx().attempt)());
    const other = task("other", async () => {
      const fill = await graph.backfill({ from: "2026-01-01", to: "2026-01-02" });
      await fill.done;
      return fill.runs.map(({ id }) => id).sort();
    });
    const ids = await (await dag("filler", () => other()).run()).result();
    const span = { from: "2026-01-01", to: "2026-01-03" };
    expect((await graph.backfill({ ...span, dryRun: true })).map(({ action }) => action)).toEqual(["skip", "skip", "create"]);
    const again = await graph.backfill({ from: "2026-01-01", to: "2026-01-02", reprocess: "completed" });
    await again.done;
    expect(again.runs.map(({ id }) => id).sort()).toEqual(ids);
    expect(await Promise.all(again.runs.map((run) => run.result()))).toEqual([1, 1]);
  });

  test("backfill makes a run a time, oldest first, and none twice", async () => {
    const date = task("date", () => ctx().run.logicalDate.toISOString());
    const graph = dag("daily", { schedule: "@daily", startDate: "2026-01-01" }, () => date());
    const span = { from: "2026-01-01", to: "2026-01-03" };
    const filled = await graph.backfill({ ...span, maxActiveRuns: 1 });
    await filled.done;
    expect(await Promise.all(filled.runs.map((run) => run.result()))).toEqual(
      ["2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z", "2026-01-03T00:00:00.000Z"],
    );
    expect(filled.runs[1].dataInterval).toEqual({ start: new Date("2026-01-01"), end: new Date("2026-01-02") });
    expect((await graph.backfill({ ...span, to: "2026-01-04", dryRun: true })).map(({ action }) => action))
      .toEqual(["skip", "skip", "skip", "create"]);
    expect((await graph.backfill({ ...span, reprocess: "completed", reverse: true, dryRun: true }))[0])
      .toEqual({ logicalDate: new Date("2026-01-03"), action: "reprocess" });
    const [one, other] = await Promise.all([graph, graph].map((same) => same.backfill({ from: "2026-02-01", to: "2026-02-10" })));
    await Promise.all([one.done, other.done]);
    const times = [...one.runs, ...other.runs].map(({ logicalDate }) => logicalDate.getTime());
    expect([times.length, new Set(times).size]).toEqual([10, 10]);
    await expect(dag("plain", () => add(1)).backfill(span)).rejects.toThrow(/no schedule of times/);
    await expect(graph.backfill({ ...span, form: 1 } as never)).rejects.toThrow(/backfill option form is not known/);
    await expect(mark(filled.runs[0].id, "date", "done" as never)).rejects.toThrow(/must be success, failed, skipped, not done/);
  });
});
