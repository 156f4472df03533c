// dag(): what users define, run and test.

import { randomBytes } from "node:crypto";
import { type DagOptions, type DagDefinition, checkParams, defineDag, type ParamNodes, type Result } from "./graph/dag.ts";
import { Builder } from "./graph/builder.ts";
import type { In } from "./graph/node.ts";
import { ClusterRunner } from "./run/cluster-runner.ts";
import { systemClock, VirtualClock } from "./run/clock.ts";
import type { RunSummary } from "./run/context.ts";
import { DagRun } from "./run/dag-run.ts";
import { Engine } from "./run/engine.ts";
import { LocalRunner } from "./run/local-runner.ts";

export interface TestOptions {
  /** Where the clock stands at the start. Default the time. */
  readonly now?: Date | string | undefined;
}

export interface Dag<P extends object, B> {
  /** Built into the graph that is being built: a part of the same run. */
  (params?: { [K in keyof P]?: In<P[K]> }): B;
  readonly id: string;
  readonly options: DagOptions<P>;
  /** What may be wrong with the graph, in words. */
  readonly warnings: readonly string[];
  /** Starts a run on the cluster. */
  run(params?: Partial<P>): Promise<DagRun<Result<B>>>;
  /** Runs it in this process, without a cluster; the clock jumps over waits. Gives the ended run. */
  test(params?: Partial<P>, options?: TestOptions): Promise<DagRun<Result<B>>>;
}

let clusterEngine: Engine | undefined;

export function dag<P extends object, B>(id: string, options: DagOptions<P>, body: (params: ParamNodes<P>) => B): Dag<P, B>;
export function dag<B>(id: string, body: () => B): Dag<Record<string, never>, B>;
export function dag(id: string, options: unknown, body?: unknown): unknown {
  const given = body === undefined ? {} : (options as DagOptions<object>);
  const definition = defineDag(id, given, (body ?? options) as (params: object) => unknown);
  for (const warning of definition.graph.warnings) process.emitWarning(warning, { type: "TroupeDagWarning", code: id });
  const call = (params: object = {}): unknown => {
    Builder.here(`dag ${id}`);
    return definition.inline(params);
  };
  return Object.defineProperties(Object.assign(call, {
    options: given, warnings: definition.graph.warnings,
    run: async (params: object = {}) => runOnCluster(definition, params),
    test: async (params: object = {}, { now }: TestOptions = {}) => runHere(definition, params, now),
  }), { id: { value: id, enumerable: true } });
}

async function runOnCluster(definition: DagDefinition<object, unknown>, params: object): Promise<DagRun> {
  clusterEngine ??= new Engine(systemClock, new ClusterRunner());
  const run = runOf(clusterEngine, definition, params, "manual", new Date(systemClock.now()));
  run.begin();
  return run;
}

async function runHere(definition: DagDefinition<object, unknown>, params: object, now?: Date | string): Promise<DagRun> {
  const start = now === undefined ? systemClock.now() : new Date(now).getTime();
  const clock = new VirtualClock(start);
  const runner = new LocalRunner(clock);
  const run = runOf(new Engine(clock, runner), definition, params, "manual", new Date(start));
  run.begin();
  let over = false;
  void run.done().then(() => { over = true; });
  while (!over) {
    // Everything that can happen now happens first.
    await new Promise((resolve) => setImmediate(resolve));
    if (!over && !runner.busy) clock.jump();
  }
  return run;
}

function runOf(
  engine: Engine,
  { id, options, graph }: DagDefinition<object, unknown>,
  params: object,
  type: RunSummary["type"],
  logicalDate: Date,
): DagRun {
  checkParams(id, options.params, params);
  const summary: RunSummary = {
    id: `${type}__${logicalDate.toISOString()}__${randomBytes(3).toString("hex")}`,
    dagId: id,
    type,
    logicalDate,
    dataInterval: { start: logicalDate, end: logicalDate },
    params: { ...options.params, ...params },
  };
  const { maxActiveTasks, timeoutMs, onSuccess, onFailure } = options;
  return new DagRun(engine, graph, summary, { maxActiveTasks, timeoutMs, onSuccess, onFailure });
}
