// How an attempt of a task begins, by its kind.

import type { RunEffect } from "../engine/events.ts";
import { type Coords, instanceName } from "../engine/plan.ts";
import type { RunMachine } from "../engine/run-machine.ts";
import { type Instance, nextAttemptOf, spentOf } from "../engine/slots.ts";
import type { Draft } from "../graph/draft.ts";
import type { RunSummary } from "./context.ts";
import type { Engine } from "./engine.ts";
import type { Resolver } from "./resolver.ts";
import { type Attempt, endedAttempt } from "./runner.ts";
import { startTriggered, triggeredId } from "./triggered.ts";
import type { UnderWay } from "./under-way.ts";

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

/** Who carries the run out. */
interface Carrier {
  readonly engine: Engine;
  readonly run: RunSummary;
  readonly machine: RunMachine;
  readonly resolver: Resolver;
}

/** How long a run waits for the end of what its tasks began elsewhere. */
const CALL_OFF_MS = 10_000;

/**
 * Stops an attempt. An operator that waits between two polls has none: what it began elsewhere is called off by one of its own,
 * which is given; else undefined.
 */
export function stopAttempt(
  { engine, run, machine, resolver }: Carrier, draft: Draft, { coords, reason }: Extract<RunEffect, { kind: "stop" }>,
  underWay: UnderWay | undefined,
): Promise<unknown> | undefined {
  underWay?.attempt.stop(reason);
  const instance = machine.instance(draft.place, coords)!;
  const isBetween = instance.hasDeferred === true || (underWay?.resumed === true && !underWay.hasStarted);
  if (!draft.callsOff || !isBetween) return undefined;
  const { clock } = engine;
  const { ended } = engine.runner.start(draft, {
    args: resolver.args(draft, coords), run, task: instanceName(draft.id, coords), attempt: nextAttemptOf(instance),
    since: instance.since ?? clock.now(), resumed: true, calledOff: true,
  });
  return new Promise<void>((resolve) => {
    const timer = clock.at(clock.now() + CALL_OFF_MS, resolve);
    void ended.then(() => timer.cancel()).then(resolve, resolve);
  });
}

/** The next time of its graph has not come yet. Runs that are for no time of a schedule always are the latest. */
function isLatest({ nextDate }: RunSummary, now: number): boolean {
  return nextDate === undefined || now < nextDate.getTime();
}
