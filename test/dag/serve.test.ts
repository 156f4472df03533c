// Graphs that are served, under a clock that is moved by hand: times, assets, pauses, one run a time.

import { afterEach, describe, expect, test } from "vitest";
import { asset, ctx, dag, type DagService, serveDags, task, VirtualClock } from "../../dag/index.ts";

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
});
