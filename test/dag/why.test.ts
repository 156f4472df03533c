// Why a task is where it is: a reason for every state in which it waits.

import { afterEach, expect, test } from "vitest";
import { ctx, dag, type DagService, group, noop, pool, serveDags, task, VirtualClock } from "../../dag/index.ts";

const START = "2026-01-01T00:00:00.000Z";
const clock = new VirtualClock(Date.parse(START));
let service: DagService | undefined;
afterEach(() => service?.stop());

const hour = (n: number): Date => new Date(Date.parse(START) + n * 3_600_000);
const sleeps = task("sleeps", (n: number) => ctx().sleepUntil(hour(n)));
const fails = task("fails", () => { throw new Error("no luck"); }, { retries: 1, retryDelayMs: 3_600_000 });
const held = task("held", () => new Promise(() => {}), { pool: pool("narrow", 1) });
const one = task("one", (n?: unknown) => n);

test("pool, upstream, wait, retry, group: each says what it waits for, and until when", async () => {
  const graph = dag("waits", () => {
    const slept = sleeps(1);
    const late = one.with({ id: "late" })(slept);
    one.with({ id: "after" })(late);
    one.with({ id: "skipped" })(fails());
    held.expandAll([{}, {}]);
    group("each", (x: unknown) => one.with({ id: "inner" })(x as never)).expand({ x: slept as never });
  });
  service = await serveDags({ dags: [graph] }, { clock });
  const id = await service.trigger("waits");
  const why = (task: string) => service!.why(id, task);
  // The clock stands still while one of them runs.
  await expect.poll(async () => (await why("fails")).reasons[0].kind).toBe("upForRetry");
  await expect.poll(async () => (await why("sleeps")).reasons[0].kind).toBe("deferred");
  expect(await why("sleeps")).toEqual({
    text: "sleeps: it goes on at 2026-01-01T01:00:00.000Z",
    reasons: [{ kind: "deferred", state: "deferred", until: hour(1), text: "it goes on at 2026-01-01T01:00:00.000Z" }],
  });
  expect((await why("late")).reasons).toEqual([
    { kind: "upstream", taskId: "sleeps", state: "deferred", text: "it waits for sleeps, which is deferred" },
  ]);
  expect((await why("after")).text).toBe("after: it waits for late, which is none");
  expect((await why("fails")).reasons).toMatchObject([
    { until: expect.any(Date), text: expect.stringMatching(/^it failed, and is tried again at 2026.*: no luck$/) },
  ]);
  expect((await why("held")).reasons).toMatchObject([
    { kind: "running", text: expect.stringMatching(/^held\[0\] is running since 2026/) },
    { kind: "pool", state: "scheduled", text: "held[1] may run, but slots of pool narrow: 1 of 1 in use" },
  ]);
  expect((await why("held[1]")).reasons).toHaveLength(1);
  expect((await why("each.inner")).reasons[0].kind).toBe("gate");
  await expect(why("nothing")).rejects.toThrow(/has no task nothing/);
  await service.cancel(id);
  expect((await why("late")).reasons[0]).toMatchObject({ state: "skipped" });
});

test("what was skipped or not run for what came before says for which", async () => {
  const run = await dag("ended", () => one(task("boom", () => { throw new Error("x"); })())).test();
  expect(run.why("one").text).toBe("one: it is upstreamFailed; boom is failed");
  expect((await dag("fine", () => noop("n")).test()).why("n").text).toBe("n: it is success");
});
