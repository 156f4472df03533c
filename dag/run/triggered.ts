// Runs that tasks of other runs start: `trigger()`. The engine makes them, so no worker is held while one is waited for.

import type { DagDefinition } from "../graph/dag.ts";
import type { Draft } from "../graph/draft.ts";
import { retriable } from "./attempt.ts";
import { atOnce, type Occasion } from "./context.ts";
import type { DagRun } from "./dag-run.ts";
import type { Engine } from "./engine.ts";
import type { Attempt, Ended } from "./runner.ts";

type Definition = DagDefinition<object, unknown>;
/** What a run needs of a graph. */
export type Launched = Pick<Definition, "id" | "graph" | "options">;
type Launch = (definition: Launched, params: object, when: Occasion, engine: Engine) => Promise<DagRun>;
let launch: Launch | undefined;

/** A run of a graph, made by what knows how. */
export function launchRun(definition: Launched, params: object, when: Occasion, engine: Engine): Promise<DagRun> {
  return launch!(definition, params, when, engine);
}

/** Set by what knows how runs are made. */
export function onTriggers(how: Launch): void {
  launch = how;
}

/** One attempt of a task that triggers; `input` has the parameters. */
export function startTriggered(engine: Engine, draft: Draft, input: unknown): Attempt {
  const abort = new AbortController();
  const { timeoutMs, retryOn } = draft.options;
  const late = (): void => abort.abort(new Error(`task ${draft.id} took longer than ${timeoutMs} ms`));
  const timer = timeoutMs === undefined ? undefined : engine.clock.at(engine.clock.now() + timeoutMs, late);
  const ended = runTriggered(engine, draft, input, abort.signal)
    .then((handle): Ended => ({ report: { outcome: "success", told: [] }, handle }))
    .catch((error: unknown): Ended => {
      return { report: { outcome: "error", error, final: !retriable(error, retryOn), told: [] } };
    })
    .finally(() => timer?.cancel());
  return { ended, stop: (reason) => abort.abort(new Error(reason)) };
}

/** Gives a handle of the result: what the run gave, or its id. */
async function runTriggered(engine: Engine, { trigger }: Draft, input: unknown, signal: AbortSignal): Promise<unknown> {
  const { runner, clock } = engine;
  const { definition, wait } = trigger!;
  const params = (await runner.fetch(input)) as object | undefined;
  signal.throwIfAborted();
  const run = await launch!(definition as Definition, params ?? {}, atOnce("manual", new Date(clock.now())), engine);
  if (!wait) return runner.hold(run.id);
  const stop = (): void => void run.cancel((signal.reason as Error).message);
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop, { once: true });
  await run.done();
  signal.removeEventListener("abort", stop);
  signal.throwIfAborted();
  return run.heldResult();
}
