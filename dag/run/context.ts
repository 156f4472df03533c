// ctx(): what the code of a task knows of its run.

import { AsyncLocalStorage } from "node:async_hooks";
import { NotFoundError } from "../../sdk/index.ts";
import type { InstanceName } from "../engine/plan.ts";
import type { AssetEvent } from "../time/assets.ts";
import { SkipSignal } from "./inputs.ts";

export interface RunSummary {
  readonly id: string;
  readonly dagId: string;
  readonly type: "manual" | "scheduled" | "backfill" | "asset";
  readonly logicalDate: Date;
  readonly dataInterval: { readonly start: Date; readonly end: Date };
  /** When the next run of its schedule is due. */
  readonly nextDate?: Date | undefined;
  readonly params: Readonly<Record<string, unknown>>;
  /** What it was made for, when that was assets. */
  readonly assetEvents?: readonly AssetEvent[] | undefined;
}

/** What a run is made for. */
export type Occasion = Pick<RunSummary, "type" | "logicalDate" | "dataInterval" | "nextDate" | "assetEvents">;

/** For no span of time: the moment itself. */
export function atOnce(type: RunSummary["type"], at: Date): Occasion {
  return { type, logicalDate: at, dataInterval: { start: at, end: at } };
}

export interface TaskContext {
  readonly run: RunSummary;
  readonly params: Readonly<Record<string, unknown>>;
  readonly task: InstanceName;
  /** 0 for the first; counts every start. */
  readonly attempt: number;
  /** When the task was first started: waits and retries do not change it. */
  readonly since: Date;
  /** The attempt goes on after a wait: the code was called before. */
  readonly resumed: boolean;
  /** The time, as the run has it. */
  now(): Date;
  readonly signal: AbortSignal;
  readonly logger: { info(text: string): void; warn(text: string): void; error(text: string): void };
  /** Ends the task as skipped. */
  skip(reason: string): never;
  /** Ends the task as failed, without retries. */
  fail(reason: string): never;
  /** Goes on not before this time; holds no worker meanwhile: the task is called again from its beginning. */
  sleepUntil(time: Date): void;
  metric(name: string, value: number): void;
  progress(done: number, of: number): void;
}

/** Ends the attempt as failed for good. */
export class FailSignal {
  readonly reason: string;
  constructor(reason: string) {
    this.reason = reason;
  }
}

/** Ends the attempt until a time. */
export class DeferSignal {
  readonly until: number;
  constructor(until: number) {
    this.until = until;
  }
}

export type Told =
  | { readonly type: "metric"; readonly name: string; readonly value: number }
  | { readonly type: "progress"; readonly name: string; readonly value: number }
  | { readonly type: "log"; readonly name: string; readonly value: string };

export interface ContextParts {
  readonly run: RunSummary;
  readonly task: TaskContext["task"];
  readonly attempt: number;
  readonly since: number;
  readonly resumed: boolean;
  readonly calledOff?: boolean | undefined;
  readonly signal: AbortSignal;
  readonly now: () => number;
  readonly tell: (told: Told) => void;
}

interface Inside {
  readonly context: TaskContext;
  readonly calledOff: boolean;
  readonly printed: Printed;
}
/** Hears what the code prints. */
export interface Printed {
  add(stream: "stdout" | "stderr", text: string): void;
}

const storage = new AsyncLocalStorage<Inside>();

/** @throws NotFoundError outside of the code of a task. */
export function ctx(): TaskContext {
  const context = storage.getStore()?.context;
  if (context === undefined) throw new NotFoundError("ctx() is called outside of the code of a task of a dag");
  return context;
}

/** The task was stopped while it waited: nothing is to be done but to end what it began elsewhere. */
export function isCalledOff(): boolean {
  return storage.getStore()?.calledOff === true;
}

export function isInTask(): boolean {
  return storage.getStore() !== undefined;
}

/** Undefined outside of the code of tasks. */
export function printedBy(): Printed | undefined {
  return storage.getStore()?.printed;
}

export function withContext<T>(parts: ContextParts, printed: Printed, act: () => T): T {
  return storage.run({ context: contextOf(parts), calledOff: parts.calledOff === true, printed }, act);
}

function contextOf({ run, task, attempt, since, resumed, signal, now, tell }: ContextParts): TaskContext {
  const log = (level: string) => (text: string): void => tell({ type: "log", name: level, value: String(text) });
  return {
    run, params: run.params, task, attempt, since: new Date(since), resumed, now: () => new Date(now()), signal,
    logger: { info: log("info"), warn: log("warn"), error: log("error") },
    skip: (reason) => { throw new SkipSignal(reason); },
    fail: (reason) => { throw new FailSignal(reason); },
    sleepUntil: (time) => {
      if (now() < time.getTime()) throw new DeferSignal(time.getTime());
    },
    metric: (name, value) => tell({ type: "metric", name, value }),
    progress: (done, of) => tell({ type: "progress", name: String(of), value: done }),
  };
}
