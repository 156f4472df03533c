// Whether a process that once gave its pid is still the same one, by the time it started.

import { readFileSync } from "node:fs";

const AGE_MASK = 0x7fffffff;
/** Position of the start time among the fields that follow the command in /proc/<pid>/stat. */
const STARTED_FIELD = 19;
const STATE_FIELD = 0;

/** Ticks since boot, 31 bits; undefined for a process that is gone, or a zombie. */
export function startedAt(pid: number | "self"): number | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH") return undefined;
    throw error;
  }
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  if (fields[STATE_FIELD] === "Z" || fields[STATE_FIELD] === "X") return undefined;
  return Number(BigInt(fields[STARTED_FIELD]) & BigInt(AGE_MASK));
}

export function isAlive(pid: number, started: number): boolean {
  return pid > 0 && startedAt(pid) === started;
}
