// A cluster for one driver, on this machine: started with it and gone with it, kill -9 included.
//
// One host process is head and agent; it and its workers hold lifelines, so the end of the driver ends them whatever their loops
// do. The session's folder holds the sockets; whoever ends last removes it.

import { rmSync } from "node:fs";
import { ConnectionError, DeadlineError } from "../errors.ts";
import type { Seams, Timer } from "../seams.ts";
import type { AgentConfig } from "../agent/index.ts";
import { makeSessionDir } from "./session-folder.ts";

const START_TIMEOUT_MS = 60_000;

export interface PrivateCluster {
  readonly agentAddress: string;
  readonly clusterId: string;
  readonly nodeId: string;
  readonly token: string;
  /** Resolves when it can be joined; rejects with why it did not come up. */
  readonly ready: Promise<void>;
  /** Ends it and waits until nothing of it is left. */
  stop(): Promise<void>;
}

export function startPrivateCluster(seams: Seams, node: AgentConfig["node"], metricsPort?: number | false): PrivateCluster {
  const { random, spawner } = seams;
  const identity = { clusterId: random.hex(8), token: random.hex(32), nodeId: random.hex(8) };
  const sessionDir = makeSessionDir(identity.nodeId);
  let settle: { resolve: () => void; reject: (error: Error) => void } = { resolve: () => {}, reject: () => {} };
  let gone: () => void = () => {};
  const ended = new Promise<void>((resolve) => (gone = resolve));
  const ready = new Promise<void>((resolve, reject) => (settle = { resolve, reject }));
  ready.catch(() => {});
  const processId = random.hex(8);
  const config: AgentConfig = {
    ...identity, sessionDir, processId, node, head: "embedded", listen: "", lifeline: true, metricsPort,
  };
  const host = spawner.spawn({
    program: "agent",
    config,
    onReady: () => settle.resolve(),
    onLine: (stream, line) => process[stream].write(`${line}\n`),
    onExit: (exit) => {
      rmSync(sessionDir, { recursive: true, force: true });
      const tail = exit.stderrTail.length === 0 ? "" : `:\n${exit.stderrTail.join("\n")}`;
      const how = exit.signal ?? `exit code ${exit.exitCode}`;
      settle.reject(new ConnectionError(`the cluster's host process ended (${how})${tail}`));
      gone();
    },
  });
  const timer = seams.clock.after(START_TIMEOUT_MS, () => {
    settle.reject(new DeadlineError(`the private cluster did not start within ${START_TIMEOUT_MS} ms`));
    host.kill();
  }, true);
  ready.then(() => timer.cancel(), () => timer.cancel());
  return {
    ...identity, ready,
    agentAddress: `unix:${sessionDir}/agent.sock`,
    async stop() {
      host.signal("SIGTERM");
      // Holds this process for as long as it takes: a killed host still gives gigabytes back to the system.
      const insist = (): Timer => seams.clock.after(STOP_GRACE_MS, () => {
        host.kill();
        held = insist();
      }, true);
      let held = insist();
      await ended;
      held.cancel();
    },
  };
}

/** The host ends its workers by SIGKILL and needs no longer for it. */
const STOP_GRACE_MS = 3000;
