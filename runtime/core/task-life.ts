// Life of one task at its owner: waiting -> queued -> pushed -> done | failed, with `delayed` between attempts, and waiting again
// when an argument is lost.
//
// Pure: one event in, one effect out, both shared constants, so that a step allocates nothing. The submission shell holds
// the record, carries out the effect and is the only caller. A task is "started" when its worker won the claim
// (docs/architecture.md, claim pages): what never started moves on uncharged, what may have run costs one retry.

export type TaskState = "waiting" | "queued" | "pushed" | "delayed" | "done" | "failed";

export interface TaskLife {
  state: TaskState;
  /** 0 for the first. Counts charged attempts; an uncharged move keeps it. */
  attempt: number;
  /** Charged attempts still allowed after this one; -1 is endless. */
  retriesLeft: number;
  /** Attempts that ended for want of memory: they have a budget of their own, since that may not be the task's doing. */
  memoryLosses: number;
}

/** How long a task waits before it is tried again. */
export interface RetryDelays {
  readonly retryDelayMs: number;
  readonly retryBackoff: number;
  readonly maxRetryDelayMs: number;
}

/** Memory that was short is short for a while. */
const MEMORY_DELAYS: RetryDelays = { retryDelayMs: 1000, retryBackoff: 2, maxRetryDelayMs: 60_000 };

export type TaskEvent =
  | { readonly kind: "argumentsReady" }
  /** An argument's value is an error: the task fails with it and never starts. */
  | { readonly kind: "argumentFailed" }
  | { readonly kind: "pushed" }
  | { readonly kind: "returned"; readonly attempt: number }
  /** User code threw; `retriable` when retryExceptions covers it. */
  | { readonly kind: "threw"; readonly attempt: number; readonly retriable: boolean }
  /** The worker lost the claim: recalled, or its lease ended before the start. */
  | { readonly kind: "unstarted"; readonly attempt: number }
  /** Before the start: an argument's value is gone from where it lay. */
  | { readonly kind: "argumentsLost"; readonly attempt: number }
  /** The worker or its node died after the claim, or nobody can tell. */
  | { readonly kind: "lost"; readonly attempt: number }
  /** The same for want of memory; `allowed` attempts may end so, -1 is endless. */
  | { readonly kind: "outOfMemory"; readonly attempt: number; readonly allowed: number }
  | { readonly kind: "delayElapsed" }
  /** The system cannot serve it: infeasible, no worker can be started, the session ends. */
  | { readonly kind: "refused" };

/**
 * enqueue: give it to the lease pool. retry: the same after the retry delay, as a new attempt. complete: store its results.
 * fail: store the error as every result. ignore: a repeat or a reply of an older attempt; free what it carries.
 */
export type TaskEffect = "enqueue" | "retry" | "complete" | "fail" | "none" | "ignore";

export function newTaskLife(maxRetries: number): TaskLife {
  return { state: "waiting", attempt: 0, retriesLeft: maxRetries, memoryLosses: 0 };
}

export function stepTask(task: TaskLife, event: TaskEvent): TaskEffect {
  switch (event.kind) {
    case "argumentsReady":
      return task.state === "waiting" ? move(task, "queued", "enqueue") : "ignore";
    case "argumentFailed":
      return task.state === "waiting" ? move(task, "failed", "fail") : "ignore";
    case "pushed":
      return task.state === "queued" ? move(task, "pushed", "none") : "ignore";
    case "delayElapsed":
      return task.state === "delayed" ? move(task, "queued", "enqueue") : "ignore";
    case "refused":
      return isEnded(task) ? "ignore" : move(task, "failed", "fail");
    case "returned":
      return isCurrent(task, event.attempt) ? move(task, "done", "complete") : "ignore";
    case "threw":
      if (!isCurrent(task, event.attempt)) return "ignore";
      return event.retriable ? charge(task) : move(task, "failed", "fail");
    case "unstarted":
      return isCurrent(task, event.attempt) ? move(task, "queued", "enqueue") : "ignore";
    case "argumentsLost":
      return isCurrent(task, event.attempt) ? move(task, "waiting", "none") : "ignore";
    case "lost":
      return isCurrent(task, event.attempt) ? charge(task) : "ignore";
    case "outOfMemory":
      return isCurrent(task, event.attempt) ? chargeMemory(task, event.allowed) : "ignore";
  }
}

/** Milliseconds before the attempt that comes now, the first of its kind after `retryDelayMs`. */
export function retryDelay({ attempt, memoryLosses }: TaskLife, delays: RetryDelays, isForMemory: boolean): number {
  const { retryDelayMs, retryBackoff, maxRetryDelayMs } = isForMemory ? MEMORY_DELAYS : delays;
  const before = (isForMemory ? memoryLosses : attempt - memoryLosses) - 1;
  // Not 0 times infinity, after a thousand retries.
  return retryDelayMs === 0 ? 0 : Math.min(maxRetryDelayMs, retryDelayMs * retryBackoff ** Math.max(0, before));
}

export function isEnded(task: TaskLife): boolean {
  return task.state === "done" || task.state === "failed";
}

function isCurrent(task: TaskLife, attempt: number): boolean {
  return task.state === "pushed" && task.attempt === attempt;
}

function charge(task: TaskLife): TaskEffect {
  if (task.retriesLeft === 0) return move(task, "failed", "fail");
  if (task.retriesLeft > 0) task.retriesLeft -= 1;
  task.attempt += 1;
  return move(task, "delayed", "retry");
}

function chargeMemory(task: TaskLife, allowed: number): TaskEffect {
  if (allowed >= 0 && task.memoryLosses >= allowed) return move(task, "failed", "fail");
  task.memoryLosses += 1;
  task.attempt += 1;
  return move(task, "delayed", "retry");
}

function move(task: TaskLife, state: TaskState, effect: TaskEffect): TaskEffect {
  task.state = state;
  return effect;
}
