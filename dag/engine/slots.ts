// What the machine of a run keeps: slots, instances and tallies.
//
// A *slot* is a task at one place of its scope. It decides once whether it runs, and then has one instance, or one an element.
// A *tally* sums up how the instances of a task ended below some coordinates: what comes after it looks at nothing else.

import type { Coords } from "./plan.ts";
import type { TaskState } from "./states.ts";
import { Ends } from "./trigger-rules.ts";

export interface Instance {
  readonly slot: Slot;
  readonly coords: Coords;
  state: TaskState;
  /** Starts so far; the first one is attempt 0. */
  starts: number;
  /** Of the last of them, those that were lost with their process or node. */
  repeats?: number | undefined;
  /** Failures that counted against its retries. */
  tries: number;
  /** Attempts that failed, or that were begun anew by hand. Whoever goes on with an attempt of another process has the same. */
  spent?: number | undefined;
  /** It waits, or has waited, as a part of the attempt it is in. */
  hasDeferred?: boolean | undefined;
  /** The end of the wait it is in. */
  until?: number | undefined;
  /** What it let run, for branches and short circuits. */
  route?: Route | undefined;
  /** It was ended with the run, not by what it did. */
  stopped?: boolean | undefined;
  /** When its code was first called. */
  since?: number | undefined;
  startedAt?: number | undefined;
  endedAt?: number | undefined;
  reason?: string | undefined;
  nodeId?: string | undefined;
  workerPid?: number | undefined;
}

/** What a branch chose; whether a short circuit let anything pass. */
export interface Route {
  readonly chosen?: readonly string[] | undefined;
  readonly passed?: boolean | undefined;
}

export interface Slot {
  readonly task: number;
  readonly coords: Coords;
  /** What it is until it has instances; and for good when it never has any. */
  state: TaskState;
  reason?: string | undefined;
  instances: Instance[] | undefined;
  /** Tallies before it that are not complete. */
  open: number;
  /** Which ends there are among them: counts of tallies, not of instances. */
  readonly seen: Ends;
  /** Of the gate of a loop: rounds begun, and whether `until` is being asked. */
  rounds: number;
}

export function slotAt(task: number, coords: Coords): Slot {
  return { task, coords, state: "none", instances: undefined, open: 0, seen: new Ends(), rounds: 0 };
}

/** All fields from the start: a run may have a hundred thousand of them, and fields that come later cost more. */
export function instanceAt(slot: Slot, coords: Coords, starts: number, spent: number | undefined): Instance {
  return {
    slot, coords, state: "none", starts, repeats: undefined, tries: 0, spent, hasDeferred: undefined, until: undefined,
    route: undefined, stopped: undefined, since: undefined, startedAt: undefined, endedAt: undefined, reason: undefined,
    nodeId: undefined, workerPid: undefined,
  };
}

export class Tally {
  readonly ends = new Ends();
  /** Instances, or whole parts that are not known yet, which have not ended. */
  open = 1;

  get complete(): boolean {
    return this.open === 0;
  }
}

export function attemptOf(instance: Instance): number {
  return Math.max(0, instance.starts - 1);
}

/** Of the start that comes next. What goes on after a wait is the same attempt. */
export function nextAttemptOf({ starts, hasDeferred }: Instance): number {
  return hasDeferred === true ? Math.max(0, starts - 1) : starts;
}

export function spentOf({ spent = 0 }: Pick<Instance, "spent">): number {
  return spent;
}

/** How a part of an earlier life of the run ended: it is taken over, not run again. With the state none: how far it had come. */
export interface KnownEnd {
  readonly state: TaskState;
  readonly starts: number;
  readonly tries: number;
  readonly spent?: number | undefined;
  readonly reason?: string | undefined;
  readonly until?: number | undefined;
  readonly hasDeferred?: boolean | undefined;
  readonly route?: Route | undefined;
  readonly since?: number | undefined;
  readonly startedAt?: number | undefined;
  readonly endedAt?: number | undefined;
  /** Of what is expanded: its instances, or the rounds of a loop. */
  readonly size?: number | undefined;
}
