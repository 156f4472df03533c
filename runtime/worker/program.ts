// What the program of a worker does, in a process of its own or in a thread.

import type { WorkerConfig } from "../agent/index.ts";
import { setSession } from "../owner/index.ts";
import { mainOf } from "../programs.ts";
import { preloadArrow } from "../serialize/index.ts";
import { systemSpawner } from "../spawner.ts";
import { systemClock, systemRandom } from "../system.ts";
import { systemTransport } from "../transport/index.ts";
import { runSetupHook } from "./setup-hook.ts";
import { startWorker } from "./worker.ts";

export interface WorkerProgram {
  readonly exit: (code: number) => void;
  /** The setupHook has run, or failed with this. */
  readonly hookEnded: (failure: string | undefined) => void;
}

export async function runWorker(config: WorkerConfig, { exit, hookEnded }: WorkerProgram): Promise<void> {
  const { clusterId, token, nodeId, processId, sessionDir, environment } = config;
  const seams = {
    clock: systemClock,
    random: systemRandom,
    transport: systemTransport({ clock: systemClock }),
    spawner: systemSpawner({ mainOf }),
  };
  await preloadArrow();
  let prepared: (() => void) | undefined;
  const session = startWorker({
    seams,
    identity: { kind: "worker", processId, nodeId, clusterId, token },
    agentAddress: `unix:${sessionDir}/agent.sock`,
    pid: process.pid,
    environment,
    prepared: environment?.hasHook ? new Promise<void>((resolve) => (prepared = resolve)) : undefined,
    exit,
  });
  setSession(session);
  await session.joined();
  if (environment?.hasHook) {
    const failure = await runSetupHook(environment, session.code.shipper);
    hookEnded(failure);
    if (failure !== undefined) return exit(1);
    prepared?.();
  }
  // Idle or not, the worker lives until its agent ends it.
  session.parts.home.agent.hold(true);
}
