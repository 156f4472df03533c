// timeline(file): what ran where and what waited, as a file that https://ui.perfetto.dev and chrome://tracing open.

import { open } from "node:fs/promises";
import { InvalidArgumentError } from "../runtime/errors.ts";
import { currentSession } from "../runtime/owner/index.ts";
import { shapeRow, type TaskRow } from "./rows.ts";
import { askRows } from "./state.ts";
import { traceOf } from "./trace.ts";

/** Each process tells of its last 10,000. */
export const TIMELINE_TASKS_MAX = 100_000;
/** Written at once. */
const PIECE_CHARS = 64 * 1024;

/**
 * Writes a trace of the tasks and actor calls of the whole cluster to `file`, in Chrome's format: those that run, and the last
 * 10,000 that ended of each process that submitted them. A process with a blocked loop is left out and named in the file.
 */
export async function timeline(file: string): Promise<void> {
  if (typeof file !== "string" || file === "") throw new InvalidArgumentError("timeline: the file must be a path");
  const { json, total, missing } = await askRows(currentSession(), { kind: "tasks", limit: TIMELINE_TASKS_MAX });
  const rows = (JSON.parse(json) as object[]).map((row) => shapeRow("tasks", row));
  await writeTimeline(file, rows, { tasksLeftOut: total - rows.length, notTold: missing });
}

/** `about`: what the file says of itself. */
export async function writeTimeline(file: string, rows: readonly TaskRow[], about: object): Promise<void> {
  const handle = await open(file, "w", 0o644);
  try {
    let piece = `{"displayTimeUnit":"ms","otherData":${JSON.stringify(about)},"traceEvents":[`;
    let between = "\n";
    for (const event of traceOf(rows, Date.now())) {
      piece += `${between}${JSON.stringify(event)}`;
      between = ",\n";
      if (piece.length < PIECE_CHARS) continue;
      await handle.write(piece);
      piece = "";
    }
    await handle.write(`${piece}\n]}\n`);
  } finally {
    await handle.close();
  }
}
