// Hosts on one machine: a network namespace each, joined by a bridge, and what each sends and gets limited to the same rate.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const COMMAND_TIMEOUT_MS = 10_000;

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class Namespaces {
  readonly #prefix = `trb${process.pid}`;
  readonly #folders: string[] = [];
  readonly hosts: number;

  /** Needs root. `mbit`: in each direction. */
  constructor(hosts: number, mbit: number) {
    this.hosts = hosts;
    ip("netns", "add", this.#hub);
    ip("-n", this.#hub, "link", "add", "br0", "type", "bridge");
    ip("-n", this.#hub, "link", "set", "br0", "up");
    for (let host = 1; host <= hosts; host += 1) this.#add(host, mbit);
  }

  addressOf(host: number): string {
    return `10.214.77.${host}`;
  }

  /** A folder for what runs there. */
  folderOf(host: number): string {
    return this.#folders[host - 1];
  }

  run(host: number, program: string, args: readonly string[], env: NodeJS.ProcessEnv, timeoutMs: number): Promise<Ran> {
    const child = spawn("ip", ["netns", "exec", this.#nameOf(host), program, ...args], {
      env, stdio: ["ignore", "pipe", "pipe"], timeout: timeoutMs, killSignal: "SIGKILL",
    });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (bytes: Buffer) => (stdout += bytes.toString()));
    child.stderr.on("data", (bytes: Buffer) => (stderr += bytes.toString()));
    return new Promise((resolve, reject) => {
      child.once("error", reject);
      // What it started in the background may hold its pipes.
      child.once("exit", (code) => setTimeout(() => resolve({ code, stdout, stderr }), 100));
    });
  }

  /** Processes in all of them. */
  pids(): number[] {
    const names = Array.from({ length: this.hosts }, (_, index) => this.#nameOf(index + 1));
    return names.flatMap((name) => ip("netns", "pids", name).split("\n").filter(Boolean).map(Number));
  }

  /** Ends what runs in them, and them. */
  remove(): void {
    for (const pid of this.pids()) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It ended by itself.
      }
    }
    for (let host = 1; host <= this.hosts; host += 1) ip("netns", "del", this.#nameOf(host));
    ip("netns", "del", this.#hub);
    for (const folder of this.#folders) rmSync(folder, { recursive: true, force: true });
  }

  #add(host: number, mbit: number): void {
    const name = this.#nameOf(host);
    ip("netns", "add", name);
    ip("-n", this.#hub, "link", "add", `to${host}`, "type", "veth", "peer", "name", "eth0", "netns", name);
    ip("-n", this.#hub, "link", "set", `to${host}`, "master", "br0", "up");
    ip("-n", name, "addr", "add", `${this.addressOf(host)}/24`, "dev", "eth0");
    ip("-n", name, "link", "set", "lo", "up");
    ip("-n", name, "link", "set", "eth0", "up");
    const shape = ["root", "tbf", "rate", `${mbit}mbit`, "burst", "256kb", "latency", "100ms"];
    tc("-n", name, "qdisc", "add", "dev", "eth0", ...shape);
    tc("-n", this.#hub, "qdisc", "add", "dev", `to${host}`, ...shape);
    this.#folders.push(mkdtempSync(join(tmpdir(), "b-")));
  }

  #nameOf(host: number): string {
    return `${this.#prefix}-${host}`;
  }

  get #hub(): string {
    return `${this.#prefix}-hub`;
  }
}

function ip(...args: readonly string[]): string {
  return execFileSync("ip", args, { timeout: COMMAND_TIMEOUT_MS, encoding: "utf8" });
}

function tc(...args: readonly string[]): void {
  execFileSync("tc", args, { timeout: COMMAND_TIMEOUT_MS });
}
