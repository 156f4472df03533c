// A machine for tests of the command line: a temporary folder of its own, so that its sessions are no other test's, and if
// wanted a network namespace of its own.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** A command that takes longer is stuck. */
const TIMEOUT_MS = 60_000;

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface StatusSaid {
  readonly clusterId: string;
  readonly address: string;
  readonly nodes: readonly {
    readonly id: string; readonly state: string; readonly isHead: boolean; readonly pid: number; readonly address: string;
    readonly resources: Readonly<Record<string, number>>; readonly labels: Readonly<Record<string, string>>;
  }[];
  readonly resources: Readonly<Record<string, number>>;
}

export class Machine {
  readonly folder = mkdtempSync(join(tmpdir(), "m-"));
  readonly #enter: readonly string[];

  /** `enter`: a command in front of every other, such as `ip netns exec NAME`. */
  constructor(enter: readonly string[] = []) {
    this.#enter = enter;
  }

  troupe(...args: readonly string[]): Promise<Ended> {
    return this.node(join(ROOT, "cli", "troupe.js"), ...args);
  }

  /** Runs Node on this machine. */
  node(...args: readonly string[]): Promise<Ended> {
    return this.#run(args, {});
  }

  #run(args: readonly string[], environment: Readonly<Record<string, string>>): Promise<Ended> {
    const [program, ...rest] = [...this.#enter, process.execPath, ...args];
    const { TROUPE_ADDRESS: _address, TROUPE_TOKEN: _token, TROUPE_TOKEN_FILE: _file, ...inherited } = process.env;
    const child = spawn(program, rest, {
      env: { ...inherited, TMPDIR: this.folder, XDG_STATE_HOME: this.folder, ...environment },
      stdio: ["ignore", "pipe", "pipe"], timeout: TIMEOUT_MS, killSignal: "SIGKILL",
    });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (bytes: Buffer) => (stdout += bytes.toString()));
    child.stderr.on("data", (bytes: Buffer) => (stderr += bytes.toString()));
    return new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => resolve({ code, stdout, stderr }));
    });
  }

  /** Runs a driver: `body` is the text of a module in which everything of the package is in scope. */
  driver(body: string, environment: Readonly<Record<string, string>> = {}): Promise<Ended> {
    const file = join(this.folder, "driver.mjs");
    const troupe = pathToFileURL(join(ROOT, "dist", "sdk", "index.js")).href;
    const names = "init, isInitialized, shutdown, remote, get, put, run, wait, cancel, list, kv, getActor, onNode, " +
      "AuthenticationError";
    writeFileSync(file, `import { ${names} } from ${JSON.stringify(troupe)};\n${body}\n`);
    return this.#run([file], environment);
  }

  async status(...args: readonly string[]): Promise<StatusSaid> {
    const { code, stdout, stderr } = await this.troupe("status", "--json", ...args);
    if (code !== 0) throw new Error(`troupe status ended with ${code}: ${stderr}`);
    return JSON.parse(stdout) as StatusSaid;
  }

  /** Ends whatever was started here, and forgets the machine. */
  async remove(): Promise<void> {
    await this.troupe("stop", "--force");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The token file a start has told of. */
export function tokenFileOf({ stdout }: Ended): string {
  return /token file\s+(\S+)/.exec(stdout)?.[1] ?? "";
}
