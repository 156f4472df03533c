// `troupe doctor`: looks at this machine, and says what is wrong and what to do.

import { existsSync, lstatSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { connect } from "node:net";
import { freemem, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { howToBuild, staleness } from "../native/index.ts";
import { readRecords, sessionDirs, sessionsFolder } from "../runtime/driver/index.ts";
import { FoundWrong } from "./failure.ts";
import { textOf } from "./option-values.ts";
import { print, printJson, shownBytes } from "./table.ts";

interface Finding {
  readonly name: string;
  readonly state: "ok" | "warning" | "wrong";
  readonly text: string;
  /** What to do about it. */
  readonly remedy?: string;
}

const NODE_WANTED = [20, 19] as const;
const MEMORY_WANTED = 512 * 2 ** 20;
/** Each worker and each object store holds some. */
const FILES_WANTED = 1024;
const CONNECT_TIMEOUT_MS = 1000;
/** Root of the package, from dist/cli. */
const ROOT = new URL("../../", import.meta.url);

export function declareDoctor(command: Command): void {
  command
    .option("--json", "print JSON")
    .addHelpText("after", `
Example:
  $ troupe doctor`)
    .action(doctor);
}

async function doctor({ json }: { readonly json?: boolean }): Promise<void> {
  const found = [nodeVersion(), addon(), memory(), openFiles(), socketFolder(), await staleSessions()];
  if (json) printJson(found);
  else for (const { name, state, text, remedy } of found) {
    print(`${state.padEnd(8)} ${name}: ${text}${remedy === undefined ? "" : `\n${" ".repeat(9)}→ ${remedy}`}`);
  }
  if (found.some(({ state }) => state === "wrong")) throw new FoundWrong();
}

function nodeVersion(): Finding {
  const [major, minor] = process.versions.node.split(".").map(Number);
  const isNew = major > NODE_WANTED[0] || (major === NODE_WANTED[0] && minor >= NODE_WANTED[1]);
  const text = `${process.versions.node} on ${process.platform} ${process.arch}`;
  if (isNew) return { name: "Node.js", state: "ok", text };
  return { name: "Node.js", state: "wrong", text, remedy: `install ${NODE_WANTED.join(".")} or newer` };
}

/** The addon that maps shared memory: built here, or shipped for this platform. */
function addon(): Finding {
  const name = "native addon";
  const remedy = `${howToBuild()} builds it; it needs a C compiler, make and Python`;
  const folders = ["native/build/Release", `native/prebuilds/${process.platform}-${process.arch}`];
  const files = folders.map((folder) => fileURLToPath(new URL(folder, ROOT))).filter((folder) => existsSync(folder))
    .flatMap((folder) => readdirSync(folder).filter((file) => file.endsWith(".node")).map((file) => `${folder}/${file}`));
  if (files.length === 0) return { name, state: "wrong", text: "it is not built", remedy };
  try {
    const stale = staleness(createRequire(import.meta.url)(files[0]) as object);
    if (stale !== undefined) return { name, state: "wrong", text: `${files[0]} ${stale}`, remedy };
    return { name, state: "ok", text: files[0] };
  } catch (error) {
    return { name, state: "wrong", text: `${files[0]} can't be loaded: ${(error as Error).message}`, remedy };
  }
}

function memory(): Finding {
  const limit = cgroupLimit();
  const free = freemem();
  const limited = limit === undefined ? "no limit of a container" : `limited to ${shownBytes(limit)} by its container`;
  const text = `${shownBytes(free)} free of ${shownBytes(totalmem())}, ${limited}`;
  if (limit !== undefined && limit < free) {
    const remedy = "give --num-cpus and --object-store-memory to troupe start: their defaults follow the machine's free memory";
    return { name: "memory", state: "warning", text, remedy };
  }
  if (free < MEMORY_WANTED) {
    return { name: "memory", state: "warning", text, remedy: "end something, or offer less with --object-store-memory" };
  }
  return { name: "memory", state: "ok", text };
}

/** Of cgroup v2, then v1; the files are those of this process's own group in a container. */
function cgroupLimit(): number | undefined {
  const own = /^0::(.*)$/m.exec(textOf("/proc/self/cgroup") ?? "")?.[1] ?? "/";
  const files = [`/sys/fs/cgroup${own}/memory.max`, "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
  const limits = files.map((file) => Number(textOf(file) || NaN)).filter((limit) => limit > 0 && limit < totalmem());
  return limits.length === 0 ? undefined : Math.min(...limits);
}

function openFiles(): Finding {
  const name = "open files";
  const limit = /^Max open files\s+(\S+)/m.exec(textOf("/proc/self/limits") ?? "")?.[1];
  if (limit === undefined) return { name, state: "ok", text: "this system does not tell its limit" };
  const text = `a process may have ${limit}`;
  if (limit === "unlimited" || Number(limit) >= FILES_WANTED) return { name, state: "ok", text };
  return { name, state: "warning", text, remedy: `raise it: ulimit -n ${FILES_WANTED * 4}` };
}

function socketFolder(): Finding {
  const name = "socket folder";
  const folder = sessionsFolder();
  if (!existsSync(folder)) return { name, state: "ok", text: `${folder} will be made` };
  const { uid, mode } = lstatSync(folder);
  const remedy = `remove ${folder}, or set TMPDIR to a folder of your own`;
  if (uid !== (process.getuid?.() ?? uid)) return { name, state: "wrong", text: `${folder} belongs to another user`, remedy };
  const isOpen = (mode & 0o077) !== 0;
  if (isOpen) return { name, state: "wrong", text: `${folder} is open to other users`, remedy: `chmod 700 ${folder}` };
  return { name, state: "ok", text: folder };
}

/** Sessions whose processes are gone: killed with everything around them, or the machine was switched off. */
async function staleSessions(): Promise<Finding> {
  const name = "sessions";
  const { running, stale } = readRecords();
  const recorded = new Set([...running, ...stale].map(({ sessionDir }) => sessionDir));
  const unrecorded = sessionDirs().filter((folder) => !recorded.has(folder));
  const dead: string[] = stale.map(({ sessionDir }) => sessionDir);
  for (const folder of unrecorded) if (await isRefused(`${folder}/agent.sock`)) dead.push(folder);
  const text = `${running.length} started by troupe start, ${sessionDirs().length - running.length - dead.length} others`;
  if (dead.length === 0) return { name, state: "ok", text };
  return { name, state: "warning", text: `${text}, ${dead.length} left behind`, remedy: `rm -r ${dead.join(" ")}` };
}

/** True when nobody listens at a socket that is there; a session without one is just starting. */
function isRefused(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const done = (refused: boolean) => {
      socket.destroy();
      resolve(refused);
    };
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => done(false));
    socket.once("connect", () => done(false));
    socket.once("error", (error: NodeJS.ErrnoException) => done(error.code === "ECONNREFUSED"));
  });
}
