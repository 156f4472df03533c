// A node's agent as a process of its own: started here, and alive after the command has ended.

import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import type { AgentConfig } from "../runtime/agent/index.ts";
import { ConnectionError, DeadlineError, TroupeError } from "../runtime/errors.ts";
import { mainOf } from "../runtime/programs.ts";
import { signalGroup } from "../runtime/spawner.ts";
import { failureTold } from "./cluster-link.ts";

const START_TIMEOUT_MS = 60_000;
/** The lifeline's place among the file descriptors of a program. */
const LIFELINE = 3;

export interface Started {
  readonly pid: number;
  /** Where other machines dial. */
  readonly address: string;
  /** The command no longer holds the node; it lives on. */
  release(): void;
  signal(name: NodeJS.Signals): void;
  /** Resolves with what it ended with. */
  readonly ended: Promise<number | NodeJS.Signals>;
}

/** Where a detached node's output goes. */
export function logFileOf(sessionDir: string): string {
  return join(sessionDir, "agent.log");
}

/** Starts the agent and waits until it is ready. `attached`: its output is this command's, else it goes to the log file. */
export async function startDaemon(config: AgentConfig, attached: boolean): Promise<Started> {
  const child = spawnAgent(config, attached);
  const lifeline = child.stdio[LIFELINE] as Duplex;
  const ended = new Promise<number | NodeJS.Signals>((resolve) => {
    child.once("exit", (code, signal) => resolve(signal ?? code ?? 0));
  });
  const pid = child.pid ?? 0;
  try {
    const said = await firstLine(child, lifeline, config);
    if ("failed" in said) {
      const cause = failureTold(said.failed);
      throw new TroupeError(`the node did not start: ${cause.message}`, {}, cause);
    }
    return {
      pid, ended,
      address: String(said.address),
      release: () => {
        child.unref();
        lifeline.destroy();
      },
      signal: (name) => signalGroup(pid, name),
    };
  } catch (error) {
    signalGroup(pid, "SIGKILL");
    if (pid > 0) await ended;
    throw error;
  }
}

function spawnAgent(config: AgentConfig, attached: boolean): ChildProcess {
  // Secrets of this shell are no business of the node's tasks: the node gets its token through the lifeline.
  const { TROUPE_TOKEN: _token, ...environment } = process.env;
  const log = attached ? undefined : openSync(logFileOf(config.sessionDir), "ax", 0o600);
  try {
    return spawn(process.execPath, [mainOf("agent")], {
      stdio: ["ignore", log ?? "inherit", log ?? "inherit", "pipe"], detached: true, env: environment,
    });
  } finally {
    if (log !== undefined) closeSync(log);
  }
}

/** Tells the agent its configuration; resolves with the first it says: that it is ready, or why it is not. */
function firstLine(child: ChildProcess, lifeline: Duplex, config: AgentConfig): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new DeadlineError(`the node did not start within ${START_TIMEOUT_MS / 1000} s`));
    }, START_TIMEOUT_MS);
    let said = "";
    lifeline.on("data", (bytes: Buffer) => {
      said += bytes.toString();
      if (!said.includes("\n")) return;
      clearTimeout(timer);
      resolve(JSON.parse(said.slice(0, said.indexOf("\n"))) as Record<string, unknown>);
    });
    // A node that ends before it reads its configuration is reported by its exit.
    lifeline.on("error", () => {});
    child.once("error", (error) => {
      clearTimeout(timer);
      reject(new ConnectionError(`the node's process can't be started: ${error.message}`, {}, error));
    });
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      reject(new ConnectionError(`the node ended while it started (${signal ?? `exit code ${code}`})`));
    });
    lifeline.write(`${JSON.stringify(config)}\n`);
  });
}
