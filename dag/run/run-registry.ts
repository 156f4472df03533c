// The runs of this process, by id, and the way to those of others: what is kept of a run is enough to go on with it here.

import { GetTimeoutError, kv, NotFoundError } from "../../sdk/index.ts";
import { isOver } from "../engine/states.ts";
import { isRequested, requestCancel } from "../journal/cancel-requests.ts";
import { loadProgram } from "../journal/programs.ts";
import { type Lease, leaseKey, type RunRecord } from "../journal/records.ts";
import { RunJournal } from "../journal/run-journal.ts";
import { entriesOf, recordOf, takeOver } from "../journal/run-library.ts";
import { DagRun } from "./dag-run.ts";
import { dependOnPastAgain } from "./past.ts";
import { clusterEngine, type Engine } from "./engine.ts";
import { Follower } from "./follower.ts";
import { RunMovedError } from "./run-failure.ts";

const ENDED_MAX = 1000;
const LOOK_MS = 250;
/** Longer than a process that carries runs out may be silent before another one takes them over. */
const ANSWER_MS = 30_000;

class RunRegistry {
  readonly #runs = new Map<string, DagRun>();
  #ended: string[] = [];

  add(run: DagRun): void {
    this.#runs.set(run.id, run);
    const over = (): void => {
      this.#ended.push(run.id);
      if (this.#ended.length <= ENDED_MAX) return;
      const oldest = this.#ended.shift() as string;
      this.#runs.get(oldest)?.forget();
      this.#runs.delete(oldest);
    };
    run.done().then(over, over);
  }

  find(id: string): DagRun | undefined {
    return this.#runs.get(id);
  }

  /** It goes on elsewhere. */
  drop(id: string): void {
    this.#runs.delete(id);
  }

  /** Of a graph or of all, oldest first. */
  all(dagId?: string): DagRun[] {
    return [...this.#runs.values()].filter((run) => dagId === undefined || run.dagId === dagId);
  }
}

export const runs = new RunRegistry();

export interface ResumeOptions {
  /** 'kept': the graph that the run was made of; 'latest': the one of its id that this process has. Default 'kept'. */
  readonly code?: "kept" | "latest" | undefined;
}

/**
 * Runs again what has not succeeded, and what has no result any more; from any process.
 *
 * @throws NotFoundError.
 */
export function resume(runId: string, options: ResumeOptions = {}): Promise<DagRun> {
  return changing(runId, (run) => run.resume(), options);
}

/** Runs a task again, and what comes after it; at once where this process carries the run out. @throws NotFoundError. */
export function clear(
  runId: string,
  { task, downstream, ...options }: { task: string | readonly string[]; downstream?: boolean } & ResumeOptions,
): Promise<DagRun> {
  return changing(runId, (run) => run.clear(task, { downstream }), options);
}

/** Gives a task, or an instance of it, another end by hand; what of it is under way is stopped. @throws NotFoundError. */
export function mark(runId: string, task: string, state: "success" | "failed" | "skipped"): Promise<DagRun> {
  return changing(runId, (run) => run.mark(task, state), {});
}

/** The run as it is, wherever it is carried out. @throws NotFoundError. */
export async function getRun(runId: string): Promise<DagRun> {
  const here = runs.find(runId);
  // What is not over here is this process's; what is over may have been gone on with by another one.
  if (here !== undefined && !here.isLost && (here.epoch === undefined || !isOver(here.state))) return here;
  const record = await recordOf(runId);
  if (here?.epoch === record.epoch) return here;
  const seen = views.get(runId);
  if (seen?.epoch === record.epoch) return seen.run;
  const { run, next } = await read(record, clusterEngine(), {});
  run.followWith(new Follower(run, next, (reason) => cancelElsewhere(runId, reason)));
  views.set(runId, { run, epoch: record.epoch });
  if (views.size > VIEWS_MAX) views.delete(views.keys().next().value as string);
  return run;
}

/** Runs of other processes that were looked at. */
const views = new Map<string, { readonly run: DagRun; readonly epoch: number }>();
const VIEWS_MAX = 100;

/**
 * Resolves when whoever carries the run out has ended it, or when it is over. When that process is gone, the run is this one's,
 * and ends here.
 */
async function cancelElsewhere(runId: string, reason: string): Promise<void> {
  const engine = clusterEngine();
  const { holder } = engine.journals!;
  await holder.begin();
  const until = performance.now() + ANSWER_MS;
  for (let asked: Lease | undefined; ;) {
    const lease = await kv.get<Lease>(leaseKey(runId));
    if (lease === undefined || (asked !== undefined && !(await isRequested(runId)))) return;
    const taken = (await holder.isGone(lease.holder)) ? await takeOver(runId, lease, holder.id) : undefined;
    if (taken !== undefined) return (await goOn(engine, taken)).cancel(reason);
    if (asked === undefined && (await requestCancel(runId, lease, reason))) asked = lease;
    if (performance.now() > until) {
      throw new GetTimeoutError(
        `run ${runId} was asked to end, and who carries it out has not answered in ${ANSWER_MS / 1000} s; the request stays`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

async function changing(runId: string, change: (run: DagRun) => Promise<DagRun>, options: ResumeOptions): Promise<DagRun> {
  const here = runs.find(runId);
  if (here !== undefined && !here.isLost && options.code !== "latest") {
    try {
      return await change(here);
    } catch (error) {
      if (!(error instanceof RunMovedError)) throw error;
    }
  }
  runs.drop(runId);
  return change(await openHere(runId, options));
}

/** Waits for its end, or for that of the process that carries it out; then it is this process's. */
export async function openHere(runId: string, options: ResumeOptions = {}): Promise<DagRun> {
  const engine = clusterEngine();
  const { holder } = engine.journals!;
  await recordOf(runId);
  await holder.begin();
  for (;;) {
    const record = await recordOf(runId);
    const lease = await kv.get<Lease>(leaseKey(runId));
    if (lease === undefined) return adopt(engine, record, false, options);
    const taken = (await holder.isGone(lease.holder)) ? await takeOver(runId, lease, holder.id) : undefined;
    if (taken !== undefined) return goOn(engine, taken, options);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** Goes on with a run whose lease was just taken. */
export async function goOn(engine: Engine, record: RunRecord, options: ResumeOptions = {}): Promise<DagRun> {
  const run = await adopt(engine, record, true, options);
  await run.goOn();
  await dependOnPastAgain(run);
  return run;
}

async function adopt(engine: Engine, record: RunRecord, isHeld: boolean, options: ResumeOptions): Promise<DagRun> {
  const { run, next } = await read(record, engine, options);
  run.keepIn(new RunJournal(engine.journals!, record, next, isHeld));
  runs.add(run);
  return run;
}

async function read(
  record: RunRecord, engine: Engine, { code = "kept" }: ResumeOptions,
): Promise<{ readonly run: DagRun; readonly next: number }> {
  const { id, dagId, type, logicalDate, dataInterval, nextDate, params, assetEvents, program, reason } = record;
  const kept = code === "latest" ? engine.latest(dagId) : program === undefined ? undefined : await loadProgram(program);
  if (kept === undefined) {
    const why = code === "latest" ? `this process has no dag ${dagId}` : `its graph could not be kept: ${reason}`;
    throw new NotFoundError(`run ${id} can't go on here: ${why}`);
  }
  const { entries, next } = await entriesOf(id);
  const summary = { id, dagId, type, logicalDate, dataInterval, nextDate, params, assetEvents };
  const run = new DagRun(engine, kept.graph, summary, kept.options);
  run.replay(entries);
  return { run, next };
}
