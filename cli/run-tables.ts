// A run's tasks and result, as tables and as JSON.

import type { TaskInstanceRow } from "../dag/index.ts";
import { shownMs } from "./run-view.ts";
import { print, table } from "./table.ts";

export interface ShownRun {
  readonly id: string;
  readonly state: string;
  readonly tasks: readonly TaskInstanceRow[];
  readonly result?: unknown;
}

const COLUMNS = ["id", "state", "attempt", "took", "node", "reason"];

export function printRun({ id, state, tasks, result }: ShownRun): void {
  print(taskTable(tasks));
  print(`${id}: ${state}`);
  if (result !== undefined) print(`result: ${json(result)}`);
}

export function printRunJson(run: ShownRun): void {
  print(json(run, 2));
}

export function taskTable(tasks: readonly TaskInstanceRow[]): string {
  return table(COLUMNS, tasks.map(({ id, state, attempt, startedAt, endedAt, nodeId, reason }) => {
    const took = startedAt === undefined ? "" : shownMs((endedAt?.getTime() ?? Date.now()) - startedAt.getTime());
    return { id, state, attempt, took, node: nodeId, reason: reason?.split("\n")[0] };
  }));
}

/** Results of users may hold what JSON has not. */
export function json(value: unknown, indent?: number): string {
  const plain = (_key: string, one: unknown): unknown => {
    if (typeof one === "bigint") return String(one);
    if (one instanceof Map) return Object.fromEntries(one);
    if (one instanceof Set || (ArrayBuffer.isView(one) && !(one instanceof DataView))) return [...(one as Iterable<unknown>)];
    return one instanceof Error ? { name: one.name, message: one.message } : one;
  };
  return JSON.stringify(value, plain, indent) ?? "undefined";
}
