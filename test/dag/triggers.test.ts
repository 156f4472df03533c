// Graphs that start runs of others, and tasks that wait for assets: in virtual time, without a cluster.

import { describe, expect, test } from "vitest";
import {
  all, asset, assetSensor, ctx, dag, DagRunFailedError, group, serveDags, task, trigger, variable, VirtualClock,
} from "../../dag/index.ts";

const now = "2026-01-01T00:00:00Z";
const double = task("double", (n: number) => n * 2);
const doubled = dag("doubled", { params: { n: 1 } }, ({ n }) => ({ twice: double(n), list: [double(n), 0] }));

describe("trigger", () => {
  test("makes a run of its own and gives its id, or with wait its result", async () => {
    const kept: string[] = [];
    const keep = task("keep", (id: string) => { kept.push(id); return id; });
    const run = await dag("outer", () => {
      const waited = trigger(doubled, { n: double(4) }, { wait: true, id: "inner" });
      const twice = task("twice", (given: { twice: number }) => given.twice)(waited);
      return { id: keep(trigger(doubled, { n: 3 })), waited, next: double(twice) };
    }).test({}, { now });
    const result = await run.result();
    expect(result).toMatchObject({ waited: { twice: 16, list: [16, 0] }, next: 32 });
    expect(result.id).toMatch(/^manual__2026-01-01T00:00:00.000Z__/);
    expect(kept).toEqual([result.id]);
    expect((await run.tasks()).map(({ id }) => id)).toEqual(expect.arrayContaining(["inner", "trigger_doubled"]));
  });

  test("fails when the run fails, is tried again, and ends the run with its own", async () => {
    let tries = 0;
    const flaky = task("flaky", () => { if ((tries += 1) < 3) throw new Error("not yet"); return tries; });
    const inner = dag("inner", () => flaky());
    const once = await dag("once", () => trigger(inner, {}, { wait: true })).test({}, { now });
    const failures = [{ taskId: "trigger_inner", error: expect.any(DagRunFailedError) }];
    await expect(once.result()).rejects.toMatchObject({ failures });
    const again = await dag("again", () => trigger(inner, {}, { wait: true, retries: 3, retryDelayMs: 1000 })).test({}, { now });
    expect([await again.result(), (await again.tasks())[0].attempt]).toEqual([3, 1]);

    const ended: string[] = [];
    const forever = task("forever", async () => { ctx().sleepUntil(new Date("2030-01-01")); });
    const long = dag("long", { onFailure: ({ error }) => ended.push(String(error)) }, () => forever());
    const late = await dag("late", () => trigger(long, {}, { wait: true, timeoutMs: 5000 })).test({}, { now });
    expect((await late.tasks())[0]).toMatchObject({ state: "failed", reason: "task trigger_long took longer than 5000 ms" });
    expect((await late.tasks())[0].endedAt).toEqual(new Date("2026-01-01T00:00:05Z"));
    await expect.poll(() => ended).toEqual([expect.stringMatching(/of long ended as cancelled/)]);
  });

  test("is expanded in a group, and refuses what is no graph or no parameter", async () => {
    const each = (n: number) => trigger(doubled, { n }, { wait: true });
    const run = await dag("many", () => group("each", each).expand({ n: [1, 2, 3] })).test({}, { now });
    expect(await run.result()).toMatchObject([{ twice: 2 }, { twice: 4 }, { twice: 6 }]);
    expect(() => dag("wrong", () => trigger({} as never))).toThrow(/expected a graph made with dag/);
    const wrong = await dag("wrong", () => trigger(doubled, { m: 1 } as never)).test({}, { now });
    expect((await wrong.tasks())[0].reason).toMatch(/no parameter m/);
  });
});

describe("assets", () => {
  const [a, b] = [asset("a"), asset("b")];

  test("a sensor waits for events since its run was asked for", async () => {
    const make = task("make", (at: string) => ctx().sleepUntil(new Date(at)));
    const run = await dag("waits", () => {
      make.with({ outlets: a, id: "early" })("2026-01-01T00:00:10Z");
      make.with({ outlets: b, id: "late" })("2026-01-01T00:05:00Z");
      return [assetSensor("one", a, { everyMs: 1000 }), assetSensor("both", all(a, b), { everyMs: 1000 })];
    }).test({}, { now });
    const [one, both] = (await run.result()) as { asset: string; source: { taskId: string } }[][];
    expect(one.map(({ asset: name, source }) => [name, source.taskId])).toEqual([["a", "early"]]);
    expect(both.map(({ asset: name }) => name)).toEqual(["a", "b"]);
    const rows = await run.tasks();
    expect(rows.find(({ id }) => id === "both")?.endedAt).toEqual(new Date("2026-01-01T00:05:00Z"));

    const stale = dag("stale", () => assetSensor("stale", a, { everyMs: 1000, timeoutMs: 10_000 }));
    expect((await stale.test({}, { now: "2026-02-01" })).state).toBe("failed");
    expect((await dag("old", () => assetSensor("old", a, { since: now })).test({}, { now: "2026-02-01" })).state).toBe("success");
    expect(() => dag("wrong", () => assetSensor("x", "a" as never))).toThrow(/expected an asset/);
  });

  test("events of tasks reach graphs that are served in the same process, and no cluster", async () => {
    const clock = new VirtualClock(Date.parse(now));
    const seen = variable<number>("seen");
    const consumer = dag("consumer", { schedule: all(a, b) }, () => (
      task("count", () => seen.update((n) => (n ?? 0) + (ctx().run.assetEvents?.length ?? 0)))()
    ));
    const made = task("made", () => undefined, { outlets: [a, b] });
    const producer = dag("producer", { schedule: "0 1 * * *" }, () => made());
    const service = await serveDags({ dags: [producer, consumer] }, { clock });
    await clock.advanceTo("2026-01-03T12:00:00Z");
    await service.stop();
    const read = await dag("read", () => task("read", () => seen.get())()).test();
    expect(await read.result()).toBe(6);
  });
});
