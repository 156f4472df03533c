// dag(): a graph with a name and a schedule. Its body runs once, when it is made; what it gives is the result of its runs.

import type { Occasion } from "../run/context.ts";
import { bool, type Check, type Checks, checkOptions, object, text, whole } from "../../sdk/contract.ts";
import { GraphError, InvalidArgumentError } from "../../sdk/index.ts";
import { Builder } from "./builder.ts";
import { type Graph, graphOf } from "./graph.ts";
import { type In, Node } from "./node.ts";
import { type Callbacks, calls, checkTaskOptions, type DagTaskOptions, milliseconds } from "./options.ts";
import { all, type AssetExpression, isExpression } from "../time/assets.ts";
import { dateOf } from "../time/dates.ts";
import { justBefore, previousOf, timesAfter } from "../time/schedule.ts";
import { type Timetable, timetableOf } from "../time/timetable.ts";
import { type Deadline, deadlineCheck, type Retention, retentionCheck } from "./run-limits.ts";
import { type StandardSchema, validated } from "./schema.ts";
import { checkId } from "./task.ts";

export interface DagOptions<P extends object = Record<string, never>> {
  /** Defaults, of which a run may give others; or a schema. */
  params?: P | StandardSchema<P> | undefined;
  /** A cron expression (UTC, unless made with `cron()`), a preset, `every(ms)`, assets, '@continuous', or what has a `next`. */
  schedule?: string | Timetable | AssetExpression | readonly AssetExpression[] | undefined;
  /** Inclusive. */
  startDate?: Date | string | undefined;
  /** Inclusive. */
  endDate?: Date | string | undefined;
  /** Runs for all times since the start, not only for those to come. Default false. */
  catchup?: boolean | undefined;
  /** Default 16. */
  maxActiveRuns?: number | undefined;
  defaultTask?: DagTaskOptions | undefined;
  /** Tasks at once in one run. */
  maxActiveTasks?: number | undefined;
  /** Milliseconds for a run. */
  timeoutMs?: number | undefined;
  /** When a run should be over; one that is not goes on, and says so. */
  deadline?: Deadline | undefined;
  /** How long results and record are kept after the run is over. Default 7 days. */
  retention?: Retention | undefined;
  tags?: readonly string[] | undefined;
  doc?: string | undefined;
  onSuccess?: Callbacks | undefined;
  onFailure?: Callbacks | undefined;
}

/** What a run gives for what the body gave: values for nodes. */
export type Result<B> = B extends Node<infer T> ? T
  : B extends (...args: never[]) => unknown ? B
    : B extends object ? { [K in keyof B]: Result<B[K]> } : B;

export type ParamNodes<P> = { readonly [K in keyof P]: Node<P[K]> };

export interface DagDefinition<P extends object, B> {
  readonly id: string;
  readonly options: DagOptions<P>;
  readonly graph: Graph;
  readonly schedule: DagSchedule;
  /** Builds it into the graph that is being built, in the same run. */
  inline(params: { [K in keyof P]?: In<P[K]> }): B;
}

const defaults: Check = (value) => (
  object(value) === undefined || isSchema(value) ? undefined : "an object of defaults, or a schema (standardschema.dev)"
);
const any: Check = () => undefined;

const CHECKS: Checks = {
  // What their own parts check.
  schedule: any, startDate: any, endDate: any, defaultTask: any,
  catchup: bool, maxActiveRuns: whole(1), maxActiveTasks: whole(1), timeoutMs: milliseconds, params: defaults,
  deadline: deadlineCheck, retention: retentionCheck,
  tags: (value) => (Array.isArray(value) && value.every((tag) => text(tag) === undefined) ? undefined : "a list of texts"),
  doc: text, onSuccess: calls, onFailure: calls,
};

export function defineDag<P extends object, B>(
  id: string, options: DagOptions<P>, body: (params: ParamNodes<P>) => B,
): DagDefinition<P, B> {
  checkId("dag", id);
  checkOptions(`dag ${id}`, options, CHECKS);
  if (typeof body !== "function") throw new InvalidArgumentError(`dag ${id}: expected a function, not ${typeof body}`);
  const defaults = checkTaskOptions(`dag ${id}: defaultTask`, options.defaultTask ?? {});
  const graph = naming(id, () => {
    const builder = new Builder(defaults);
    const result = builder.build(() => body(paramNodes(id, options.params)));
    return graphOf(id, builder, result);
  });
  const schedule = scheduleOf(id, options);
  const inline = (params: { [K in keyof P]?: In<P[K]> }): B => {
    checkNames(id, options.params, params);
    const given = { ...defaultsOf(options.params), ...present(params) };
    const here = Builder.here(`dag ${id}`);
    return here.inGroup(here.uniqueId(id), () => body(given as ParamNodes<P>), true);
  };
  return { id, options, graph, schedule, inline };
}

/** What is wrong with a graph says which one it is; the stack stays that of the line that drew it. */
function naming<T>(id: string, build: () => T): T {
  try {
    return build();
  } catch (error) {
    if (!(error instanceof GraphError) || error.message.startsWith("dag ")) throw error;
    const named = new GraphError(`dag ${id}: ${error.message}`);
    named.stack = error.stack?.replace(error.message, named.message);
    throw named;
  }
}

