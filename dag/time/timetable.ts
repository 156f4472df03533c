// When a graph runs: cron expressions, steady intervals, presets, or whatever has a `next`.

import { Cron } from "croner";
import { InvalidArgumentError } from "../../sdk/index.ts";
import { Zone } from "./zone.ts";

export interface Timetable {
  /** The first time after `after`; undefined when there is none any more. */
  next(after: Date): Date | undefined;
  /** When a graph is due that has never run; default the first time from then on. */
  first?(now: Date): Date | undefined;
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
  patternOf(expression);
  zoneOf(timezone);
  return new CronTimetable(expression.trim(), timezone);
}

/** Plain data, so that it can be sent to other processes; what it is made of is kept by its text. */
export class CronTimetable implements Timetable {
  readonly expression: string;
  readonly timezone: string;

  constructor(expression: string, timezone: string) {
    this.expression = expression;
    this.timezone = timezone;
  }

  get text(): string {
    return this.timezone === "UTC" ? this.expression : `${this.expression} (${this.timezone})`;
  }

  next(date: Date): Date | undefined {
    const [pattern, zone] = [patternOf(this.expression), zoneOf(this.timezone)];
    const hours = this.expression.split(/\s+/).at(-4) ?? "*";
    return hours.includes("*") ? nextByRealHours(pattern, zone, date) : nextByWall(pattern, zone, date);
  }
}

const patterns = new Map<string, Cron>();
const zones = new Map<string, Zone>();
const KEPT_MAX = 1000;

function patternOf(expression: string): Cron {
  const known = patterns.get(expression);
  if (known !== undefined) return known;
  if (typeof expression === "string" && FIELDS.test(expression)) {
    try {
      const pattern = new Cron(expression, { timezone: "UTC", paused: true, legacyMode: true });
      if (patterns.size >= KEPT_MAX) patterns.clear();
      patterns.set(expression, pattern);
      return pattern;
    } catch {
      // Said below.
    }
  }
  throw new InvalidArgumentError(
    `"${String(expression)}" is no cron expression: five fields (minute hour day month weekday), or six with seconds first`,
  );
}

function zoneOf(name: string): Zone {
  const zone = zones.get(name) ?? new Zone(name);
  zones.set(name, zone);
  return zone;
}

function after(pattern: Cron, wall: number): number | undefined {
  return pattern.nextRun(new Date(wall))?.getTime();
}

function nextByWall(pattern: Cron, zone: Zone, date: Date): Date | undefined {
  const from = date.getTime();
  // What is shown twice comes later than its wall time looks.
  for (let wall = after(pattern, zone.wallOf(from) - OVERLAP_MS); wall !== undefined; wall = after(pattern, wall)) {
    const moment = zone.momentOf(wall);
    if (moment > from) return new Date(moment);
  }
  return undefined;
}

function nextByRealHours(pattern: Cron, zone: Zone, date: Date): Date | undefined {
  const wall = zone.wallOf(date.getTime());
  const next = after(pattern, wall);
  if (next === undefined) return undefined;
  // The days between are days of the wall; within one the hours are real.
  if (next - wall > DAY_MS) return new Date(zone.momentOf(next));
  return new Date(date.getTime() + next - wall);
}

/** Every so many milliseconds, counted from `start`; without it from the start date of the graph, else from the epoch. */
export function every(ms: number, start?: Date): Timetable {
  if (!Number.isSafeInteger(ms) || ms < 1) {
    throw new InvalidArgumentError(`every: milliseconds must be a whole number of 1 or more, not ${ms}`);
  }
  return new IntervalTimetable(ms, start);
}

export class IntervalTimetable implements Timetable {
  readonly ms: number;
  /** Default the start date of the graph, else the epoch. */
  readonly start: Date | undefined;

  constructor(ms: number, start: Date | undefined) {
    this.ms = ms;
    this.start = start;
  }

  get text(): string {
    return `every ${this.ms} ms`;
  }

  next(date: Date): Date {
    const first = this.start?.getTime() ?? 0;
    return new Date(Math.max(first, first + (Math.floor((date.getTime() - first) / this.ms) + 1) * this.ms));
  }
}

/** Once: at its start date, also one that has passed; without one as soon as it is served. */
export class OnceTimetable implements Timetable {
  readonly text = "@once";
  readonly start: Date | undefined;

  constructor(start: Date | undefined) {
    this.start = start;
  }

  first(now: Date): Date {
    return this.start ?? now;
  }

  next(after: Date): Date | undefined {
    return this.start !== undefined && this.start > after ? this.start : undefined;
  }
}

/** What a schedule without assets comes to; undefined for graphs that only run by hand. */
export function timetableOf(schedule: string | Timetable, startDate: Date | undefined, timezone?: string): Timetable {
  if (schedule instanceof IntervalTimetable) return new IntervalTimetable(schedule.ms, schedule.start ?? startDate);
  if (typeof schedule !== "string") {
    if (typeof schedule?.next === "function") return schedule;
    throw new InvalidArgumentError("a schedule is a cron expression, a preset, every(ms), assets, or an object with next(after)");
  }
  if (schedule === "@once") return new OnceTimetable(startDate);
  if (schedule.startsWith("@") && !Object.hasOwn(PRESETS, schedule)) {
    throw new InvalidArgumentError(
      `the schedule ${schedule} is not known; known are @once, ${Object.keys(PRESETS).join(", ")}, @continuous`,
    );
  }
  return cron(PRESETS[schedule] ?? schedule, { timezone });
}
