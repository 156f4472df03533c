// Where the code of tasks runs: the interface between a run and what carries its attempts out.

import type { Whereabouts } from "../engine/events.ts";
import type { Draft } from "../graph/draft.ts";
import type { ResultRecord } from "../journal/records.ts";
import type { Order, Report } from "./attempt.ts";
import type { Note } from "./telling.ts";

export interface Ended extends Whereabouts {
  readonly report: Report;
  /** What the result is held by, and what a journal keeps of it; only with the outcome "success". */
  readonly handle?: unknown;
  readonly result?: ResultRecord | undefined;
  /** How long it ran; undefined when it never did. Only of attempts that tell their start. */
  readonly tookMs?: number | undefined;
}

/** When and where an attempt began to run. */
export interface Start extends Whereabouts {
  /** Milliseconds since the epoch. */
  readonly at: number;
}

export interface Attempt {
  readonly ended: Promise<Ended>;
  stop(reason: string): void;
  /** Undefined while it is queued. Attempts without it run from the beginning. */
  start?(): Start | undefined;
  /** Tells while it runs what it tells. */
  hear?(listener: (note: Note) => void): void;
  /** What it waits for, where it is. */
  explain?(): Promise<{ readonly text: string; readonly reasons: readonly { readonly kind: string }[] }>;
}

/** One that needed no runner. */
export function endedAttempt(report: Report): Attempt {
  return { ended: Promise.resolve({ report }), stop: () => {} };
}

export interface Runner {
  /** In this process: nothing that it runs asks a cluster. */
  readonly isLocal: boolean;
  /** Never throws: what can't be started ends with that error. */
  start(draft: Draft, order: Order): Attempt;
  /** How many elements the list has. @throws for what is none. */
  length(input: unknown): Promise<number>;
  /** Asks the `until` of a loop. */
  judge(until: (value: never) => unknown, input: unknown): Promise<boolean>;
  /** The value itself, here. */
  fetch(input: unknown): Promise<unknown>;
  /** A handle of the value. */
  hold(input: unknown): Promise<unknown>;
  /** What a journal keeps of a result that no attempt has made. */
  describe(handle: unknown): ResultRecord | undefined;
  /** From now on results of the run outlive this process. */
  keep(runId: string, handles: readonly unknown[]): Promise<void>;
  /** Handles for results of an earlier life of the run, in the same order; undefined for those that are nowhere any more. */
  find(records: readonly ResultRecord[]): Promise<readonly unknown[]>;
  /** A handle for a result from its checkpoint. @throws when that is of no use. */
  load(record: ResultRecord): Promise<unknown>;
  /** The results of the run are not needed any more. */
  release(handles: Iterable<unknown>): void;
}

/** @throws for what is no list. */
export function lengthOfValue(value: unknown): number {
  if (Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView)))
    return (value as ArrayLike<unknown>).length;
  throw new TypeError(`a task can be expanded over a list, not over ${value === null ? "null" : typeof value}`);
}
