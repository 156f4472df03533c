// Where the results of runs come from: code, data, environment, parameters and metrics of each task; how two runs differ; and
// whether a run gives the same again.

import { createHash } from "node:crypto";
import { codeHash, InvalidArgumentError } from "../../sdk/index.ts";
import { type InstanceName, instanceName, keyOf } from "../engine/plan.ts";
import { attemptOf, type Instance } from "../engine/slots.ts";
import type { Draft } from "../graph/draft.ts";
import { decidesOn } from "../graph/element-wise.ts";
import type { RunEnvironment } from "../journal/environment.ts";
import { loadProgram } from "../journal/programs.ts";
import type { Origin, ResultRecord } from "../journal/records.ts";
import { recordOf } from "../journal/run-library.ts";
import type { DagRun } from "./dag-run.ts";
import { clusterEngine } from "./engine.ts";
import { getRun } from "./run-registry.ts";
import { launchRun } from "./triggered.ts";

export interface InputProvenance {
  readonly task: string;
  /** Of its result; of several results together. */
  readonly hash: string;
}

export interface TaskProvenance extends InstanceName {
  readonly state: string;
  readonly attempt: number;
  /** Where the result came from in the latest life of the run. */
  readonly origin?: Origin | undefined;
  /** Undefined for tasks without code of their own, and code that can't be looked at. */
  readonly code?: string | undefined;
  readonly inputs: readonly InputProvenance[];
  /** Undefined for what has no result. */
  readonly output?: Pick<ResultRecord, "size" | "hash" | "locations" | "checkpoint"> | undefined;
  /** The last value of each. */
  readonly metrics: Readonly<Record<string, number>>;
  readonly startedAt?: Date | undefined;
  readonly endedAt?: Date | undefined;
  readonly nodeId?: string | undefined;
  readonly workerPid?: number | undefined;
}

export interface RunProvenance {
  readonly runId: string;
  readonly dagId: string;
  readonly type: string;
  readonly state: string;
  readonly logicalDate: Date;
  readonly params: Readonly<Record<string, unknown>>;
  /** Hash of the graph with all its code; undefined when that could not be kept. */
  readonly code: string | undefined;
  readonly environment: RunEnvironment;
  readonly tasks: readonly TaskProvenance[];
}

/** @throws NotFoundError. */
export async function provenance(runId: string): Promise<RunProvenance> {
  const [run, { program, environment }] = await Promise.all([getRun(runId), recordOf(runId)]);
  const metrics = await metricsOf(run);
  const tasks = run.instances().map((instance) => taskProvenance(run, instance, metrics));
  const { id, dagId, type, state, logicalDate, params } = run;
  return { runId: id, dagId, type, state, logicalDate, params, code: program, environment, tasks };
}

function taskProvenance(run: DagRun, instance: Instance, metrics: Metrics): TaskProvenance {
  const { slot: { task }, coords, state, startedAt, endedAt, nodeId, workerPid } = instance;
  const draft = run.drafts[task];
  const name = instanceName(draft.id, coords);
  const record = run.outputs.records.get(keyOf(task, coords));
  return {
    ...name, state, attempt: attemptOf(instance), origin: originOf(run, instance), code: codeOf(draft),
    inputs: [...decidesOn(draft).upstream].filter(({ kind }) => kind !== "gate").map((before) => inputOf(run, before)),
    output: record && { size: record.size, hash: record.hash, locations: record.locations, checkpoint: record.checkpoint },
    metrics: metrics.get(name.id) ?? {}, startedAt: dateOf(startedAt), endedAt: dateOf(endedAt), nodeId, workerPid,
  };
}

/** Undefined where there is no result of code: what has none succeeds too, and what is marked by hand. */
function originOf({ outputs }: DagRun, { slot: { task }, coords, state, startedAt, reason }: Instance): Origin | undefined {
  const hasRun = state === "success" && startedAt !== undefined && reason === undefined;
  return hasRun ? (outputs.origins.get(keyOf(task, coords)) ?? "computed") : undefined;
}

const dateOf = (at: number | undefined): Date | undefined => (at === undefined ? undefined : new Date(at));

/** Of one result its hash; of several the hash of theirs. */
function inputOf(run: DagRun, draft: Draft): InputProvenance {
  const hashes = run.instances(draft.place).map(({ coords }) => run.outputs.records.get(keyOf(draft.place, coords))?.hash ?? "");
  const [first = ""] = hashes;
  if (hashes.length <= 1) return { task: draft.id, hash: first };
  return { task: draft.id, hash: createHash("sha256").update(hashes.join("\n")).digest("hex").slice(0, 32) };
}

function codeOf({ fn }: Draft): string | undefined {
  try {
    return fn && codeHash(fn);
  } catch {
    // It refers to something that can't leave its process.
    return undefined;
  }
}

