// Schedules in virtual time, as a user's own test would have them: what is imported is the package.

import { afterEach, describe, expect, test } from "vitest";
import { cron, ctx, dag, type DagService, every, sensor, task } from "troupe/dag";
import { serveDags, testCluster, VirtualClock } from "troupe/testing";

const DAY_MS = 86_400_000;
let service: DagService | undefined;
afterEach(() => service?.stop());

const runsOf = async (): Promise<string[]> => (
  (await service!.dags()).flatMap(({ runs }) => runs.map(({ logicalDate }) => logicalDate.toISOString()))
);
const january = (first: number, last: number): string[] => (
  Array.from({ length: last - first + 1 }, (_, i) => new Date(Date.UTC(2026, 0, first + i)).toISOString())
);

describe("a day a run", () => {
  const daily = (seen: string[], options: object = {}) => {
    const note = task("note", () => { seen.push(ctx().run.logicalDate.toISOString()); });
    return dag("daily", { schedule: "@daily", ...options }, () => note());
  };

  test("thirty days are thirty runs, each at its time", async () => {
    const clock = new VirtualClock("2026-01-01T12:00:00Z");
    const times: number[] = [];
    const note = task("note", () => void times.push(clock.now()));
    service = await serveDags({ dags: [dag("daily", { schedule: "@daily" }, () => note())] }, { clock });
    await clock.advanceTo(new Date("2026-01-31T12:00:00Z"));
    expect(times.map((time) => new Date(time).toISOString())).toEqual(january(2, 31));
    expect([await runsOf(), clock.now()]).toEqual([january(2, 31), Date.parse("2026-01-31T12:00:00Z")]);
  });

  test("what was missed is made up for with catchup, and not without", async () => {
    const seen: string[] = [];
    const clock = new VirtualClock("2026-01-10T12:00:00Z");
    const late = { startDate: "2026-01-01", catchup: true, maxActiveRuns: 1 };
    service = await serveDags({ dags: [daily(seen, late)] }, { clock });
    await clock.advance(0);
    expect(seen).toEqual(january(1, 10));
    await clock.advance(DAY_MS);
    expect(seen).toEqual(january(1, 11));
    await service.stop();
    const others: string[] = [];
    service = await serveDags({ dags: [daily(others, { ...late, catchup: false })] }, { clock });
    await clock.advance(DAY_MS);
    expect(others).toEqual(january(12, 12));
  });

  test("days of a pause have no run", async () => {
    const seen: string[] = [];
    const clock = new VirtualClock("2026-01-01T12:00:00Z");
    service = await serveDags({ dags: [daily(seen)] }, { clock });
    await clock.advance(3 * DAY_MS);
    await service.pause("daily");
    await clock.advance(10 * DAY_MS);
    await service.unpause("daily");
    await clock.advance(2 * DAY_MS);
    expect(seen).toEqual([...january(2, 4), ...january(15, 16)]);
  });
});

test("a local time is kept when the clocks change", async () => {
  const clock = new VirtualClock("2026-10-24T00:00:00Z");
  const morning = cron("30 2 * * *", { timezone: "Europe/Berlin" });
  service = await serveDags({ dags: [dag("local", { schedule: morning }, () => task("note", () => undefined)())] }, { clock });
  await clock.advanceTo("2026-10-27T00:00:00Z");
  // Half past two comes twice on the 25th: the second one counts.
  expect(await runsOf()).toEqual(["2026-10-24T00:30:00.000Z", "2026-10-25T01:30:00.000Z", "2026-10-26T01:30:00.000Z"]);
});

test("tasks wait in virtual time too: for retries, and sensors for what they look for", async () => {
  const clock = new VirtualClock(0);
  const starts: number[] = [];
  const flaky = task("flaky", () => {
    starts.push(clock.now());
    if (starts.length < 3) throw new Error("not yet");
  }, { retries: 2, retryDelayMs: 600_000 });
  const isOpen = async (): Promise<boolean> => clock.now() >= DAY_MS + 4 * 3_600_000;
  const graph = dag("waits", { schedule: every(DAY_MS) }, () => flaky().after(sensor("door", isOpen, { everyMs: 60_000 })));
  service = await serveDags({ dags: [graph] }, { clock });
  await clock.advance(DAY_MS + 5 * 3_600_000);
  expect(starts.map((time) => time - starts[0])).toEqual([0, 600_000, 1_200_000]);
  expect(starts[0]).toBe(DAY_MS + 4 * 3_600_000);
  expect((await service.dags())[0].runs).toMatchObject([{ state: "success" }]);
});

test("the clock is moved forward only, to times that there are", async () => {
  const clock = new VirtualClock("2026-01-01");
  await clock.advanceTo("2025-01-01");
  expect(new Date(clock.now()).toISOString()).toBe("2026-01-01T00:00:00.000Z");
  expect(() => new VirtualClock("soon")).toThrow(/VirtualClock: start/);
  await expect(clock.advance(-1)).rejects.toThrow(/VirtualClock.advance: expected milliseconds from 0 on, not -1/);
  await expect(clock.advanceTo("soon")).rejects.toThrow(/VirtualClock.advanceTo: time/);
  await expect(serveDags({ dags: [] }, { clock: Date as never })).rejects.toThrow(/clock/);
  expect(testCluster).toBeTypeOf("function");
});
