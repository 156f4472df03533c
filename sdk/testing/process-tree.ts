// Children of a process, from /proc.

import { readdirSync, readFileSync } from "node:fs";

export interface Child {
  readonly pid: number;
  readonly program: "head" | "agent" | "worker" | "other";
}

export function childrenOf(parent: number): Child[] {
  const children: Child[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const pid = Number(name);
    const stat = read(`/proc/${pid}/stat`);
    // The command is in parentheses and may hold spaces; the parent is the second field after it.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (Number(fields[1]) === parent) children.push({ pid, program: programOf(pid) });
  }
  return children;
}

function programOf(pid: number): Child["program"] {
  const match = /runtime\/(head|agent|worker)\/main\.js/.exec(read(`/proc/${pid}/cmdline`));
  return (match?.[1] as Child["program"] | undefined) ?? "other";
}

/** A process may end while it is looked at. */
function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
