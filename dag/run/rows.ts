// The rows of a run: one an instance, as users see them.

import { type Coords, instanceName, type InstanceName } from "../engine/plan.ts";
import type { RunMachine } from "../engine/run-machine.ts";
import { attemptOf, type Instance, type Slot } from "../engine/slots.ts";
import type { TaskState } from "../engine/states.ts";
import type { Graph } from "../graph/graph.ts";

export interface TaskInstanceRow extends InstanceName {
  readonly state: TaskState;
  readonly attempt: number;
  readonly startedAt?: Date | undefined;
  readonly endedAt?: Date | undefined;
  readonly nodeId?: string | undefined;
  readonly workerPid?: number | undefined;
  readonly reason?: string | undefined;
}

/** Tasks that were expanded over nothing, or not yet, have a row of their own. */
export function rowsOf(machine: RunMachine, { tasks }: Graph): TaskInstanceRow[] {
  const slots = [...machine.slots()].filter(({ task }) => isShown(machine, tasks[task].kind, task));
  slots.sort((a, b) => a.task - b.task || compare(a.coords, b.coords));
  const started = new Set(slots.map(({ task }) => task));
  const rows = slots.flatMap((slot) => rowsOfSlot(tasks[slot.task].id, slot));
  const rest = tasks.filter(({ place, kind }) => !started.has(place) && isShown(machine, kind, place));
  return [...rows, ...rest.map(({ id }) => ({ id, state: "none" as const, attempt: 0 }))];
}

export function hasFailures(rows: readonly TaskInstanceRow[]): boolean {
  return rows.some(({ state }) => state === "failed" || state === "upstreamFailed");
}

/** Gates are no tasks of the user; that of a loop is shown when the loop itself failed. */
export function isShown(machine: RunMachine, kind: string, task: number): boolean {
  if (kind === "loop") return machine.slot(task, [])?.state === "failed";
  return kind !== "gate";
}

function rowsOfSlot(id: string, { instances, state, coords, reason }: Slot): TaskInstanceRow[] {
  if (instances !== undefined) return instances.map((instance) => rowOf(id, instance));
  return [{ ...instanceName(id, coords), state: state === "scheduled" ? "none" : state, attempt: 0, reason }];
}

function rowOf(id: string, instance: Instance): TaskInstanceRow {
  const { coords, state, startedAt, endedAt, nodeId, workerPid, reason } = instance;
  return {
    ...instanceName(id, coords),
    state,
    attempt: attemptOf(instance),
    startedAt: dateOf(startedAt),
    endedAt: dateOf(endedAt),
    nodeId,
    workerPid,
    reason,
  };
}

const dateOf = (at: number | undefined): Date | undefined => (at === undefined ? undefined : new Date(at));

function compare(a: Coords, b: Coords): number {
  for (let i = 0; i < Math.min(a.length, b.length); i += 1) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}
