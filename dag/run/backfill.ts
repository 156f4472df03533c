// Runs of a graph for times that have passed.

import { randomBytes } from "node:crypto";
import { InvalidArgumentError } from "../../sdk/index.ts";
import { taskOf } from "../engine/plan.ts";
import { type DagDefinition, occasionOf } from "../graph/dag.ts";
import { dateOf } from "../time/dates.ts";
import { timesWithin } from "../time/schedule.ts";
import type { Occasion } from "./context.ts";
import type { DagRun } from "./dag-run.ts";
import { runs } from "./run-registry.ts";

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

export type RunMaker = (when: Occasion) => Promise<DagRun>;

const ACTIVE_RUNS = 10;

export function planBackfill(definition: DagDefinition<object, unknown>, options: BackfillOptions): PlannedRun[] {
  const { id, schedule } = definition;
  if (schedule.kind !== "times")
    throw new InvalidArgumentError(`dag ${id} has no schedule of times: there is nothing to fill in`);
  const [from, to] = [dateOf("backfill: from", options.from), dateOf("backfill: to", options.to)];
  if (from > to) throw new InvalidArgumentError(`backfill: from is after to`);
  const { reprocess = "none", maxActiveRuns = ACTIVE_RUNS } = options;
  if (!["none", "failed", "completed"].includes(reprocess)) {
    throw new InvalidArgumentError(`backfill: reprocess must be 'none', 'failed' or 'completed', not ${String(reprocess)}`);
  }
  if (!Number.isSafeInteger(maxActiveRuns) || maxActiveRuns < 1) {
    throw new InvalidArgumentError(`backfill: maxActiveRuns must be a whole number of 1 or more, not ${String(maxActiveRuns)}`);
  }
  const times = timesWithin(schedule.timetable, from, to);
  if (options.reverse === true) times.reverse();
  return times.map((logicalDate) => ({ logicalDate, action: actionFor(runAt(id, logicalDate), reprocess) }));
}

export function startBackfill(definition: DagDefinition<object, unknown>, options: BackfillOptions, make: RunMaker): Backfill {
  const planned = planBackfill(definition, options).filter(({ action }) => action !== "skip");
  const begun: DagRun[] = [];
  const next = planned.values();
  const work = async (): Promise<void> => {
    for (const { logicalDate, action } of next) {
      const run =
        action === "create"
          ? await make(occasionOf(definition.schedule, "backfill", logicalDate))
          : await again(definition.id, logicalDate);
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
async function again(dagId: string, logicalDate: Date): Promise<DagRun> {
  const run = runAt(dagId, logicalDate) as DagRun;
  const ids = new Set((await run.tasks()).map(({ id }) => taskOf(id)));
  return run.clear([...ids]);
}

function runAt(dagId: string, logicalDate: Date): DagRun | undefined {
  return runs.all(dagId).findLast((run) => run.type !== "manual" && run.logicalDate.getTime() === logicalDate.getTime());
}

function actionFor(run: DagRun | undefined, reprocess: "none" | "failed" | "completed"): PlannedRun["action"] {
  if (run === undefined) return "create";
  const failed = run.state === "failed" || run.state === "cancelled";
  const wanted = reprocess === "completed" ? failed || run.state === "success" : reprocess === "failed" && failed;
  return wanted ? "reprocess" : "skip";
}
