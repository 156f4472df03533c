// Runs that tasks of other runs start: `trigger()`. The engine makes them, so no worker is held while one is waited for.
//
// Such a run is named after the attempt that starts it, so there is one: who goes on with the other run after its engine has
// died finds the run that was made before, and sees to it that it goes on too.

import { createHash } from "node:crypto";
import type { DagDefinition } from "../graph/dag.ts";
import type { Draft } from "../graph/draft.ts";
import { retriable } from "./attempt.ts";
import { atOnce, type Occasion, type RunSummary } from "./context.ts";
import type { DagRun } from "./dag-run.ts";
import type { Engine } from "./engine.ts";
import type { Attempt, Ended } from "./runner.ts";

type Definition = DagDefinition<object, unknown>;
/** What a run needs of a graph. */
export type Launched = Pick<Definition, "id" | "graph" | "options">;
/** How runs are made. */
interface Launch {
  start(definition: Launched, params: object, when: Occasion, engine: Engine): Promise<DagRun>;
  /** Once an id, however often and wherever it is asked for. */
  once(id: string, definition: Launched, params: object, when: Occasion, engine: Engine): Promise<Triggered>;
}
let launch: Launch | undefined;

export interface Triggered {
  /** This process's, when it carries the run out; else it is that when the one that does is gone, or when the run is over. */
  readonly here: Promise<DagRun>;
  /** Ends it, wherever it is. */
  cancel(reason: string): Promise<void>;
}

/** Parameters of the run, as an input, and its id. */
export interface Trigger {
  readonly input: unknown;
  readonly id: string;
}

/** A run of a graph, made by what knows how. */
export function launchRun(definition: Launched, params: object, when: Occasion, engine: Engine): Promise<DagRun> {
  return launch!.start(definition, params, when, engine);
}

/** Set by what knows how runs are made. */
export function onLaunches(how: Launch): void {
  launch = how;
}

/** `spent`: attempts of the task before this one, however many processes have had a part in each. */
export function triggeredId({ id, logicalDate }: RunSummary, task: string, spent: number): string {
  const digest = createHash("sha256").update(JSON.stringify([id, task, spent])).digest("hex");
  return `manual__${logicalDate.toISOString()}__${digest.slice(0, 16)}`;
}

/** One attempt of a task that triggers. */
export function startTriggered(engine: Engine, draft: Draft, trigger: Trigger): Attempt {
  const abort = new AbortController();
  const { timeoutMs, retryOn } = draft.options;
  const late = (): void => abort.abort(new Error(`task ${draft.id} took longer than ${timeoutMs} ms`));
  const timer = timeoutMs === undefined ? undefined : engine.clock.at(engine.clock.now() + timeoutMs, late);
  const ended = runTriggered(engine, draft, trigger, abort.signal)
    .then((handle): Ended => ({ report: { outcome: "success", told: [] }, handle }))
    .catch((error: unknown): Ended => {
      return { report: { outcome: "error", error, final: !retriable(error, retryOn), told: [] } };
    })
    .finally(() => timer?.cancel());
  return { ended, stop: (reason) => abort.abort(new Error(reason)) };
}

/** Gives a handle of the result: what the run gave, or its id. */
async function runTriggered(engine: Engine, { trigger }: Draft, { input, id }: Trigger, signal: AbortSignal): Promise<unknown> {
  const { runner, clock } = engine;
  const { definition, wait } = trigger!;
  const params = (await runner.fetch(input)) as object | undefined;
  signal.throwIfAborted();
  const when = atOnce("manual", new Date(clock.now()));
  const { here, cancel } = await launch!.once(id, definition as Definition, params ?? {}, when, engine);
  if (!wait) {
    here.catch((error: unknown) => process.emitWarning(`run ${id} was triggered and can't be gone on with: ${String(error)}`));
    return runner.hold(id);
  }
  const aborted = stopOf(signal, cancel);
  const run = await Promise.race([here, aborted]);
  await Promise.race([run.done(), aborted]);
  signal.throwIfAborted();
  return run.heldResult();
}

/** Rejects when the attempt is to stop and the run has ended for it. */
async function stopOf(signal: AbortSignal, cancel: Triggered["cancel"]): Promise<never> {
  if (!signal.aborted) await new Promise((resolve) => { signal.addEventListener("abort", resolve, { once: true }); });
  await cancel((signal.reason as Error).message);
  throw signal.reason;
}
