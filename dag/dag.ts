// dag(): what users define, run and test.

import { randomBytes } from "node:crypto";
import { kv, type KvChange } from "../sdk/index.ts";
import { Builder } from "./graph/builder.ts";
import {
  type DagDefinition, type DagOptions, type DagSchedule, defineDag, dueTimes, paramsOf, type ParamNodes, type Result,
} from "./graph/dag.ts";
import { noteDefined, noteUsed } from "./graph/defined.ts";
import { environmentHere } from "./journal/environment.ts";
import { keepProgram } from "./journal/programs.ts";
import { recordKey, type RunRecord, tickKey } from "./journal/records.ts";
import { RunJournal } from "./journal/run-journal.ts";
import { mermaidOf } from "./graph/mermaid.ts";
import type { In } from "./graph/node.ts";
import { type Backfill, type BackfillOptions, planBackfill, type PlannedRun, startBackfill } from "./run/backfill.ts";
import { systemClock, VirtualClock } from "./run/clock.ts";
import { atOnce, type Occasion, type RunSummary } from "./run/context.ts";
import { DagRun } from "./run/dag-run.ts";
import { clusterEngine, Engine, type Journals, knowProgram } from "./run/engine.ts";
import { dependOnPast } from "./run/past.ts";
import { LocalRunner } from "./run/local-runner.ts";
import { getRun, openHere, runs } from "./run/run-registry.ts";
import { type Launched, onLaunches, type Triggered } from "./run/triggered.ts";
import { retentionOf } from "./graph/run-limits.ts";
import { sweepRuns } from "./run/retention.ts";
import type { Turn } from "./serve/board.ts";
import { publishStores } from "./stores/define-store.ts";

export interface TestOptions {
  /** Where the clock stands at the start. Default the time. */
  readonly now?: Date | string | undefined;
}

export interface Dag<P extends object, B> {
  /** Built into the graph that is being built: a part of the same run. */
  (params?: { [K in keyof P]?: In<P[K]> }): B;
  readonly id: string;
  readonly options: DagOptions<P>;
  readonly schedule: DagSchedule;
  /** What may be wrong with the graph, in words. */
  readonly warnings: readonly string[];
  /** Starts a run on the cluster. @throws InvalidArgumentError for parameters it does not have, or that its schema refuses. */
  run(params?: Partial<P>): Promise<DagRun<Result<B>>>;
  /** Runs it in this process, without a cluster; the clock jumps over waits. Gives the ended run. */
  test(params?: Partial<P>, options?: TestOptions): Promise<DagRun<Result<B>>>;
  /** Runs on the cluster for times that have passed; with `dryRun` only what would be done. */
  backfill(options: BackfillOptions & { readonly dryRun: true }): Promise<PlannedRun[]>;
  backfill(options: BackfillOptions & { readonly dryRun?: false | undefined }): Promise<Backfill>;
  /** The next times it is due. */
  next(options?: { readonly after?: Date | string; readonly count?: number }): Date[];
  /** As a flowchart. */
  mermaid(): string;
}

type Definition = DagDefinition<object, unknown>;

export function dag<P extends object, B>(id: string, options: DagOptions<P>, body: (params: ParamNodes<P>) => B): Dag<P, B>;
export function dag<B>(id: string, body: () => B): Dag<Record<string, never>, B>;
export function dag(id: string, options: unknown, body?: unknown): unknown {
  const given = body === undefined ? {} : (options as DagOptions<object>);
  const definition = defineDag(id, given, (body ?? options) as (params: object) => unknown);
  noteDefined(definition);
  knowProgram(definition);
  for (const warning of definition.graph.warnings) process.emitWarning(warning, { type: "TroupeDagWarning", code: id });
  const call = (params: object = {}): unknown => {
    Builder.here(`dag ${id}`);
    noteUsed(definition);
    return definition.inline(params);
  };
  return Object.defineProperties(Object.assign(call, {
    options: given, warnings: definition.graph.warnings, schedule: definition.schedule,
    run: (params: object = {}) => startRun(definition, params),
    test: (params: object = {}, { now }: TestOptions = {}) => runHere(definition, params, now),
    backfill: async (options: BackfillOptions & { dryRun?: boolean | undefined }) => {
      if (options.dryRun === true) return planBackfill(definition, options);
      return startBackfill(definition, options, async (when) => claimRun(definition, when, await turnOf(id, when.logicalDate)));
    },
    next: (options: { after?: Date | string; count?: number } = {}) => dueTimes(definition, options),
    mermaid: () => mermaidOf(definition.graph),
  }), { id: { value: id, enumerable: true }, definition: { value: definition } });
}

