// The table of all rows, and what a row is.

import { dagRows } from "./dag-rows.ts";
import { limitRows } from "./limit-rows.ts";
import { ownRows } from "./own-rows.ts";
import { rateRows } from "./rate-rows.ts";
import { schedulingRows } from "./scheduling-rows.ts";
import { spillRows } from "./spill-rows.ts";
import type { Windows } from "./timing.ts";
import { transferRows } from "./transfer-rows.ts";
import { valueRows } from "./value-rows.ts";

export interface Row {
  readonly name: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
  /** Brings its own clusters, in child processes; the others run in the one there is. */
  readonly alone?: boolean;
  /** One figure for each window or repetition. */
  measure(windows: Windows): Promise<number[]>;
}

export const rows: readonly Row[] = [
  ...rateRows, ...ownRows, ...valueRows, ...schedulingRows, ...limitRows, ...spillRows, ...dagRows, ...transferRows,
];

/** Rows whose name has the pattern in it; `^name$` is exactly one. */
export function rowsLike(pattern: string): Row[] {
  const wanted = new RegExp(pattern);
  return rows.filter(({ name }) => wanted.test(name));
}