export type DagSchedule =
  | { readonly kind: "none" | "continuous" }
  | {
      readonly kind: "times";
      readonly timetable: Timetable;
      readonly startDate: Date | undefined;
      readonly endDate: Date | undefined;
    }
  | { readonly kind: "assets"; readonly expression: AssetExpression };

/** The next times that it is due. */
export function dueTimes(
  { id, schedule }: Pick<DagDefinition<object, unknown>, "id" | "schedule">,
  { after = new Date(), count = 1 }: { readonly after?: Date | string; readonly count?: number },
): Date[] {
  if (schedule.kind !== "times") return [];
  const { timetable, startDate, endDate } = schedule;
  const from = dateOf(`dag ${id}: after`, after);
  const unstarted = timetable.first?.(from);
  if (unstarted !== undefined) return unstarted >= from ? [unstarted].slice(0, count) : [];
  const first = startDate !== undefined && justBefore(startDate) > from ? justBefore(startDate) : from;
  const times: Date[] = [];
  for (const at of timesAfter(timetable, first, endDate)) {
    if (times.length >= count) break;
    times.push(at);
  }
  return times;
}

/** The span that a run of this time is for: since the time before it. */
function dataIntervalOf(schedule: DagSchedule, end: Date): { readonly start: Date; readonly end: Date } {
  const start = schedule.kind === "times" ? previousOf(schedule.timetable, end) : undefined;
  return { start: start ?? end, end };
}

/** What a run of a time of the schedule is made for. */
export function occasionOf(schedule: DagSchedule, type: "scheduled" | "backfill", logicalDate: Date): Occasion {
  const isTimes = schedule.kind === "times";
  const next = isTimes ? schedule.timetable.next(logicalDate) : undefined;
  const isOver = next !== undefined && isTimes && schedule.endDate !== undefined && next > schedule.endDate;
  return { type, logicalDate, dataInterval: dataIntervalOf(schedule, logicalDate), nextDate: isOver ? undefined : next };
}

function scheduleOf(id: string, { schedule, startDate, endDate }: DagOptions<object>): DagSchedule {
  const start = startDate === undefined ? undefined : dateOf(`dag ${id}: startDate`, startDate);
  const end = endDate === undefined ? undefined : dateOf(`dag ${id}: endDate`, endDate);
  if (start !== undefined && end !== undefined && start > end)
    throw new InvalidArgumentError(`dag ${id}: startDate is after endDate`);
  if (schedule === undefined) return { kind: "none" };
  if (schedule === "@continuous") return { kind: "continuous" };
  if (isExpression(schedule)) return { kind: "assets", expression: schedule };
  if (Array.isArray(schedule)) return { kind: "assets", expression: all(...(schedule as readonly AssetExpression[])) };
  return { kind: "times", timetable: timetableOf(schedule as string | Timetable, start), startDate: start, endDate: end };
}

/** Some of them are functions. */
function isSchema(params: unknown): params is StandardSchema<object> {
  return ((typeof params === "object" && params !== null) || typeof params === "function") && "~standard" in params;
}

function defaultsOf(params: object | undefined): object {
  return params === undefined || isSchema(params) ? {} : params;
}

/** @throws InvalidArgumentError for a name that the graph has no parameter of. */
function checkNames(id: string, params: object | undefined, given: unknown): void {
  if (typeof given !== "object" || given === null) {
    throw new InvalidArgumentError(`dag ${id}: params must be an object, not ${typeof given}`);
  }
  if (isSchema(params)) return;
  for (const name of Object.keys(given)) {
    if (params !== undefined && Object.hasOwn(params, name)) continue;
    const known = Object.keys(params ?? {}).join(", ") || "none";
    throw new InvalidArgumentError(`dag ${id} has no parameter ${name}; it has ${known}`);
  }
}

/** What a run has as parameters. @throws InvalidArgumentError for what is not known, or what the schema refuses. */
export async function paramsOf(id: string, params: object | undefined, given: object): Promise<Record<string, unknown>> {
  checkNames(id, params, given);
  if (!isSchema(params)) return { ...params, ...present(given) };
  return (await validated(`dag ${id}: its parameters are refused`, "params", params, given)) as Record<string, unknown>;
}

/** Undefined is not given. */
function present(given: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

function paramNodes<P extends object>(id: string, params: P | StandardSchema<P> | undefined): ParamNodes<P> {
  const names = Object.keys(defaultsOf(params));
  const nodes: Record<string, Node<unknown>> = Object.fromEntries(names.map((name) => [name, new Node({ kind: "param", name })]));
  return new Proxy(nodes, {
    get(target, name) {
      if (typeof name === "string" && Object.hasOwn(target, name)) return target[name];
      if (name === "then" || name === "toJSON") return undefined;
      if (typeof name === "symbol") throw new GraphError(`dag ${id}: params are not there yet: give them to tasks`);
      // Which names a schema has is told at run time.
      if (isSchema(params)) return (target[name] = new Node({ kind: "param", name }));
      throw new GraphError(`dag ${id} has no parameter ${name}; it has ${Object.keys(target).join(", ") || "none"}`);
    },
  }) as ParamNodes<P>;
}

