// A cluster for one driver, on this machine: started with it and gone with it, kill -9 included.
//
// One host process is head and agent; it and its workers hold lifelines, so the end of the driver ends them whatever their loops do. The
// session's folder holds the sockets; whoever ends last removes it.

import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { ConnectionError, DeadlineError } from "../errors.ts";
import type { ChildProcess, Seams } from "../seams.ts";
import type { AgentConfig } from "../agent/index.ts";

const START_TIMEOUT_MS = 60_000;
/** A Unix socket's path has at most 107 bytes; ours adds a process id and a suffix to the folder. */
const SOCKET_DIR_MAX = 80;

export interface PrivateCluster {
  readonly agentAddress: string;
  readonly clusterId: string;
  readonly nodeId: string;
  readonly token: string;
  readonly host: ChildProcess;
  /** Resolves when the host listens; rejects with what it said when it did not come up. */
  readonly ready: Promise<void>;
  /** Ends it and waits until nothing of it is left. */
  stop(): Promise<void>;
}

/** A folder of this user's own for the sockets of one session. */
export function makeSessionDir(): string {
  const uid = process.getuid?.() ?? 0;
  const base = [tmpdir(), "/tmp"].find((dir) => dir.length < SOCKET_DIR_MAX - 30) ?? "/tmp";
  const parent = joinPath(base, `troupe-${uid}`);
  mkdirSync(parent, { recursive: true, mode: 0o700 });
  chmodSync(parent, 0o700);
  return mkdtempSync(joinPath(parent, "s-"));
}

export function startPrivateCluster(seams: Seams, node: AgentConfig["node"]): PrivateCluster {
  const { random, spawner } = seams;
  const sessionDir = makeSessionDir();
  const identity = { clusterId: random.hex(8), token: random.hex(32), nodeId: random.hex(8) };
  let settle: { resolve: () => void; reject: (error: Error) => void } = { resolve: () => {}, reject: () => {} };
  let gone: () => void = () => {};
  const ended = new Promise<void>((resolve) => (gone = resolve));
  const ready = new Promise<void>((resolve, reject) => (settle = { resolve, reject }));
  ready.catch(() => {});
  const config: AgentConfig = { ...identity, sessionDir, processId: random.hex(8), node, head: "embedded", listen: "", lifeline: true };
  const host = spawner.spawn({
    program: "agent",
    config,
    onReady: () => settle.resolve(),
    onLine: (stream, line) => process[stream].write(`${line}\n`),
    onExit: (exit) => {
      rmSync(sessionDir, { recursive: true, force: true });
      const tail = exit.stderrTail.length === 0 ? "" : `:\n${exit.stderrTail.join("\n")}`;
      settle.reject(new ConnectionError(`the cluster's host process ended (${exit.signal ?? `exit code ${exit.exitCode}`})${tail}`));
      gone();
    },
  });
  const timer = seams.clock.after(START_TIMEOUT_MS, () => {
    settle.reject(new DeadlineError(`the private cluster did not start within ${START_TIMEOUT_MS} ms`));
    host.kill();
  }, true);
  ready.then(() => timer.cancel(), () => timer.cancel());
  return {
    ...identity, host, ready,
    agentAddress: `unix:${sessionDir}/agent.sock`,
    async stop() {
      host.signal("SIGTERM");
      const force = seams.clock.after(STOP_GRACE_MS, () => host.kill(), true);
      await ended;
      force.cancel();
    },
  };
}

/** The host ends its workers by SIGKILL and needs no longer for it. */
const STOP_GRACE_MS = 3000;