type Metrics = ReadonlyMap<string, Readonly<Record<string, number>>>;

async function metricsOf(run: DagRun): Promise<Metrics> {
  const metrics = new Map<string, Record<string, number>>();
  for (let next = 0; ;) {
    const page = await run.page(next, 1000, 0);
    for (const { type, taskId = "", name = "", value } of page.events) {
      if (type === "metric") metrics.set(taskId, { ...metrics.get(taskId), [name]: value as number });
    }
    next = page.next;
    if (page.events.length === 0) return metrics;
  }
}

/** One thing in which two runs differ. */
export interface Difference {
  readonly what: "params" | "environment" | "code" | "inputs" | "output" | "state" | "metrics" | "task";
  /** Of a task; undefined for the run itself. */
  readonly taskId?: string | undefined;
  /** Of a parameter, a metric, a part of the environment. */
  readonly name?: string | undefined;
  readonly a: unknown;
  readonly b: unknown;
}

export interface RunDiff {
  readonly a: string;
  readonly b: string;
  readonly equal: boolean;
  /** What comes first in the graph first: the others may follow from it. */
  readonly differences: readonly Difference[];
}

/** How two runs differ. @throws NotFoundError. */
export async function diff(runA: string, runB: string): Promise<RunDiff> {
  const [a, b] = await Promise.all([provenance(runA), provenance(runB)]);
  const differences: Difference[] = [
    ...namedDifferences("params", a.params, b.params),
    ...namedDifferences("environment", { ...a.environment }, { ...b.environment }),
  ];
  const others = new Map(b.tasks.map((task) => [task.id, task]));
  for (const task of a.tasks) {
    const other = others.get(task.id);
    others.delete(task.id);
    if (other === undefined) differences.push({ what: "task", taskId: task.id, a: task.state, b: undefined });
    else differences.push(...taskDifferences(task, other));
  }
  for (const task of others.values()) differences.push({ what: "task", taskId: task.id, a: undefined, b: task.state });
  return { a: runA, b: runB, equal: differences.length === 0, differences };
}

function taskDifferences(a: TaskProvenance, b: TaskProvenance): Difference[] {
  const taskId = a.id;
  const inputs = (task: TaskProvenance): Record<string, string> => (
    Object.fromEntries(task.inputs.map((input) => [input.task, input.hash]))
  );
  const parts = [["code", a.code, b.code], ["state", a.state, b.state], ["output", a.output?.hash, b.output?.hash]] as const;
  const own = parts.filter(([, one, other]) => one !== other).map(([what, one, other]) => ({ what, taskId, a: one, b: other }));
  const given = namedDifferences("inputs", inputs(a), inputs(b), taskId);
  return [...given, ...own, ...namedDifferences("metrics", a.metrics, b.metrics, taskId)];
}

function namedDifferences(
  what: Difference["what"], a: Readonly<Record<string, unknown>>, b: Readonly<Record<string, unknown>>, taskId?: string,
): Difference[] {
  const names = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  const isSame = (name: string): boolean => JSON.stringify(a[name]) === JSON.stringify(b[name]);
  return names.filter((name) => !isSame(name)).map((name) => ({ what, taskId, name, a: a[name], b: b[name] }));
}

export interface Reproduction {
  readonly run: DagRun;
  /** Every task has the same result, to the last bit. */
  readonly equal: boolean;
  readonly tasks: readonly { readonly id: string; readonly equal: boolean; readonly a?: string; readonly b?: string }[];
}

/** Runs the same graph with the same parameters again, in a run of its own, and compares results. @throws NotFoundError. */
export async function reproduce(runId: string): Promise<Reproduction> {
  const record = await recordOf(runId);
  if (record.program === undefined) throw new InvalidArgumentError(`run ${runId} can't be made again: ${record.reason}`);
  const { id, graph, options } = await loadProgram(record.program);
  const definition = { id, graph, options: { ...options, params: record.params } };
  const { type, logicalDate, dataInterval, nextDate, assetEvents } = record;
  const run = await launchRun(definition, {}, { type, logicalDate, dataInterval, nextDate, assetEvents }, clusterEngine());
  await run.done();
  const [before, after] = await Promise.all([provenance(runId), provenance(run.id)]);
  const others = new Map(after.tasks.map((task) => [task.id, task.output?.hash]));
  const tasks = before.tasks.map(({ id, output }) => {
    const [a, b] = [output?.hash, others.get(id)];
    return { id, equal: a === b, ...(a === undefined ? {} : { a }), ...(b === undefined ? {} : { b }) };
  });
  return { run, equal: tasks.every((task) => task.equal) && others.size === tasks.length, tasks };
}
