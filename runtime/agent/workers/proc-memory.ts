// Memory of this machine and of processes, as Linux tells it. Elsewhere nothing is known, and nobody is ended.

import { readFileSync } from "node:fs";
import type { NodeMemory } from "./memory-watch.ts";

/** Of what the machine has, or its control group allows. */
const MOST_USED = 0.95;
const KIB = 1024;
const MIB = 1024 * KIB;

interface Usage {
  readonly of: string;
  readonly used: number;
  readonly limit: number;
}

/** `workersMost`: bytes that the workers of the node may hold together; undefined for no bound but the machine's. */
export function procMemory(workersMost: number | undefined): NodeMemory {
  const group = controlGroup();
  return {
    shortage(pids) {
      const workers = workersMost === undefined ? undefined : sumOf(pids, workersMost);
      if (workers !== undefined && workers.used > workers.limit) return describe(workers);
      const short = [machine(), group?.()].find((usage) => usage !== undefined && usage.used > usage.limit * MOST_USED);
      return short && describe(short);
    },
    ownBytes,
    kernelKills: () => Number(/^oom_kill (\d+)$/m.exec(read("/proc/vmstat"))?.[1] ?? 0),
  };
}

function ownBytes(pid: number): number {
  return kibOf(read(`/proc/${pid}/status`), "RssAnon") ?? 0;
}

function sumOf(pids: readonly number[], limit: number): Usage {
  return { of: "the workers of its node", used: pids.reduce((sum, pid) => sum + ownBytes(pid), 0), limit };
}

function machine(): Usage | undefined {
  const text = read("/proc/meminfo");
  const total = kibOf(text, "MemTotal");
  const available = kibOf(text, "MemAvailable");
  if (total === undefined || available === undefined) return undefined;
  return { of: "its machine", used: total - available, limit: total };
}

/** Reads the use and limit of the control group that this process is in, of either version; undefined without a limit. */
function controlGroup(): (() => Usage | undefined) | undefined {
  const paths = read("/proc/self/cgroup");
  const second = /^0::(\/.*)$/m.exec(paths)?.[1];
  const first = /^\d+:[^:]*\bmemory\b[^:]*:(\/.*)$/m.exec(paths)?.[1];
  const [folder, limitName, usedName] = first === undefined
    ? [`/sys/fs/cgroup${second ?? ""}`, "memory.max", "memory.current"]
    : [`/sys/fs/cgroup/memory${first}`, "memory.limit_in_bytes", "memory.usage_in_bytes"];
  // Inside a container the group's own path is not to be seen: there it is the root.
  const seen = read(`${folder}/${limitName}`) === "" ? folder.slice(0, folder.length - (first ?? second ?? "").length) : folder;
  const limit = Number.parseInt(read(`${seen}/${limitName}`), 10);
  if (!Number.isFinite(limit) || limit >= Number.MAX_SAFE_INTEGER) return undefined;
  return () => {
    const used = Number.parseInt(read(`${seen}/${usedName}`), 10);
    // Files that were read are given up when anybody wants the memory.
    const cache = Number(/^(?:total_)?inactive_file (\d+)$/m.exec(read(`${seen}/memory.stat`))?.[1] ?? 0);
    return Number.isFinite(used) ? { of: "its control group", used: used - cache, limit } : undefined;
  };
}

function describe({ of, used, limit }: Usage): string {
  return `memory ran out: ${of} used ${Math.round(used / MIB)} of ${Math.round(limit / MIB)} MiB`;
}

function kibOf(text: string, name: string): number | undefined {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text);
  return found === null ? undefined : Number(found[1]) * KIB;
}

/** Processes end while they are looked at, and not every system has these files. */
function read(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH" || code === "EACCES" || code === "ENOTDIR") return "";
    throw error;
  }
}
