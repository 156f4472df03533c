// Why a run has failed, as what `result()` rejects with.

import { DagRunFailedError, TaskCancelledError } from "../../sdk/index.ts";
import { instanceName, keyOf } from "../engine/plan.ts";
import type { RunMachine } from "../engine/run-machine.ts";
import type { RunSummary } from "./context.ts";
import { messageOf } from "./run-voice.ts";

export function failureOf(
  machine: RunMachine, { id, dagId }: RunSummary, errors: ReadonlyMap<string, unknown>,
): DagRunFailedError {
  const failures: DagRunFailedError["failures"][number][] = [];
  const names = new Set<string>();
  for (const slot of machine.slots()) {
    for (const at of slot.instances ?? [slot]) {
      if (at.state !== "failed") continue;
      const { id: taskId } = instanceName(machine.plan.tasks[slot.task].id, at.coords);
      // The gate of an expansion has its name.
      if (names.has(taskId)) continue;
      names.add(taskId);
      const error = errors.get(keyOf(slot.task, at.coords)) ?? new TaskCancelledError(at.reason ?? "it was ended");
      failures.push({ taskId, error });
    }
  }
  const [first] = failures;
  const task = first === undefined ? "what it ends with could not run" : `task ${first.taskId} failed: ${messageOf(first.error)}`;
  const text = machine.endedFor ?? task;
  const more = failures.length > 1 ? `, and ${failures.length - 1} more` : "";
  return new DagRunFailedError(
    `run ${id} of ${dagId} ended as ${machine.state}: ${text}${more}`, { runId: id, failures }, first?.error,
  );
}

/** Another process has gone on with the run since. */
export class RunMovedError extends Error {
  constructor(runId: string) {
    super(`run ${runId} was gone on with by another process`);
  }
}
