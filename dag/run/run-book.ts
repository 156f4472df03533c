// What people ask of runs and do to them, as plain data: the one face that the command line and the HTTP API work on, wherever
// the runs are.

import { InvalidArgumentError, isInitialized } from "../../sdk/index.ts";
import { taskOf } from "../engine/plan.ts";
import { isOver, isTerminal } from "../engine/states.ts";
import { recordsOf } from "../journal/run-library.ts";
import type { RunSummary } from "./context.ts";
import type { EventPage } from "./event-log.ts";
import type { TaskInstanceRow } from "./rows.ts";
import { clear, getRun, mark, resume, runs } from "./run-registry.ts";
import type { Why } from "./why.ts";

export interface RunRow {
  readonly id: string;
  readonly dagId: string;
  readonly type: RunSummary["type"];
  readonly state: string;
  readonly logicalDate: Date;
  readonly startedAt?: Date | undefined;
  readonly endedAt?: Date | undefined;
}

export interface RunDetail extends RunRow {
  readonly dataInterval: RunSummary["dataInterval"];
  readonly params: Readonly<Record<string, unknown>>;
  /** How many instances are in which state. */
  readonly tasks: Readonly<Record<string, number>>;
}

export interface RunFilter {
  readonly dagId?: string | undefined;
  readonly state?: string | undefined;
  /** Default 100, at most 10,000. */
  readonly limit?: number | undefined;
  /** So many of them are left out. */
  readonly offset?: number | undefined;
}

export interface EventsFrom {
  readonly from?: number | undefined;
  readonly limit?: number | undefined;
  /** How long to wait for the next one. Default 0, at most 60000. */
  readonly waitMs?: number | undefined;
}

export interface RunBook {
  /** Newest first. */
  runs(filter?: RunFilter): Promise<RunRow[]>;
  run(id: string): Promise<RunDetail>;
  tasks(id: string): Promise<TaskInstanceRow[]>;
  events(id: string, options?: EventsFrom): Promise<EventPage>;
  why(id: string, task: string): Promise<Why>;
  /** @throws DagRunFailedError. */
  result(id: string): Promise<unknown>;
  /** Runs again what has not succeeded. */
  resume(id: string): Promise<RunRow>;
  /** Runs tasks again, and what comes after them; without `task` those that failed. */
  clear(id: string, what?: ClearWhat): Promise<RunRow>;
  mark(id: string, task: string, state: MarkState): Promise<RunRow>;
  cancel(id: string): Promise<RunRow>;
}

export interface ClearWhat {
  readonly task?: string | readonly string[] | undefined;
  /** Default true. */
  readonly downstream?: boolean | undefined;
}

export type MarkState = "success" | "failed" | "skipped";

export const BOOK_METHODS = [
  "runs", "run", "tasks", "events", "why", "result", "resume", "clear", "mark", "cancel",
] as const satisfies readonly (keyof RunBook)[];

/** A book whose pages are somewhere else. */
export function bookBy(ask: (method: keyof RunBook, args: readonly unknown[]) => Promise<unknown>): RunBook {
  return Object.fromEntries(
    BOOK_METHODS.map((method) => [method, (...args: readonly unknown[]) => ask(method, args)]),
  ) as unknown as RunBook;
}

const ROWS = 100;
const ROWS_MAX = 10_000;
const EVENTS_MAX = 5000;
const WAIT_MAX_MS = 60_000;

/** Of the cluster's runs, and of those of this process that are not kept. */
export const runBook: RunBook = {
  async runs({ dagId, state, limit = ROWS, offset = 0 } = {}) {
    const most = count("limit", limit, 1, ROWS_MAX);
    const after = count("offset", offset, 0, Number.MAX_SAFE_INTEGER);
    const found = (await rowsOf(dagId)).filter((run) => state === undefined || run.state === state);
    return found.reverse().slice(after, after + most);
  },
  async run(id) {
    const run = await getRun(id);
    const tasks: Record<string, number> = {};
    for (const { state } of await run.tasks()) tasks[state] = (tasks[state] ?? 0) + 1;
    return { ...rowOf(run), dataInterval: run.dataInterval, params: run.params, tasks };
  },
  tasks: async (id) => (await getRun(id)).tasks(),
  async events(id, { from = 0, limit = EVENTS_MAX, waitMs = 0 } = {}) {
    const run = await getRun(id);
    const most = count("limit", limit, 1, EVENTS_MAX);
    return run.page(count("from", from, 0, Number.MAX_SAFE_INTEGER), most, count("waitMs", waitMs, 0, WAIT_MAX_MS));
  },
  why: async (id, task) => (await getRun(id)).explain(task),
  result: async (id) => (await getRun(id)).result(),
  async resume(id) {
    refuseRunning(id);
    return rowOf(await resume(id));
  },
  async clear(id, { task, downstream = true } = {}) {
    refuseRunning(id);
    const run = await getRun(id);
    const ids = task ?? [...new Set((await run.tasks()).filter(hasFailed).map((row) => taskOf(row.id)))];
    if (ids.length === 0) throw new InvalidArgumentError(`run ${id} has no task that failed: name the tasks to run again`);
    return rowOf(await clear(id, { task: ids, downstream }));
  },
  async mark(id, task, state) {
    refuseRunning(id);
    return rowOf(await mark(id, task, state));
  },
  async cancel(id) {
    const run = await getRun(id);
    await run.cancel();
    return rowOf(run);
  },
};

/** Who asks is not kept waiting for the end of the run. */
function refuseRunning(id: string): void {
  const here = runs.find(id);
  if (here === undefined || here.isLost || isOver(here.state)) return;
  throw new InvalidArgumentError(`run ${id} is ${here.state}: wait until it is over, or cancel it`);
}

function hasFailed({ state }: TaskInstanceRow): boolean {
  return isTerminal(state) && state !== "success" && state !== "skipped";
}

/** Oldest first: what is kept of all runs, and those of this process that are not kept. */
async function rowsOf(dagId: string | undefined): Promise<RunRow[]> {
  const rows = new Map<string, RunRow>();
  const records = isInitialized() ? recordsOf(dagId) : [];
  for await (const record of records) rows.set(record.id, { ...rowOf(record), startedAt: record.createdAt });
  for (const run of runs.all(dagId)) rows.set(run.id, rowOf(run));
  return [...rows.values()].sort((a, b) => (a.startedAt?.getTime() ?? 0) - (b.startedAt?.getTime() ?? 0));
}

function rowOf({ id, dagId, type, state, logicalDate, startedAt, endedAt }: RunRow): RunRow {
  return { id, dagId, type, state, logicalDate, startedAt, endedAt };
}

function count(name: string, value: number, least: number, most: number): number {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
  throw new InvalidArgumentError(`${name} must be a whole number from ${least} to ${most}, not ${String(value)}`);
}
