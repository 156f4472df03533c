// What a run was made in: versions, machine, and the state of the code's repository.

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { cpus, hostname, totalmem } from "node:os";
import { dirname, join } from "node:path";

export interface RunEnvironment {
  /** Of Node.js. */
  readonly node: string;
  readonly platform: string;
  readonly arch: string;
  readonly machine: string;
  readonly cpus: number;
  /** Bytes. */
  readonly memory: number;
  /** Hash of the lockfile of the program's packages. */
  readonly lockfile?: string | undefined;
  /** Of the program's repository; `dirty` when files differ from the commit. */
  readonly git?: { readonly commit: string; readonly dirty: boolean } | undefined;
}

const LOCKFILES = ["package-lock.json", "pnpm-lock.yaml", "yarn.lock", "npm-shrinkwrap.json"];
const GIT_TIMEOUT_MS = 2000;
let known: Promise<RunEnvironment> | undefined;

/** Of this process; looked at once. */
export function environmentHere(): Promise<RunEnvironment> {
  return (known ??= look());
}

async function look(): Promise<RunEnvironment> {
  return {
    node: process.version, platform: process.platform, arch: process.arch, machine: hostname(), cpus: cpus().length,
    memory: totalmem(), lockfile: lockfileHash(process.cwd()), git: await gitState(),
  };
}

function lockfileHash(folder: string): string | undefined {
  for (const name of LOCKFILES) {
    try {
      return createHash("sha256").update(readFileSync(join(folder, name))).digest("hex").slice(0, 32);
    } catch {
      // Not this one, or not here.
    }
  }
  return dirname(folder) === folder ? undefined : lockfileHash(dirname(folder));
}

async function gitState(): Promise<RunEnvironment["git"]> {
  const commit = await git("rev-parse", "HEAD");
  if (commit === undefined) return undefined;
  return { commit: commit.trim(), dirty: ((await git("status", "--porcelain", "--untracked-files=no")) ?? "") !== "" };
}

/** Undefined where there is no repository, or no git. */
function git(...args: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile("git", [...args], { timeout: GIT_TIMEOUT_MS }, (error, stdout) => resolve(error === null ? stdout : undefined));
  });
}
