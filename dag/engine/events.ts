// What happens to a run, and what the machine wants done about it.
//
// Events are what the journal keeps: fed again in order they make the same state. Effects are wishes to the shell; none of them
// changes the state by itself.

import type { Coords, Place } from "./plan.ts";
import type { RunState, TaskState } from "./states.ts";

interface At {
  /** Milliseconds since the epoch. */
  readonly at: number;
}
/** Where an attempt ran. */
export interface Whereabouts {
  /** Its starts that were lost with their process or node: it was begun again by itself. */
  readonly repeats?: number | undefined;
  readonly nodeId?: string | undefined;
  readonly workerPid?: number | undefined;
}
/** Of something that has them among others. */
export function whereaboutsOf({ nodeId, workerPid, repeats }: Whereabouts): Whereabouts {
  return { nodeId, workerPid, repeats };
}

interface OfInstance extends At {
  readonly task: number;
  readonly coords: Coords;
}

export type RunEvent =
  | ({ readonly type: "started"; readonly blocked: readonly number[] } & At)
  /** A mapped task or group has so many instances; or its list could not be had. */
  | ({ readonly type: "expanded"; readonly size: number } & OfInstance)
  | ({ readonly type: "notExpanded"; readonly reason: string } & OfInstance)
  | ({ readonly type: "admitted" } & OfInstance)
  | ({ readonly type: "running" } & OfInstance & Whereabouts)
  | ({ readonly type: "succeeded"; readonly chosen?: readonly string[]; readonly passed?: boolean } & OfInstance & Whereabouts)
  | ({ readonly type: "failed"; readonly reason: string; readonly final: boolean } & OfInstance & Whereabouts)
  | ({ readonly type: "skipped"; readonly reason: string } & OfInstance)
  | ({ readonly type: "deferred"; readonly until: number } & OfInstance)
  /** A wait for a retry or of a deferred instance is over. */
  | ({ readonly type: "due" } & OfInstance)
  /** A round of a loop is over: was it the last one? */
  | ({ readonly type: "round"; readonly stop: boolean } & OfInstance)
  | ({ readonly type: "roundFailed"; readonly reason: string } & OfInstance)
  /** Tasks that had to wait for their past need not any more. */
  | ({ readonly type: "past"; readonly tasks: readonly number[] } & At)
  | ({ readonly type: "ended"; readonly state: "failed" | "cancelled"; readonly reason: string } & At)
  | ({ readonly type: "marked"; readonly state: "success" | "failed" | "skipped" } & OfInstance)
  /** Whole tasks, and single instances of others, run again; and what these read and is nowhere any more. */
  | ({
      readonly type: "cleared"; readonly tasks: readonly number[]; readonly instances?: readonly Place[];
      readonly lost?: readonly Place[];
    } & At)
  /**
   * Another process goes on with it: what was on its way begins again, and so do successes whose results are lost. With `anew`
   * also what failed, was skipped for it, or was stopped.
   */
  | ({ readonly type: "resumed"; readonly anew: boolean; readonly lost: readonly Place[] } & At);

export type RunEffect =
  /** How many elements has what it is expanded over? */
  | { readonly kind: "measure"; readonly task: number; readonly coords: Coords }
  /** It may be started as soon as its pool and caps let it. */
  | { readonly kind: "ready"; readonly task: number; readonly coords: Coords; readonly attempt: number }
  | { readonly kind: "wait"; readonly task: number; readonly coords: Coords; readonly until: number }
  /** Ask the loop's `until` about the value of this round. */
  | { readonly kind: "judge"; readonly task: number; readonly coords: Coords; readonly round: number }
  /** End what still runs of it. */
  | { readonly kind: "stop"; readonly task: number; readonly coords: Coords; readonly reason: string }
  /** What still runs of it, or waits, is of no use any more: nobody wants to hear of its end. */
  | { readonly kind: "leave"; readonly task: number; readonly coords: Coords; readonly reason: string }
  | {
      readonly kind: "state"; readonly task: number; readonly coords: Coords; readonly state: TaskState; readonly attempt: number;
      readonly reason?: string | undefined; readonly byHand?: boolean | undefined;
    }
  | { readonly kind: "run"; readonly state: RunState; readonly reason?: string | undefined };
