// States of task instances and of runs.

export type TaskState =
  | "none" | "scheduled" | "queued" | "running" | "deferred" | "upForRetry"
  | "success" | "failed" | "skipped" | "upstreamFailed" | "removed";

export type RunState = "queued" | "running" | "success" | "failed" | "cancelled";

const TERMINAL: ReadonlySet<TaskState> = new Set(["success", "failed", "skipped", "upstreamFailed", "removed"]);

export function isTerminal(state: TaskState): boolean {
  return TERMINAL.has(state);
}

export function isOver(state: RunState): boolean {
  return state === "success" || state === "failed" || state === "cancelled";
}
