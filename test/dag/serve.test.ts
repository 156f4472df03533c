// Graphs that are served, under a clock that is moved by hand: times, assets, pauses, one run a time.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { asset, ctx, dag, dagsIn, type DagService, latestOnly, serveDags, task, VirtualClock } from "../../dag/index.ts";

const START = "2026-01-01T00:00:00Z";
let service: DagService | undefined;
afterEach(() => service?.stop());

const dates = async (id: string): Promise<string[]> => (
  (await service!.dags()).find((one) => one.id === id)!.runs.map(({ logicalDate }) => logicalDate.toISOString())
);

describe("times", () => {
  test("each has one run, in order; what is paused has none", async () => {
    const clock = new VirtualClock(Date.parse(START));
    const seen: string[] = [];
    const note = task("note", () => { seen.push(ctx().run.logicalDate.toISOString()); });
    service = await serveDags({ dags: [dag("hourly", { schedule: "@hourly" }, () => note())] }, { clock });
    await clock.advanceTo("2026-01-01T03:30:00Z");
    const hours = ["01", "02", "03"].map((hour) => `2026-01-01T${hour}:00:00.000Z`);
    expect([seen, await dates("hourly")]).toEqual([hours, hours]);
    await service.pause("hourly");
    await clock.advanceTo("2026-01-01T06:30:00Z");
    await service.unpause("hourly");
    await clock.advanceTo("2026-01-01T07:00:00Z");
    expect(seen.slice(3)).toEqual(["2026-01-01T07:00:00.000Z"]);
    await service.trigger("hourly");
    await clock.advanceTo("2026-01-01T07:01:00Z");
    expect(seen.slice(4)).toEqual(["2026-01-01T07:00:00.000Z"]);
    await expect(service.pause("daily")).rejects.toThrow(/dag daily is not served here/);
  });

  test("catching up makes runs one after the other when only one may be active", async () => {
    const clock = new VirtualClock(Date.parse("2026-01-04T12:00:00Z"));
    let [now, most] = [0, 0];
    const work = task("work", async () => {
      most = Math.max(most, now += 1);
      await new Promise((resolve) => setTimeout(resolve, 1));
      now -= 1;
    });
    const graph = dag("late", { schedule: "@daily", startDate: START, catchup: true, maxActiveRuns: 1 }, () => work());
    service = await serveDags({ dags: [graph] }, { clock });
    await clock.advanceTo("2026-01-04T12:00:01Z");
    expect([await dates("late"), most]).toEqual([["01", "02", "03", "04"].map((day) => `2026-01-${day}T00:00:00.000Z`), 1]);
  });

  test("of runs that are caught up with only the latest passes where only that one may", async () => {
    const clock = new VirtualClock(Date.parse("2026-01-03T12:00:00Z"));
    const done: string[] = [];
    const note = task("note", () => { done.push(ctx().run.logicalDate.toISOString().slice(0, 10)); });
    const graph = dag("newest", { schedule: "@daily", startDate: START, catchup: true }, () => note().after(latestOnly()));
    service = await serveDags({ dags: [graph] }, { clock });
    await clock.advanceTo("2026-01-04T00:00:01Z");
    expect([await dates("newest"), done]).toEqual([expect.objectContaining({ length: 4 }), ["2026-01-03", "2026-01-04"]]);
  });

  test("what depends on its past waits for the run before, however many are made meanwhile", async () => {
    const clock = new VirtualClock(Date.parse("2026-01-04T12:00:00Z"));
    const [waits, free]: [string[], string[]] = [[], []];
    const day = (): string => ctx().run.logicalDate.toISOString().slice(0, 10);
    const past = task("past", () => {
      waits.push(day());
      if (day() === "2026-01-02") ctx().fail("a bad day");
    }, { dependsOnPast: true });
    const beside = task("beside", () => { free.push(day()); });
    service = await serveDags(
      { dags: [dag("past", { schedule: "@daily", startDate: START, catchup: true }, () => [past(), beside()])] }, { clock },
    );
    await clock.advanceTo("2026-01-04T12:00:01Z");
    expect([waits, free.length]).toEqual([["2026-01-01", "2026-01-02"], 4]);
    const [, failed, held] = (await service.dags())[0].runs;
    expect([failed.state, held.state]).toEqual(["failed", "running"]);
    expect((await service.why(held.id, "past")).reasons).toMatchObject([{ kind: "past" }]);
    await service.mark(failed.id, "past", "success");
    await expect.poll(() => waits.slice(2)).toEqual(["2026-01-03", "2026-01-04"]);
  });

  test("a newer version of a graph takes over its schedule", async () => {
    const clock = new VirtualClock(Date.parse(START));
    const seen: string[] = [];
    const version = (name: string) => dag("versioned", { schedule: "@hourly" }, () => task("note", () => seen.push(name))());
    service = await serveDags({ dags: [version("one")] }, { clock });
    await clock.advanceTo("2026-01-01T01:30:00Z");
    service = await serveDags({ dags: [version("two")] }, { clock });
    await clock.advanceTo("2026-01-01T02:30:00Z");
    expect(seen.at(-1)).toBe("two");
  });
});

