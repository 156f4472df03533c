// Nothing outlives the tests: after the whole run, no process it started is left, no session folder, no shared-memory file.
//
// Every process the run starts inherits TROUPE_TEST_RUN, a number of this run alone (vitest.config.ts), so it is found whatever
// became of its parents. The run has a temporary folder of its own; what tests leave there is not attributed to somebody else
// on this machine. What is left gets a moment to end by itself.

import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

const PATIENCE_MS = 5000;
const POLL_MS = 100;
const PREFIX = "troupe";

let sharedMemoryBefore: ReadonlySet<string> = new Set();

export function setup(): void {
  sharedMemoryBefore = new Set(sharedMemory());
}

export async function teardown(): Promise<void> {
  const marker = `TROUPE_TEST_RUN=${process.env.TROUPE_TEST_RUN}`;
  const folder = process.env.TMPDIR;
  let left: readonly string[] = [];
  for (let waited = 0; waited <= PATIENCE_MS; waited += POLL_MS) {
    left = [
      ...processesWith(marker),
      ...(folder === undefined ? [] : sessionFolders(folder)),
      ...sharedMemory().filter((name) => !sharedMemoryBefore.has(name)).map((name) => `shared memory /dev/shm/${name}`),
    ];
    if (left.length === 0) return;
    await delay(POLL_MS);
  }
  process.exitCode = 1;
  console.error(`left behind by the tests:\n${left.map((line) => `  ${line}`).join("\n")}`);
}

/** Processes of this run, without the test runner's own. Linux only: elsewhere there is no /proc to ask. */
export function processesWith(marker: string): string[] {
  const found: string[] = [];
  for (const pid of namesIn("/proc").filter((name) => /^\d+$/.test(name))) {
    if (Number(pid) === process.pid || !contents(`/proc/${pid}/environ`).split("\0").includes(marker)) continue;
    const command = contents(`/proc/${pid}/cmdline`).split("\0").filter(Boolean).join(" ");
    const [, state, parent] = /\) (\w) (\d+)/.exec(contents(`/proc/${pid}/stat`)) ?? [];
    const isRunner = Number(parent) === process.pid && /vitest|esbuild/.test(command);
    if (!isRunner && state !== undefined && state !== "Z") found.push(`process ${pid}: ${command || executable(pid)}`);
  }
  return found;
}

/** Session folders, and the sockets in them. The folder of one user (`troupe-1000`) may stay when it is empty. */
function sessionFolders(folder: string): string[] {
  const found: string[] = [];
  for (const name of namesIn(folder).filter((each) => each.startsWith(PREFIX))) {
    const inside = namesIn(`${folder}/${name}`);
    if (!/^troupe-\d+$/.test(name)) found.push(`temporary ${folder}/${name}`);
    else found.push(...inside.map((each) => `temporary ${folder}/${name}/${each}`));
  }
  return found;
}

function sharedMemory(): string[] {
  return namesIn("/dev/shm").filter((name) => name.startsWith(PREFIX));
}

function namesIn(folder: string): string[] {
  return unlessGone(() => readdirSync(folder), []);
}

function contents(path: string): string {
  return unlessGone(() => readFileSync(path, "latin1"), "");
}

function executable(pid: string): string {
  return unlessGone(() => readlinkSync(`/proc/${pid}/exe`), "unknown");
}

/** Processes end and files go while they are looked at; those of other users are not for us to see. */
function unlessGone<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "EACCES" || code === "ESRCH" || code === "ENOTDIR" || code === "EPERM") return otherwise;
    throw error;
  }
}
