// How long a failed task waits for its next try. Jitter comes from a hash, so the wait is the same whoever computes it.

import { createHash } from "node:crypto";

export const DAY_MS = 86_400_000;

export interface RetryPolicy {
  readonly retries: number;
  readonly delayMs: number;
  /** 0: every wait is the same; otherwise the factor from one to the next. */
  readonly backoff: number;
  readonly maxDelayMs?: number | undefined;
}

/** What a wait is drawn from: a task of one run. `tryNumber` counts from 1. */
export interface RetrySubject {
  readonly dagId: string;
  /** With its index when it is mapped: `train[2]`. */
  readonly taskId: string;
  readonly logicalDate: Date;
  readonly tryNumber: number;
}

export function retryWaitMs(policy: RetryPolicy, { dagId, taskId, logicalDate, tryNumber }: RetrySubject): number {
  const most = Math.min(DAY_MS, policy.maxDelayMs ?? DAY_MS);
  if (policy.backoff === 0) return Math.min(policy.delayMs, most);
  const grown = policy.delayMs * policy.backoff ** (tryNumber - 1);
  if (!(grown < DAY_MS)) return most;
  const least = Math.max(1, Math.ceil(grown));
  const seed = `${dagId}#${taskId}#${logicalDate.toISOString()}#${tryNumber}`;
  const hash = BigInt(`0x${createHash("sha1").update(seed).digest("hex")}`);
  return Math.min(least + Number(hash % BigInt(least)), most);
}