describe("people", () => {
  const scale = task("scale", (n: number) => { ctx().logger.info(`scaling ${n}`); return n * 2; });
  const fails = task("fails", (n: number) => { if (n < 0) throw new Error("below zero"); return n; });
  const graph = dag("asked", { params: { n: 1 }, tags: ["a"] }, ({ n }) => scale(fails(n)));

  test("runs are triggered with parameters, told as rows, pages of events and reasons, and run again", async () => {
    const clock = new VirtualClock(Date.parse(START));
    service = await serveDags({ dags: [graph] }, { clock });
    expect(await service.dags()).toMatchObject([{ id: "asked", schedule: "none", tags: ["a"], paused: false, activeRuns: 0 }]);
    expect(await service.describe("asked")).toMatchObject({
      params: { n: 1 }, tasks: [{ id: "fails", downstream: ["scale"] }, { id: "scale", upstream: ["fails"] }],
    });
    const good = await service.trigger("asked", { params: { n: 4 }, logicalDate: "2026-02-03T00:00:00Z" });
    const bad = await service.trigger("asked", { params: { n: -1 } });
    await expect(service.trigger("asked", { params: { m: 1 } })).rejects.toThrow("dag asked has no parameter m; it has n");
    await clock.advanceTo("2026-01-01T00:01:00Z");
    expect(await service.result(good)).toBe(8);
    await expect(service.result(bad)).rejects.toThrow(/task fails failed: below zero/);
    const states = (await service.runs({ dagId: "asked" })).map(({ id, state }) => [id, state]);
    expect(states).toEqual([[bad, "failed"], [good, "success"]]);
    expect(await service.runs({ dagId: "asked", state: "success", limit: 5 })).toMatchObject([{ id: good, type: "manual" }]);
    expect(await service.run(bad)).toMatchObject({ params: { n: -1 }, tasks: { failed: 1, upstreamFailed: 1 } });
    const { events, next } = await service.events(good, { limit: 3 });
    const rest = await service.events(good, { from: next, waitMs: 60_000 });
    expect([events.length, rest.over]).toEqual([3, true]);
    expect([...events, ...rest.events].find(({ type }) => type === "log")).toMatchObject({ taskId: "scale", value: "scaling 4" });
    const failed = (await service.events(bad)).events;
    expect(failed.find(({ state }) => state === "failed")).toMatchObject({ taskId: "fails", value: "below zero" });
    expect(failed.find(({ name }) => name === "error")?.value).toMatch(/^Error: below zero\n {4}at /);
    expect((await service.why(bad, "scale")).text).toContain("fails is failed");
    await service.mark(bad, "fails", "success");
    await service.clear(bad, { task: "scale" });
    await clock.advanceTo("2026-01-01T00:02:00Z");
    expect(await service.tasks(bad)).toMatchObject([{ id: "fails", state: "success" }, { id: "scale" }]);
    await expect(service.run("nope")).rejects.toThrow(/run nope is not known/);
    await expect(service.clear(good)).rejects.toThrow(/no task that failed/);
    await expect(service.clear(good, { task: "none" })).rejects.toThrow(/has no task none; it has fails, scale/);
    await expect(service.runs({ limit: 0 })).rejects.toThrow("limit must be a whole number from 1 to 10000, not 0");
  });

  test("what was paused stays so when it is served anew", async () => {
    const clock = new VirtualClock(Date.parse(START));
    service = await serveDags({ dags: [graph] }, { clock });
    await service.pause("asked");
    expect((await service.dags())[0].paused).toBe(true);
    await service.unpause("asked");
    expect((await service.dags())[0].paused).toBe(false);
  });
});

