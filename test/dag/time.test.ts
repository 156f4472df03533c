// Schedules: presets, zones, clocks that are put forward and back, intervals, assets.

import { describe, expect, test } from "vitest";
import { all, any, asset, AssetQueue } from "../../dag/time/assets.ts";
import { cron, every, timetableOf, type Timetable } from "../../dag/time/timetable.ts";
import { Schedule } from "../../dag/time/schedule.ts";
import { Zone } from "../../dag/time/zone.ts";
import { InvalidArgumentError } from "../../sdk/index.ts";

const HOUR = 3_600_000;
const ZONES = ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Tehran"];

function times(timetable: Timetable, from: string, count: number): string[] {
  const found: string[] = [];
  for (let at = timetable.next(new Date(from)); at !== undefined && found.length < count; at = timetable.next(at))
    found.push(at.toISOString());
  return found;
}

describe("expressions", () => {
  test.each([
    ["@hourly", "2026-01-31T15:20:00Z", ["2026-01-31T16:00:00.000Z", "2026-01-31T17:00:00.000Z"]],
    ["@daily", "2026-01-31T15:00:00Z", ["2026-02-01T00:00:00.000Z", "2026-02-02T00:00:00.000Z"]],
    ["@weekly", "2026-01-31T15:00:00Z", ["2026-02-01T00:00:00.000Z", "2026-02-08T00:00:00.000Z"]],
    ["@monthly", "2026-01-31T15:00:00Z", ["2026-02-01T00:00:00.000Z", "2026-03-01T00:00:00.000Z"]],
    ["@quarterly", "2026-01-31T15:00:00Z", ["2026-04-01T00:00:00.000Z", "2026-07-01T00:00:00.000Z"]],
    ["@yearly", "2026-01-31T15:00:00Z", ["2027-01-01T00:00:00.000Z", "2028-01-01T00:00:00.000Z"]],
    ["*/30 * * * *", "2026-02-01T00:00:00Z", ["2026-02-01T00:30:00.000Z", "2026-02-01T01:00:00.000Z"]],
    ["*/20 * * * * *", "2026-02-01T00:00:50Z", ["2026-02-01T00:01:00.000Z", "2026-02-01T00:01:20.000Z"]],
    // Both days restricted: either is enough.
    ["0 0 13 * 5", "2026-02-07T00:00:00Z", ["2026-02-13T00:00:00.000Z", "2026-02-20T00:00:00.000Z"]],
    ["0 0 15 * 1", "2026-06-10T00:00:00Z", ["2026-06-15T00:00:00.000Z", "2026-06-22T00:00:00.000Z"]],
  ])("%s", (schedule, from, expected) => {
    expect(times(timetableOf(schedule, undefined), from, expected.length)).toEqual(expected);
  });

  test("what is none says what one is", () => {
    for (const wrong of ["", "* * *", "61 * * * *", "hello", "@dayly"]) {
      expect(() => timetableOf(wrong, undefined), wrong).toThrow(InvalidArgumentError);
    }
    expect(() => cron("0 0 * * *", { timezone: "Mars/Base" })).toThrow(/"Mars\/Base" is not known/);
    expect(() => every(0)).toThrow(/whole number of 1 or more/);
  });

  test("an interval counts from its start, or from the epoch", () => {
    expect(times(every(1000), "1970-01-01T00:00:02.500Z", 2)).toEqual(["1970-01-01T00:00:03.000Z", "1970-01-01T00:00:04.000Z"]);
    expect(times(every(7000, new Date(500)), "1970-01-01T00:00:00Z", 2)).toEqual([
      "1970-01-01T00:00:00.500Z",
      "1970-01-01T00:00:07.500Z",
    ]);
  });
});

