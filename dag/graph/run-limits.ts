// When a run should be over, and how long what is left of it is kept.

import { amount, type Check, object } from "../../sdk/contract.ts";
import { type Callbacks, calls, milliseconds } from "./options.ts";

/** Milliseconds after the run was made; or after its logical date, or a moment; `onMiss` is called when it is not over then. */
export type Deadline = number | {
  readonly ms?: number | undefined;
  /** Default 'queuedAt'. */
  readonly from?: "queuedAt" | "logicalDate" | Date | undefined;
  readonly onMiss?: Callbacks | undefined;
};

/** Milliseconds; for both, or for each. */
export type Retention = number | { readonly results?: number | undefined; readonly record?: number | undefined };

const RETENTION_MS = 7 * 86_400_000;

export function retentionOf(
  { retention = {} }: { readonly retention?: Retention | undefined },
): Record<"results" | "record", number> {
  if (typeof retention === "number") return { results: retention, record: retention };
  return { results: retention.results ?? RETENTION_MS, record: retention.record ?? RETENTION_MS };
}

/** When a run that was made at `queuedAt` should be over. */
export function deadlineOf(deadline: Deadline, queuedAt: number, logicalDate: Date): number {
  const { ms = 0, from = "queuedAt" } = typeof deadline === "number" ? { ms: deadline } : deadline;
  return ms + (from === "queuedAt" ? queuedAt : from === "logicalDate" ? logicalDate.getTime() : from.getTime());
}

export const deadlineCheck: Check = (value) => {
  if (milliseconds(value) === undefined || isDeadline(value)) return undefined;
  return "milliseconds above 0, or { ms, from: 'queuedAt' | 'logicalDate' | a Date, onMiss }";
};

function isDeadline(value: unknown): boolean {
  if (object(value) !== undefined) return false;
  const { ms = 0, from = "queuedAt", onMiss = [], ...rest } = value as Record<string, unknown>;
  const isFrom = from === "queuedAt" || from === "logicalDate" || (from instanceof Date && !Number.isNaN(from.getTime()));
  return Object.keys(rest).length === 0 && Number.isFinite(ms) && isFrom && calls(onMiss) === undefined;
}

export const retentionCheck: Check = (value) => {
  const given: [string, unknown][] = object(value) === undefined ? Object.entries(value as object) : [["results", value]];
  const isOne = ([name, ms]: [string, unknown]): boolean => (
    (name === "results" || name === "record") && (ms === undefined || amount(ms) === undefined)
  );
  return given.every(isOne) ? undefined : "milliseconds, or { results, record } in milliseconds";
};