test("a folder is served: what is not exported is named, two of one id are refused", async () => {
  const folder = mkdtempSync(join(tmpdir(), "dags-"));
  const face = JSON.stringify(new URL("../../dag/index.ts", import.meta.url).href);
  const write = (name: string, text: string): void => (
    writeFileSync(join(folder, name), `import { dag, task } from ${face};\nconst one = task("one", () => 1);\n${text}`)
  );
  try {
    await expect(serveDags({ dir: join(folder, "none") })).rejects.toThrow(/graphs can't be read from .*ENOENT/);
    write("a.mjs", 'export const a = dag("a", () => inner());\nconst inner = dag("inner", () => one());');
    await expect(dagsIn(folder)).rejects.toThrow(/a\.mjs can't be loaded: .*inner/);
    write("b.mjs", 'const inner = dag("inner", () => one());\ndag("lost", one);\nexport const b = dag("b", () => inner());');
    rmSync(join(folder, "a.mjs"));
    const { dags, warnings } = await dagsIn(folder);
    expect([dags.map(({ id }) => id), warnings]).toEqual([["b"], [
      `dag lost in ${join(folder, "b.mjs")} is made and not exported: nothing runs it; write export const … = dag("lost", …)`,
    ]]);
    service = await serveDags({ dir: folder }, { clock: new VirtualClock(0) });
    expect((await service.dags()).map(({ id }) => id)).toEqual(["b"]);
    write("c.mjs", 'export const b = dag("b", () => one());');
    await expect(dagsIn(folder)).rejects.toThrow(/two graphs have the id b, in .*c\.mjs and .*b\.mjs: give one/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

describe("assets", () => {
  test("a task's success is an event; who waits for several runs once all have come, with all of them", async () => {
    const clock = new VirtualClock(Date.parse(START));
    const [raw, rates] = [asset("raw"), asset("s3://bucket/rates")];
    const seen: unknown[] = [];
    const produce = dag("produce", { schedule: "@hourly" }, () => [
      task("load", () => 1, { outlets: raw })(),
      task("fails", () => { throw new Error("no"); }, { outlets: rates })(),
    ]);
    const consume = dag("consume", { schedule: [raw, rates] }, () => task("use", () => {
      seen.push(ctx().run.assetEvents?.map(({ asset: name, source }) => [name, source?.taskId]));
    })());
    service = await serveDags({ dags: [produce, consume] }, { clock });
    await clock.advanceTo("2026-01-01T02:30:00Z");
    expect(seen).toEqual([]);
    await rates.emit({ extra: { rows: 5 } });
    await clock.advanceTo("2026-01-01T02:31:00Z");
    expect(seen).toEqual([[["raw", "load"], ["raw", "load"], ["s3://bucket/rates", undefined]]]);
  });

  test("what comes while as many runs as may be are under way has its run after them", async () => {
    const clock = new VirtualClock(Date.parse(START));
    const part = asset("part");
    const seen: unknown[] = [];
    const graph = dag("one_at_a_time", { schedule: part, maxActiveRuns: 1 }, () => task("use", async () => {
      const { logicalDate, assetEvents } = ctx().run;
      await ctx().sleepUntil(new Date(logicalDate.getTime() + 60_000));
      seen.push([logicalDate.toISOString().slice(14, 16), assetEvents?.map(({ extra }) => extra)]);
    })());
    service = await serveDags({ dags: [graph] }, { clock });
    for (const number of [1, 2, 3]) await part.emit({ extra: { number } });
    await clock.advanceTo("2026-01-01T00:10:00Z");
    expect(seen).toEqual([["00", [{ number: 1 }]], ["01", [{ number: 2 }]], ["02", [{ number: 3 }]]]);
  });
});
