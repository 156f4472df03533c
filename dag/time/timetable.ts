// When a graph runs: cron expressions, steady intervals, presets, or whatever has a `next`.

import { Cron } from "croner";
import { InvalidArgumentError } from "../../sdk/index.ts";
import { Zone } from "./zone.ts";

export interface Timetable {
  /** The first time after `after`; undefined when there is none any more. */
  next(after: Date): Date | undefined;
  /** In words, for lists. */
  readonly text?: string;
}

export interface CronOptions {
  /** IANA name. Default UTC. */
  readonly timezone?: string | undefined;
}

const PRESETS: Readonly<Record<string, string>> = {
  "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *", "@quarterly": "0 0 1 */3 *",
  "@yearly": "0 0 1 1 *",
};
const FIELDS = /^\s*\S+(\s+\S+){4,5}\s*$/;
const DAY_MS = 86_400_000;
/** Clocks are never put back by more. */
const OVERLAP_MS = 3 * 3_600_000;

/**
 * Five fields, or six with seconds first. With a fixed time of day, one that does not exist is taken as if the clock had not
 * been put forward, one that exists twice fires the second time; with a wildcard or step among the hours it goes by real
 * hours.
 *
 * @throws InvalidArgumentError for what is no expression.
 */
export function cron(expression: string, { timezone = "UTC" }: CronOptions = {}): Timetable {
  const pattern = patternOf(expression);
  const zone = new Zone(timezone);
  const hours = expression.trim().split(/\s+/).at(-4) ?? "*";
  const text = timezone === "UTC" ? expression.trim() : `${expression.trim()} (${timezone})`;
  return hours.includes("*") ? byRealHours(pattern, zone, text) : byWall(pattern, zone, text);
}

function patternOf(expression: string): Cron {
  if (typeof expression === "string" && FIELDS.test(expression)) {
    try {
      return new Cron(expression, { timezone: "UTC", paused: true, legacyMode: true });
    } catch {
      // Said below.
    }
  }
  throw new InvalidArgumentError(
    `"${String(expression)}" is no cron expression: five fields (minute hour day month weekday), or six with seconds first`,
  );
}

function after(pattern: Cron, wall: number): number | undefined {
  return pattern.nextRun(new Date(wall))?.getTime();
}

function byWall(pattern: Cron, zone: Zone, text: string): Timetable {
  return {
    text,
    next: (date) => {
      const from = date.getTime();
      // What is shown twice comes later than its wall time looks.
      for (let wall = after(pattern, zone.wallOf(from) - OVERLAP_MS); wall !== undefined; wall = after(pattern, wall)) {
        const moment = zone.momentOf(wall);
        if (moment > from) return new Date(moment);
      }
      return undefined;
    },
  };
}

function byRealHours(pattern: Cron, zone: Zone, text: string): Timetable {
  return {
    text,
    next: (date) => {
      const wall = zone.wallOf(date.getTime());
      const next = after(pattern, wall);
      if (next === undefined) return undefined;
      // The days between are days of the wall; within one the hours are real.
      if (next - wall > DAY_MS) return new Date(zone.momentOf(next));
      return new Date(date.getTime() + next - wall);
    },
  };
}

/** Every so many milliseconds, counted from `start`; without it from the epoch. */
export function every(ms: number, start: Date = new Date(0)): Timetable {
  if (!Number.isSafeInteger(ms) || ms < 1)
    throw new InvalidArgumentError(`every: milliseconds must be a whole number of 1 or more, not ${ms}`);
  const first = start.getTime();
  return {
    text: `every ${ms} ms`,
    next: (date) => new Date(Math.max(first, first + (Math.floor((date.getTime() - first) / ms) + 1) * ms)),
  };
}

function once(start: Date | undefined): Timetable {
  let over = false;
  return {
    text: "@once",
    next: (date) => {
      if (start !== undefined) return start > date ? start : undefined;
      if (over) return undefined;
      over = true;
      return new Date(date.getTime() + 1);
    },
  };
}

/** What a schedule without assets comes to; undefined for graphs that only run by hand. */
export function timetableOf(schedule: string | Timetable, startDate: Date | undefined, timezone?: string): Timetable {
  if (typeof schedule !== "string") {
    if (typeof schedule?.next === "function") return schedule;
    throw new InvalidArgumentError("a schedule is a cron expression, a preset, every(ms), assets, or an object with next(after)");
  }
  if (schedule === "@once") return once(startDate);
  if (schedule.startsWith("@") && !Object.hasOwn(PRESETS, schedule)) {
    throw new InvalidArgumentError(
      `the schedule ${schedule} is not known; known are @once, ${Object.keys(PRESETS).join(", ")}, @continuous`,
    );
  }
  return { ...cron(PRESETS[schedule] ?? schedule, { timezone }), text: schedule };
}
