// An attempt on a worker: what is sent there names this, and has the code of the task and nothing else with it.

import { noteSender } from "../../sdk/contract.ts";
import { digestOf, getRuntimeContext, InvalidArgumentError, type RetryExceptions } from "../../sdk/index.ts";
import type { ResultRecord } from "../journal/records.ts";
import { attempt, type Order, type Report } from "./attempt.ts";
import { type Keeping, KeptAttempt } from "./kept-attempt.ts";
import { bytesOfNote, type Note } from "./telling.ts";

type Where = { readonly nodeId: string; readonly workerPid: number; readonly repeats?: number };
/** What the worker tells of a result; the rest of its record is known to who started the task. */
type Made = Pick<ResultRecord, "size" | "hash" | "checkpoint" | "cached">;
export interface ToldThere {
  readonly report: Report;
  readonly where: Where;
  readonly tookMs: number;
  readonly made?: Made | undefined;
}
export type Answer = readonly [told: ToldThere, value: unknown];

export interface TaskCode {
  readonly fn: (...args: never[]) => unknown;
  readonly kind: string;
  readonly retryOn: RetryExceptions | undefined;
  readonly keeping: Keeping | undefined;
}

/** Handles in what is sent are places in the list of values beside it. */
export const placeIn = (values: readonly unknown[]) => (handle: unknown): unknown => values[handle as number];

export async function attemptThere(
  { fn, kind, retryOn, keeping }: TaskCode, ordered: Order, values: readonly unknown[],
): Promise<Answer> {
  const began = performance.now();
  const send = noteSender();
  const took = (): number => performance.now() - began;
  const { signal, nodeId, attempt: repeats = 0 } = getRuntimeContext();
  const order = { ...ordered, attempt: ordered.attempt + repeats };
  const where = { nodeId, workerPid: process.pid, ...(repeats > 0 && { repeats }) };
  const place = { signal, now: () => Date.now(), valueOf: placeIn(values), note: (one: Note) => send(bytesOfNote(one)) };
  const kept = keeping && new KeptAttempt(keeping, fn, order);
  const [report, value] = await attempt(kept?.code ?? fn, kind, retryOn, order, place);
  if (report.outcome !== "success") return [{ report, where, tookMs: took() }, undefined];
  try {
    const made = await (kept?.keep(value) ?? digestOf(value));
    return [{ report, where, tookMs: took(), made }, value];
  } catch (error) {
    const final = error instanceof InvalidArgumentError;
    return [{ report: { outcome: "error", error, final, told: report.told }, where, tookMs: took() }, undefined];
  }
}
