// dependsOnPast: a task waits for itself in the run before, until it has succeeded there or was skipped.

import { isInitialized, NotFoundError } from "../../sdk/index.ts";
import { taskOf } from "../engine/plan.ts";
import { isOver } from "../engine/states.ts";
import { recordsOf } from "../journal/run-library.ts";
import type { DagRun } from "./dag-run.ts";
import { getRun, runs } from "./run-registry.ts";

interface Before {
  readonly id: string;
  readonly logicalDate: Date;
}

/** Between two looks at a run that is over: it may be run again. */
const LOOK_MS = 1000;
const EVENTS = 1000;

/** Tasks of a run that is to begin wait for the run before it, if there is one. */
export async function dependOnPast(run: DagRun): Promise<void> {
  const tasks = run.drafts.filter(({ options }) => options.dependsOnPast === true).map(({ place }) => place);
  const before = tasks.length === 0 ? undefined : await runBefore(run);
  if (before !== undefined) run.past = { tasks, wait: () => void waitForPast(run, before, tasks) };
}

/** Those of a run that is gone on with. */
export async function dependOnPastAgain(run: DagRun): Promise<void> {
  const tasks = run.drafts.map(({ place }) => place).filter((place) => run.isBlocked(place));
  const before = tasks.length === 0 ? undefined : await runBefore(run);
  if (before !== undefined) void waitForPast(run, before, tasks);
  else if (tasks.length > 0) run.pastIsOver(tasks);
}

/** The run of the same graph whose time is the latest before this one's. */
async function runBefore(run: DagRun): Promise<string | undefined> {
  let latest: Before | undefined;
  const look = (one: Before): void => {
    if (one.logicalDate < run.logicalDate && (latest === undefined || one.logicalDate > latest.logicalDate)) latest = one;
  };
  for (const one of runs.all(run.dagId)) if (one.isBeside(run)) look(one);
  if (!run.isLocal && isInitialized()) for await (const record of recordsOf(run.dagId)) look(record);
  return latest?.id;
}

/** Lets tasks go as they have passed in the run before; settles when none waits any more. */
async function waitForPast(run: DagRun, before: string, tasks: readonly number[]): Promise<void> {
  const waiting = new Map(tasks.map((task) => [task, run.drafts[task].id]));
  for (let seen = 0; waiting.size > 0 && !isOver(run.state) && !run.isLost;) {
    try {
      const past = await find(before);
      const passed = [...waiting].filter(([, id]) => past === undefined || hasPassed(past, id)).map(([task]) => task);
      for (const task of passed) waiting.delete(task);
      if (passed.length > 0) run.pastIsOver(passed);
      if (waiting.size === 0 || past === undefined) return;
      const page = await past.page(seen, EVENTS, LOOK_MS);
      seen = page.next;
      if (page.over) await pause();
    } catch (error) {
      // It is asked again, for as long as the run is there.
      process.emitWarning(`run ${run.id} can't look at the run before it: ${String(error)}`);
      await pause();
    }
  }
}

const pause = (): Promise<void> => new Promise((resolve) => { setTimeout(resolve, LOOK_MS).unref(); });

/** Undefined when it is not kept any more. */
async function find(id: string): Promise<DagRun | undefined> {
  const here = runs.find(id);
  if (here?.isLocal === true) return here;
  return getRun(id).catch((error: unknown) => {
    if (error instanceof NotFoundError) return undefined;
    throw error;
  });
}

/** A graph that had no such task waits for nothing. */
function hasPassed(past: DagRun, id: string): boolean {
  const draft = past.drafts.find((one) => one.id === id);
  if (draft === undefined) return true;
  // How many instances there are behind gates is known when all of them are open.
  if (draft.scope.length > 0 && !isOver(past.state)) return false;
  return past.rows().every((row) => taskOf(row.id) !== id || row.state === "success" || row.state === "skipped");
}