describe("clocks that are put forward and back", () => {
  const newYork = { timezone: "America/New_York" };

  test("a fixed time that does not exist fires as if the clock had not changed, one that exists twice the second time", () => {
    expect(times(cron("30 2 * * *", newYork), "2026-03-07T12:00:00Z", 2)).toEqual([
      "2026-03-08T07:30:00.000Z",
      "2026-03-09T06:30:00.000Z",
    ]);
    expect(times(cron("30 1 * * *", newYork), "2026-10-31T12:00:00Z", 2)).toEqual([
      "2026-11-01T06:30:00.000Z",
      "2026-11-02T06:30:00.000Z",
    ]);
    // Also for who asks between the two.
    expect(times(cron("30 1 * * *", newYork), "2026-11-01T05:45:00Z", 1)).toEqual(["2026-11-01T06:30:00.000Z"]);
  });

  test("wildcard and step hours go by real hours", () => {
    expect(times(cron("0 * * * *", newYork), "2026-11-01T04:30:00Z", 3))
      .toEqual(["2026-11-01T05:00:00.000Z", "2026-11-01T06:00:00.000Z", "2026-11-01T07:00:00.000Z"]);
    expect(times(cron("0 * * * *", newYork), "2026-03-08T05:30:00Z", 3))
      .toEqual(["2026-03-08T06:00:00.000Z", "2026-03-08T07:00:00.000Z", "2026-03-08T08:00:00.000Z"]);
  });

  test.each(ZONES)("a daily run fires once a day for twenty years in %s", (timezone) => {
    const zone = new Zone(timezone);
    for (const [expression, wall] of [["30 2 * * *", 2.5 * HOUR]] as const) {
      const daily = cron(expression, { timezone });
      let at = new Date("2010-01-01T12:00:00Z");
      let day = Math.floor(zone.wallOf(at.getTime()) / 86_400_000);
      const end = new Date("2030-01-01T12:00:00Z");
      for (let next = daily.next(at)!; next < end; next = daily.next(at)!) {
        const shown = zone.wallOf(next.getTime());
        day += 1;
        expect(Math.floor(shown / 86_400_000), next.toISOString()).toBe(day);
        // Shown as it is written, or later by as much as the clock was put forward.
        const late = (shown % 86_400_000) - wall;
        expect(late === 0 || late === HOUR || late === HOUR / 2, `${next.toISOString()} ${late}`).toBe(true);
        at = next;
      }
    }
  });

  test.each(ZONES)("an hourly run fires every real hour around every change of twenty years in %s", (timezone) => {
    const [zone, hourly] = [new Zone(timezone), cron("0 * * * *", { timezone })];
    let changes = 0;
    for (let day = Date.parse("2010-01-01T12:30:00Z"); day < Date.parse("2030-01-01T00:00:00Z"); day += 24 * HOUR) {
      if (zone.offsetAt(day) === zone.offsetAt(day + 24 * HOUR)) continue;
      changes += 1;
      let at = hourly.next(new Date(day))!.getTime();
      for (let fires = 0; fires < 30; fires += 1) {
        const next = hourly.next(new Date(at))!.getTime();
        // Where clocks move by half an hour, the wall decides when the next hour is.
        if (timezone === "Australia/Lord_Howe") expect([HOUR / 2, HOUR, 1.5 * HOUR]).toContain(next - at);
        else expect(next - at).toBe(HOUR);
        at = next;
      }
    }
    expect(changes).toBeGreaterThan(10);
  });
});

describe("assets", () => {
  const at = (n: number): Date => new Date(n * 1000);
  const told = (queue: AssetQueue, events: readonly (readonly [string, number])[]): number[] => (
    events.toSorted((a, b) => a[1] - b[1])
      .flatMap(([name, n]) => (queue.add({ asset: name, at: at(n), extra: {} }) === undefined ? [] : [n]))
  );

  test("events before the condition holds collapse into one run", () => {
    const [a, b, c] = ["A", "B", "C"].map(asset);
    const events = [[1, 2, 4, 6, 13], [2.5, 5, 8, 10, 12], [7, 9, 11]].flatMap((times, i) => (
      times.map((n) => ["ABC"[i], n] as const)
    ));
    expect(told(new AssetQueue(all(a, b, c)), events)).toEqual([7, 13]);
    expect(told(new AssetQueue(any(a, all(b, c))), [["B", 1], ["C", 2], ["B", 3], ["A", 4], ["X", 5]])).toEqual([2, 4]);
  });

  test("a run has all events it was made for", () => {
    const queue = new AssetQueue(all(asset("A"), asset("B")));
    queue.add({ asset: "A", at: at(1), extra: { n: 1 } });
    queue.add({ asset: "A", at: at(2), extra: { n: 2 } });
    expect(queue.add({ asset: "B", at: at(3), extra: {} })?.map(({ extra }) => extra)).toEqual([{ n: 1 }, { n: 2 }, {}]);
    expect(queue.waiting()).toEqual([]);
    expect(() => all()).toThrow(InvalidArgumentError);
  });
});