/** @internal Also for those who start runs at their times. */
export async function startRun(
  definition: Launched, params: object, when = atOnce("manual", new Date(systemClock.now())), engine = clusterEngine(),
): Promise<DagRun> {
  const run = await runOf(engine, definition, params, when);
  if (engine.journals === undefined) {
    runs.add(run);
    run.begin();
    return run;
  }
  await publishStores();
  const journal = await journalOf(engine.journals, definition, run.summary);
  run.keepIn(journal);
  runs.add(run);
  // It begins while it is being kept.
  const kept = journal.create([]);
  run.begin();
  await kept;
  return run;
}

/** @internal With its turn, in one step: undefined when another run has had that turn. */
export async function claimRun(
  definition: Definition, when: Occasion, { key, before, after }: Turn, engine = clusterEngine(),
): Promise<DagRun | undefined> {
  return claimed(engine, definition, await runOf(engine, definition, {}, when), (run) => [
    { type: "check", key, value: before }, { type: "set", key, value: after(run.id) },
  ]);
}

/** Of a time; one whose run nothing is known of any more may be filled in again. */
async function turnOf(dagId: string, logicalDate: Date): Promise<Turn> {
  const key = tickKey(dagId, logicalDate);
  const id = await kv.get<string>(key);
  const isForgotten = id !== undefined && (await kv.get(recordKey(id))) === undefined;
  return { key, before: isForgotten ? id : undefined, after: (runId) => runId };
}

/** Begins the run when it is kept; undefined when there is one of its id, or one of the checks does not hold. */
async function claimed(
  engine: Engine, definition: Launched, run: DagRun, claim: (run: DagRun) => readonly KvChange[] = () => [],
): Promise<DagRun | undefined> {
  await publishStores();
  const journal = await journalOf(engine.journals!, definition, run.summary);
  try {
    await journal.create(claim(run));
  } catch (error) {
    if (journal.isTaken) return undefined;
    throw error;
  }
  run.keepIn(journal);
  runs.add(run);
  run.begin();
  return run;
}

async function journalOf(journals: Journals, definition: Launched, summary: RunSummary): Promise<RunJournal> {
  await journals.holder.begin();
  const { hash, reason } = await keepProgram(definition);
  const record: RunRecord = {
    ...summary, program: hash, reason, environment: await environmentHere(), retention: retentionOf(definition.options),
    state: "running", epoch: 1, createdAt: new Date(systemClock.now()),
  };
  sweepRuns();
  return new RunJournal(journals, record, 0);
}

onLaunches({ start: startRun, once: startOnce });

async function startOnce(
  id: string, definition: Launched, params: object, when: Occasion, engine: Engine,
): Promise<Triggered> {
  const run = await runOf(engine, definition, params, when, id);
  const cancelHere = (reason: string): Promise<void> => run.cancel(reason);
  if (engine.journals === undefined) {
    runs.add(run);
    run.begin();
    return { here: Promise.resolve(run), cancel: cancelHere };
  }
  if ((await claimed(engine, definition, run)) !== undefined) return { here: Promise.resolve(run), cancel: cancelHere };
  return { here: openHere(id), cancel: async (reason) => (await getRun(id)).cancel(reason) };
}

async function runHere(definition: Definition, params: object, now?: Date | string): Promise<DagRun> {
  const clock = new VirtualClock(now ?? systemClock.now());
  const runner = new LocalRunner(clock);
  const run = await runOf(new Engine(clock, runner), definition, params, atOnce("manual", new Date(clock.now())));
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

async function runOf(
  engine: Engine,
  { id, options, graph }: Launched,
  given: object,
  when: Occasion,
  named?: string,
): Promise<DagRun> {
  const params = await paramsOf(id, options.params, given);
  const runId = named ?? `${when.type}__${when.logicalDate.toISOString()}__${randomBytes(3).toString("hex")}`;
  const { maxActiveTasks, timeoutMs, deadline, onSuccess, onFailure } = options;
  const run = new DagRun(
    engine,
    graph,
    { id: runId, dagId: id, ...when, params },
    { maxActiveTasks, timeoutMs, deadline, onSuccess, onFailure },
  );
  await dependOnPast(run);
  return run;
}
