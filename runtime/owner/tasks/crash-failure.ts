// What is told of a task that was lost with its worker or node.

import {
  failureOf, GROUP_REMOVED, NodeDiedError, OUT_OF_MEMORY, OutOfMemoryError, PlacementGroupRemovedError, WorkerCrashedError,
} from "../../errors.ts";
import type { DeathCause, Failure } from "../../transport/index.ts";
import type { TaskLease, TaskRecord } from "./task-record.ts";

export function nodeCause(text: string): DeathCause {
  return { reason: "node-died", exitCode: -1, signal: "", stderrTail: [], text };
}

/** The typed error of a task that died with its worker. */
export function crashFailure(task: TaskRecord, lease: TaskLease, cause: DeathCause | undefined): Failure {
  const { template: { name }, results: [result] } = task;
  const about = { taskName: name, taskId: result?.id };
  const tries = task.life.attempt + 1;
  const tail = `It was started ${tries} time${tries === 1 ? "" : "s"}; maxRetries allows no more.`;
  const lost = `task "${name}" was lost`;
  const failure = (error: Error): Failure => failureOf(error) as Failure;
  if (cause?.reason === "node-died") {
    return failure(new NodeDiedError(`${lost}: ${cause.text}. ${tail}`, { ...about, nodeId: lease.node }));
  }
  if (cause?.reason === GROUP_REMOVED) {
    return failure(new PlacementGroupRemovedError(`task "${name}" ran in a group that is gone: ${cause.text}`, about));
  }
  if (cause?.reason === OUT_OF_MEMORY) {
    const kind = cause.signal === "SIGABRT" ? "heap" : "node";
    const fields = { ...about, kind, nodeId: lease.node, stderrTail: cause.stderrTail };
    return failure(new OutOfMemoryError(`${lost}: ${cause.text}. ${tail}`, fields));
  }
  const text = cause === undefined ? "its connection broke and its agent gave no cause" : cause.text;
  return failure(new WorkerCrashedError(`${lost} with its worker ${lease.worker} on node ${lease.node}: ${text}. ${tail}`, {
    ...about,
    exitCode: cause === undefined || cause.signal !== "" ? undefined : cause.exitCode,
    signal: cause?.signal || undefined,
    stderrTail: cause?.stderrTail ?? [],
    reason: cause?.reason ?? "unknown",
  }));
}