describe("what is due", () => {
  const plan = { startDate: undefined, endDate: undefined, catchup: false, maxActiveRuns: 16 };
  const due = (schedule: Schedule, now: string): string[] => (
    schedule.due(new Date(now)).map(({ logicalDate }) => logicalDate.toISOString())
  );
  const daily = { ...plan, timetable: timetableOf("@daily", undefined) };

  test("switched on in between: the next time is the first", () => {
    const schedule = new Schedule(daily, new Date("2026-01-31T15:00:00Z"));
    expect(due(schedule, "2026-01-31T23:59:59Z")).toEqual([]);
    expect(due(schedule, "2026-02-01T00:00:00Z")).toEqual(["2026-02-01T00:00:00.000Z"]);
    // On again after two days: what was missed is not made up for.
    const later = new Schedule(daily, new Date("2026-02-02T15:00:00Z"), new Date("2026-01-31"));
    expect(later.next?.toISOString()).toBe("2026-02-03T00:00:00.000Z");
  });

  test("catching up runs for every time, oldest first, no more at once than may be", () => {
    const halfHourly = { ...plan, timetable: timetableOf("*/30 * * * *", undefined) };
    const given = { ...halfHourly, startDate: new Date("2026-02-01T00:00:00Z"), catchup: true };
    const schedule = new Schedule({ ...given, maxActiveRuns: 2 }, new Date("2026-02-01T01:05:00Z"));
    const runs = schedule.due(new Date("2026-02-01T01:05:00Z"));
    expect(runs.map(({ dataInterval }) => dataInterval)).toEqual([
      { start: new Date("2026-01-31T23:30:00Z"), end: new Date("2026-02-01T00:00:00Z") },
      { start: new Date("2026-02-01T00:00:00Z"), end: new Date("2026-02-01T00:30:00Z") },
    ]);
    expect(due(schedule, "2026-02-01T01:05:00Z")).toEqual([]);
    schedule.runEnded();
    expect(due(schedule, "2026-02-01T01:05:00Z")).toEqual(["2026-02-01T01:00:00.000Z"]);
  });

  test("start and end are inclusive, and a machine that slept runs once", () => {
    const given = { ...plan, timetable: timetableOf("@hourly", undefined), endDate: new Date("2026-02-01T03:00:00Z") };
    const schedule = new Schedule({ ...given, startDate: new Date("2026-02-01T01:00:00Z") }, new Date("2026-01-01T00:00:00Z"));
    expect(due(schedule, "2026-02-01T01:00:00Z")).toEqual(["2026-02-01T01:00:00.000Z"]);
    expect(due(schedule, "2026-02-01T02:30:00Z")).toEqual(["2026-02-01T02:00:00.000Z"]);
    expect(due(schedule, "2026-02-01T03:00:00Z")).toEqual(["2026-02-01T03:00:00.000Z"]);
    expect(schedule.next).toBeUndefined();
    const slept = new Schedule({ ...plan, timetable: timetableOf("@hourly", undefined) }, new Date("2026-02-01T00:30:00Z"));
    expect(due(slept, "2026-02-01T05:10:00Z")).toEqual(["2026-02-01T01:00:00.000Z"]);
    expect(slept.next?.toISOString()).toBe("2026-02-01T06:00:00.000Z");
  });
});
