// Sensors: tasks that wait for something outside, and hold no worker between two looks.

import { access } from "node:fs/promises";
import { InvalidArgumentError } from "../../sdk/index.ts";
import type { Node } from "../graph/node.ts";
import type { StoredFile } from "../stores/store.ts";
import { type ListInputs, runList } from "./files.ts";
import type { DagTaskOptions } from "../graph/options.ts";
import { task } from "../graph/task.ts";
import { ctx, DeferSignal, FailSignal } from "../run/context.ts";
import { type AssetEvent, type AssetExpression, holds, isExpression, lastEventOf, namesIn } from "../time/assets.ts";
import { dateOf } from "../time/dates.ts";

export interface SensorOptions extends Omit<DagTaskOptions, "timeoutMs"> {
  /** Between two looks. Default 60000. */
  readonly everyMs?: number | undefined;
  /** Of all the waiting; it is not retried. Default a week. */
  readonly timeoutMs?: number | undefined;
  /** Skipped, not failed, when the time is over. */
  readonly softFail?: boolean | undefined;
}

const EVERY_MS = 60_000;
const WEEK_MS = 7 * 86_400_000;

/** Looks until what it sees is truthy; that is its result. */
export function sensor<T>(
  id: string,
  look: () => T | Promise<T>,
  options: SensorOptions = {},
): Node<Exclude<Awaited<T>, false | undefined | null>> {
  const { everyMs = EVERY_MS, timeoutMs = WEEK_MS, softFail = false, ...rest } = options;
  if (typeof look !== "function") throw new InvalidArgumentError(`sensor ${id}: expected a function that looks`);
  if (!(everyMs > 0)) throw new InvalidArgumentError(`sensor ${id}: everyMs must be above 0, not ${String(everyMs)}`);
  if (!(timeoutMs > 0)) throw new InvalidArgumentError(`sensor ${id}: timeoutMs must be above 0, not ${String(timeoutMs)}`);
  return task(
    id,
    async () => {
      const seen = await look();
      if (seen) return seen;
      return waitOn(everyMs, timeoutMs, softFail);
    },
    rest,
  )() as never;
}

export function waitOn(everyMs: number, timeoutMs: number, softFail: boolean): never {
  const { now, since, skip } = ctx();
  const [at, end] = [now().getTime(), since.getTime() + timeoutMs];
  if (at >= end && softFail) skip(`nothing was seen within ${timeoutMs} ms`);
  if (at >= end) throw new FailSignal(`nothing was seen within ${timeoutMs} ms`);
  throw new DeferSignal(Math.min(at + everyMs, end));
}

/**
 * Waits until there is a file, or folder, of this path on the worker's machine, and gives the path; or until there are files
 * in a store, and gives those.
 */
export function fileSensor(id: string, what: string, options?: SensorOptions): Node<string>;
export function fileSensor(id: string, what: ListInputs, options?: SensorOptions): Node<StoredFile[]>;
export function fileSensor(id: string, what: string | ListInputs, options: SensorOptions = {}): Node<unknown> {
  if ((typeof what !== "string" || what === "") && (typeof what !== "object" || what === null)) {
    throw new InvalidArgumentError(`fileSensor ${id}: expected a path, or { store, pattern }`);
  }
  if (typeof what !== "string") {
    return sensor(id, async () => {
      const files = await runList(what);
      return files.length > 0 && files;
    }, options);
  }
  return sensor(id, async () => {
    try {
      await access(what);
      return what;
    } catch {
      return undefined;
    }
  }, options);
}

/**
 * Waits for an event of the asset, or until the condition over assets holds, counting events since the run's interval began;
 * for runs by hand, since they were asked for. Gives the newest event of each that had one.
 */
export function assetSensor(
  id: string, what: AssetExpression, options: SensorOptions & { readonly since?: Date | string | undefined } = {},
): Node<AssetEvent[]> {
  if (!isExpression(what)) throw new InvalidArgumentError(`assetSensor ${id}: expected an asset, or a condition over assets`);
  const { since, ...rest } = options;
  const from = since === undefined ? undefined : dateOf(`assetSensor ${id}: since`, since);
  const names = namesIn(what);
  return sensor(id, async () => {
    const start = from ?? ctx().run.dataInterval.start;
    const events = (await Promise.all(names.map(lastEventOf))).filter((event) => event !== undefined && event.at >= start);
    const seen = new Set(events.map((event) => event!.asset));
    return holds(what, (name) => seen.has(name)) ? (events as AssetEvent[]) : undefined;
  }, rest);
}

/** Waits until a time. */
export function timeSensor(id: string, at: Date | string, options: SensorOptions = {}): Node<Date> {
  const time = dateOf(`timeSensor ${id}: the time`, at);
  const { everyMs: _everyMs, timeoutMs: _timeoutMs, softFail: _softFail, ...rest } = options;
  return task(id, () => {
    ctx().sleepUntil(time);
    return time;
  }, rest)();
}
