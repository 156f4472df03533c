// How an attempt of a task begins, by its kind.

import { type Coords, instanceName } from "../engine/plan.ts";
import { type Instance, nextAttemptOf, spentOf } from "../engine/slots.ts";
import type { Draft } from "../graph/draft.ts";
import type { RunSummary } from "./context.ts";
import type { Engine } from "./engine.ts";
import { type Attempt, endedAttempt } from "./runner.ts";
import { startTriggered, triggeredId } from "./triggered.ts";

/** `instance`: as it was before this attempt; `args`: asked for when they are needed. */
export function startAttempt(
  engine: Engine, run: RunSummary, draft: Draft, coords: Coords, instance: Instance, args: () => readonly unknown[],
): Attempt {
  const now = engine.clock.now();
  const task = instanceName(draft.id, coords);
  if (draft.kind === "latestOnly") return endedAttempt({ outcome: "success", passed: isLatest(run, now), told: [] });
  if (draft.kind === "trigger") {
    return startTriggered(engine, draft, { input: args()[0], id: triggeredId(run, task.id, spentOf(instance)) });
  }
  return engine.runner.start(draft, {
    args: args(), run, task,
    attempt: nextAttemptOf(instance), since: instance.since ?? now, resumed: instance.hasDeferred === true,
    ...(draft.kind === "branch" ? { keys: Object.keys(draft.choices) } : {}),
  });
}

/** The next time of its graph has not come yet. Runs that are for no time of a schedule always are the latest. */
function isLatest({ nextDate }: RunSummary, now: number): boolean {
  return nextDate === undefined || now < nextDate.getTime();
}
