// Records of the nodes that `troupe start` started here: how later commands and init({ address: "auto" }) find them.
//
// A record lies in its session's folder and goes with it. It names its process by id and start time, so a record whose process is
// gone is told from one whose process id belongs to somebody else by now.

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join as joinPath } from "node:path";
import { isSessionName, sessionsFolder } from "./session-folder.ts";

const RECORD = "node.json";
const PS_TIMEOUT_MS = 5000;

export interface SessionRecord {
  /** Of its agent. */
  readonly pid: number;
  readonly processStart: string;
  /** `tcp:host:port`: where other machines dial. */
  readonly address: string;
  /** `tcp:host:port` of the node through which it joined its cluster; "" for the first. */
  readonly joined: string;
  readonly tokenFile: string;
  readonly nodeId: string;
  readonly clusterId: string;
  readonly isHead: boolean;
  readonly sessionDir: string;
  /** Plain text to and from other machines was allowed when it was started. */
  readonly trustedNetwork: boolean;
}

export function writeRecord(record: SessionRecord): void {
  const file = joinPath(record.sessionDir, RECORD);
  // Whole or not at all: another command may read it now.
  writeFileSync(`${file}.new`, `${JSON.stringify(record, undefined, 2)}\n`, { mode: 0o600, flag: "wx" });
  renameSync(`${file}.new`, file);
}

/** Records of nodes that run, and of those that have ended without an orderly end. */
export function readRecords(): { readonly running: SessionRecord[]; readonly stale: SessionRecord[] } {
  const running: SessionRecord[] = [];
  const stale: SessionRecord[] = [];
  for (const sessionDir of sessionDirs()) {
    const text = textOf(joinPath(sessionDir, RECORD));
    if (text === undefined) continue;
    const record = { ...(JSON.parse(text) as SessionRecord), sessionDir };
    (isRunning(record) ? running : stale).push(record);
  }
  return { running, stale };
}

/** Folders of all sessions of this user, those of private clusters too. */
export function sessionDirs(): string[] {
  const folder = sessionsFolder();
  return unlessAbsent(() => readdirSync(folder), []).filter(isSessionName).map((name) => joinPath(folder, name));
}

export function isRunning({ pid, processStart }: Pick<SessionRecord, "pid" | "processStart">): boolean {
  return processStartOf(pid) === processStart;
}

/** When a process started, in a form that no other process of this id ever has; undefined when it has ended. */
export function processStartOf(pid: number): string | undefined {
  if (process.platform !== "linux") return startByPs(pid);
  const stat = textOf(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The command is in parentheses and may hold spaces; the state is the first field after it, the start the twentieth.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // Ticks since the machine booted: the boot is part of the name.
  return fields[0] === "Z" ? undefined : `${textOf("/proc/sys/kernel/random/boot_id")?.trim() ?? ""}/${fields[19]}`;
}

function startByPs(pid: number): string | undefined {
  try {
    const said = execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], { encoding: "utf8", timeout: PS_TIMEOUT_MS });
    return said.trim() || undefined;
  } catch (error) {
    // ps exits with 1 when there is no such process.
    if ((error as { status?: number }).status === 1) return undefined;
    throw error;
  }
}

function textOf(file: string): string | undefined {
  return unlessAbsent(() => readFileSync(file, "utf8"), undefined);
}

/** Sessions and processes may end while they are looked at. */
function unlessAbsent<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH" || code === "ENOTDIR") return otherwise;
    throw error;
  }
}
