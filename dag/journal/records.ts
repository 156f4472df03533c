// What is kept of runs in the cluster's key-value store, and under which keys.
//
//   dag/run/<run>              the record: what the run is, and how it stands
//   dag/lease/<run>            who carries it out, and since which epoch; there is one while it is open
//   dag/journal/<run>/<n>      what happened, in order, a piece a commit
//   dag/program/<hash>/<n>     a graph with its code, as it was when the run was made, in pieces
//   dag/version/<hash>         that there is one, and when it was last wanted
//   dag/cancel/<run>           somebody asks who carries it out to cancel it
//   dag/holder/<holder>        processes that carry runs out, with their beats
//   dag/tick/<dag>/<time>      which run a time has
//   dag/pool/<pool>            how many of its slots each holder has, and who waits for some
//
// Values of tasks are in none of them.

import type { ObjectPlace } from "../../sdk/index.ts";
import type { RunEvent } from "../engine/events.ts";
import type { Coords } from "../engine/plan.ts";
import type { RunState } from "../engine/states.ts";
import type { RunEnvironment } from "./environment.ts";
import type { RunSummary, Told } from "../run/context.ts";

export interface Lease {
  readonly holder: string;
  /** Grows with each holder: what an earlier one writes later is refused. */
  readonly epoch: number;
}

export interface RunRecord extends RunSummary {
  /** The version of its graph; undefined when its code can't be kept, which `reason` says. */
  readonly program: string | undefined;
  readonly reason?: string | undefined;
  readonly environment: RunEnvironment;
  readonly state: RunState;
  /** Milliseconds after its end. */
  readonly retention: { readonly results: number; readonly record: number };
  /** Its results were let go: what is still to be known of it is in stores, and in the journal. */
  readonly resultsFreed?: boolean | undefined;
  /** Of its latest lease. */
  readonly epoch: number;
  readonly createdAt: Date;
  readonly endedAt?: Date | undefined;
}

/** Where a result came from: its task ran, or ran again; or it was found where it was, in its checkpoint, or in the cache. */
export type Origin = "computed" | "recomputed" | "memory" | "checkpoint" | "cache";

/** A result, without its value. */
export interface ResultRecord {
  readonly id: string;
  /** Bytes. */
  readonly size: number;
  readonly hash: string;
  /** Nodes that had it when it was made. */
  readonly locations: readonly string[];
  readonly checkpoint?: { readonly store: string; readonly key: string } | undefined;
  /** What finds it again while it is somewhere in the cluster. */
  readonly place?: ObjectPlace | undefined;
  /** It was found in the cache of results: the code was not run. */
  readonly cached?: boolean | undefined;
}

export interface ErrorRecord {
  readonly name: string;
  readonly message: string;
  readonly stack?: string | undefined;
}

/** One thing that happened, with what the shell has to know about it. */
export type Entry =
  | (RunEvent & {
      readonly result?: ResultRecord | undefined;
      readonly error?: ErrorRecord | undefined;
      readonly told?: readonly Told[] | undefined;
      /** Of an end: when it began to run, when no entry before says so. */
      readonly startedAt?: number | undefined;
      /** Of an expansion: the lengths of its lists. */
      readonly sizes?: readonly number[] | undefined;
      /** Of a run that is gone on with: where results of its earlier life were found. */
      readonly found?: readonly (readonly [key: string, origin: Origin])[] | undefined;
    })
  /** What an attempt told while it ran, or what is too much to be kept with its end. */
  | {
      readonly type: "told"; readonly at: number; readonly task: number; readonly coords: Coords; readonly told: readonly Told[];
      /** While it ran: which of its starts that was. */
      readonly attempt?: number | undefined;
    }
  | {
      readonly type: "said";
      readonly at: number;
      readonly taskId?: string | undefined;
      readonly name: string;
      readonly text: string;
    };

const NUMBER_DIGITS = 8;
/** Characters of a text: a piece of a journal has a limit. */
const TEXT_MAX = 64 * 1024;

export const recordKey = (runId: string): string => `dag/run/${runId}`;
export const leaseKey = (runId: string): string => `dag/lease/${runId}`;
export const journalKey = (runId: string, piece?: number): string => (
  `dag/journal/${runId}/${piece === undefined ? "" : String(piece).padStart(NUMBER_DIGITS, "0")}`
);
export const cancelKey = (runId: string): string => `dag/cancel/${runId}`;
export const programKey = (hash: string, piece: number): string => `dag/program/${hash}/${piece}`;
export const versionKey = (hash = ""): string => `dag/version/${hash}`;
export const poolKey = (pool: string): string => `dag/pool/${pool}`;
export const holderKey = (holder: string): string => `dag/holder/${holder}`;
export const tickKey = (dagId: string, at?: Date): string => `dag/tick/${dagId}/${at?.toISOString() ?? ""}`;

export function errorRecordOf(error: unknown): ErrorRecord {
  if (!(error instanceof Error)) return { name: "Error", message: String(error).slice(0, TEXT_MAX) };
  return { name: error.name, message: error.message.slice(0, TEXT_MAX), stack: error.stack?.slice(0, TEXT_MAX) };
}

/** As near to the error as its texts are: classes of users are not there any more. */
export function errorOfRecord({ name, message, stack }: ErrorRecord): Error {
  return Object.assign(new Error(message), { name, stack: stack ?? `${name}: ${message}` });
}
