// Runs of a graph for times that have passed.

import { randomBytes } from "node:crypto";
import { bool, type Check, type Checks, checkOptions, oneOf, whole } from "../../sdk/contract.ts";
import { InvalidArgumentError, isInitialized } from "../../sdk/index.ts";
import { taskOf } from "../engine/plan.ts";
import type { RunState } from "../engine/states.ts";
import { type DagDefinition, occasionOf } from "../graph/dag.ts";
import { recordsOf } from "../journal/run-library.ts";
import { dateOf } from "../time/dates.ts";
import { timesWithin } from "../time/schedule.ts";
import type { Occasion } from "./context.ts";
import type { DagRun } from "./dag-run.ts";
import { clear, getRun, runs } from "./run-registry.ts";

type Definition = DagDefinition<object, unknown>;

export interface BackfillOptions {
  /** First and last time, both inclusive. */
  readonly from: Date | string;
  readonly to: Date | string;
  /** What to do about times that have a run already. Default 'none'. */
  readonly reprocess?: "none" | "failed" | "completed" | undefined;
  /** Latest first. */
  readonly reverse?: boolean | undefined;
  /** Default 10. */
  readonly maxActiveRuns?: number | undefined;
}

export interface PlannedRun {
  readonly logicalDate: Date;
  readonly action: "create" | "reprocess" | "skip";
}

export interface Backfill {
  readonly id: string;
  /** Those begun so far. */
  readonly runs: readonly DagRun[];
  /** Settles when all of them are over. */
  readonly done: Promise<void>;
}

/** Undefined when somebody else has made the run of that time. */
export type RunMaker = (when: Occasion) => Promise<DagRun | undefined>;

const ACTIVE_RUNS = 10;

const date: Check = (value) => {
  try {
    dateOf("", value as Date);
    return undefined;
  } catch {
    return "a Date or an ISO text";
  }
};
const CHECKS: Checks = {
  from: date, to: date, reprocess: oneOf("none", "failed", "completed"), reverse: bool, maxActiveRuns: whole(1), dryRun: bool,
};

interface Planned extends PlannedRun {
  /** The run that the time has. */
  readonly runId: string | undefined;
}

export async function planBackfill(definition: Definition, options: BackfillOptions): Promise<PlannedRun[]> {
  return (await planOf(definition, options)).map(({ logicalDate, action }) => ({ logicalDate, action }));
}

async function planOf({ id, schedule }: Definition, options: BackfillOptions): Promise<Planned[]> {
  if (schedule.kind !== "times")
    throw new InvalidArgumentError(`dag ${id} has no schedule of times: there is nothing to fill in`);
  const { reprocess = "none" } = checkOptions("backfill", options, CHECKS);
  const [from, to] = [dateOf("backfill: from", options.from), dateOf("backfill: to", options.to)];
  if (from > to) throw new InvalidArgumentError("backfill: from is after to");
  const times = timesWithin(schedule.timetable, from, to);
  if (options.reverse === true) times.reverse();
  const known = await runsByTime(id);
  return times.map((logicalDate) => {
    const run = known.get(logicalDate.getTime());
    return { logicalDate, action: actionFor(run?.state, reprocess), runId: run?.id };
  });
}

export async function startBackfill(definition: Definition, options: BackfillOptions, make: RunMaker): Promise<Backfill> {
  const planned = (await planOf(definition, options)).filter(({ action }) => action !== "skip");
  const begun: DagRun[] = [];
  const next = planned.values();
  const work = async (): Promise<void> => {
    for (const { logicalDate, runId } of next) {
      const when = occasionOf(definition.schedule, "backfill", logicalDate);
      const run = runId === undefined ? await make(when) : await again(runId);
      if (run === undefined) continue;
      begun.push(run);
      await run.done();
    }
  };
  const workers = Array.from({ length: Math.min(options.maxActiveRuns ?? ACTIVE_RUNS, planned.length) }, work);
  const done = Promise.all(workers).then(() => undefined);
  done.catch(() => {});
  return { id: `backfill__${randomBytes(4).toString("hex")}`, runs: begun, done };
}

/** All of it again, in the run that is there. */
async function again(runId: string): Promise<DagRun> {
  const rows = await (await getRun(runId)).tasks();
  return clear(runId, { task: [...new Set(rows.map(({ id }) => taskOf(id)))] });
}

/** Runs that times of the schedule have, whoever made them. */
async function runsByTime(dagId: string): Promise<Map<number, { readonly id: string; readonly state: RunState }>> {
  const found = new Map<number, { readonly id: string; readonly state: RunState }>();
  const look = ({ id, type, state, logicalDate }: Pick<DagRun, "id" | "type" | "state" | "logicalDate">): void => {
    if (type === "scheduled" || type === "backfill") found.set(logicalDate.getTime(), { id, state });
  };
  if (isInitialized()) for await (const record of recordsOf(dagId)) look(record);
  for (const run of runs.all(dagId)) if (!run.isLost) look(run);
  return found;
}

function actionFor(state: RunState | undefined, reprocess: "none" | "failed" | "completed"): PlannedRun["action"] {
  if (state === undefined) return "create";
  const failed = state === "failed" || state === "cancelled";
  const wanted = reprocess === "completed" ? failed || state === "success" : reprocess === "failed" && failed;
  return wanted ? "reprocess" : "skip";
}
