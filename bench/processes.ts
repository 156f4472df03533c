// Memory and CPU of processes, from /proc: Linux only.

import { readdirSync, readFileSync } from "node:fs";

/** Linux reports CPU time in hundredths of a second to programs, whatever the kernel's own tick. */
const TICKS = 100;

/** State, parent and times of a process: the fields after its name, which may itself have spaces and parentheses. */
function statOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/stat`, "latin1").replace(/^.*\) /s, "").split(" ");
  } catch {
    // It has ended.
    return [];
  }
}

/** A process and all that descend from it. */
export function treeOf(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    const parent = Number(/^\d+$/.test(name) ? statOf(Number(name))[1] : Number.NaN);
    if (!Number.isNaN(parent)) children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const found = [root];
  for (let i = 0; i < found.length; i += 1) found.push(...(children.get(found[i]) ?? []));
  return found;
}

export function cpuSecondsOf(pid: number): number {
  const fields = statOf(pid);
  return fields.length === 0 ? 0 : (Number(fields[11]) + Number(fields[12])) / TICKS;
}

/** Bytes of resident memory. */
export function rssOf(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
  return Number(kib ?? 0) * 1024;
}
