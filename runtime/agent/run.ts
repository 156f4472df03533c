// Puts an agent together from real parts, with its head where the configuration says.

import { writeSync } from "node:fs";
import { failureOf, InvalidArgumentError } from "../errors.ts";
import { EnvironmentSite, npmInstaller, unpackOffLoop } from "../environment/index.ts";
import { codeLimitOf, Head } from "../head/index.ts";
import { PACKAGE_ROOT } from "../programs.ts";
import { LIFELINE_FD, signalProcess } from "../spawner.ts";
import { watchLifeline } from "../lifeline.ts";
import { systemClock, systemRandom } from "../system.ts";
import type { Seams, Spawner } from "../seams.ts";
import { openStorage } from "../storage/index.ts";
import { createClaims, createStore, openSpillStorage, openStore } from "../store/index.ts";
import {
  type AnswerBody, Cuts, type Disturb, type Identity, memoryTransport, systemTransport, type Transport,
} from "../transport/index.ts";
import { SpillSpace } from "./objects/agent-spilling.ts";
import { Agent } from "./agent.ts";
import type { AgentConfig, WorkerConfig } from "./config.ts";
import type { EarlyWorker } from "./workers/early-worker.ts";
import { headWaitOf } from "./head/head-absence.ts";
import { HeadProcess } from "./head/head-process.ts";
import { boundOwnLog, LogFiles } from "./workers/log-files.ts";
import { serveMetrics } from "./reports/metrics-server.ts";
import { procMemory } from "./workers/proc-memory.ts";
import { StackReader } from "./reports/stack-reader.ts";
import { SILENCE_MS } from "./workers/worker-pool.ts";

const HEAD_ADDRESS = "memory:head";

export async function runAgent(config: AgentConfig, spawner: Spawner, early: readonly EarlyWorker[]): Promise<void> {
  try {
    await startAgent(config, spawner, early);
  } catch (error) {
    if (config.reportsFailure) writeSync(LIFELINE_FD, `${JSON.stringify({ failed: failureOf(error) })}\n`);
    throw error;
  }
}

async function startAgent(config: AgentConfig, spawner: Spawner, early: readonly EarlyWorker[]): Promise<void> {
  const { clusterId, token, nodeId, processId, sessionDir, node } = config;
  const identity: Identity = { kind: "agent", processId, nodeId, clusterId, token };
  const cuts = config.disturbable ? new Cuts(systemClock) : undefined;
  const transport = systemTransport({ clock: systemClock, trustedNetwork: config.trustedNetwork, cuts });
  const seams: Seams = { clock: systemClock, random: systemRandom, transport, spawner };
  const lifeline = watchLifeline({ watched: config.lifeline, path: sessionDir });
  const head = await startHead(config, seams, (reason) => agent.end(reason));
  const { objectStoreMemory: capacity, spillFolder = sessionDir } = node;
  const spill = spillFolder === false ? undefined : new SpillSpace(await openSpillStorage(spillFolder));
  const store = createStore({ capacity, overflow: spill?.overflow });
  const claims = createClaims();
  const logs = new LogFiles({ folder: `${sessionDir}/logs`, ownPath: `${sessionDir}/agent.log`, clock: systemClock });
  const stacks = new StackReader({
    clock: systemClock, random: systemRandom, interrupt: (pid) => signalProcess(pid, "SIGUSR1"),
  });
  const install = npmInstaller({
    clock: systemClock, spawner, started: (pid) => lifeline.add(pid), ended: (pid) => lifeline.remove(pid),
  });
  const { metricsPort = 0 } = config;
  const metrics = metricsPort === false ? undefined : await serveMetrics(metricsPort, systemClock, () => agent.metrics.text());
  const agent: Agent = new Agent({
    seams: head.transport === undefined ? seams : { ...seams, transport: withHead(seams.transport, head.transport) },
    identity, sessionDir,
    headAddress: head.address,
    headProcess: head.process,
    headWaitMs: headWaitOf(process.env.TROUPE_HEAD_WAIT_MS),
    isHead: typeof config.head === "string",
    listen: config.listen,
    host: node.host,
    total: node.total,
    labels: node.labels,
    store, spill, claims, logs, stacks, metricsPort: metrics?.port ?? 0,
    workerSilenceMs: workerSilenceOf(process.env.TROUPE_WORKER_SILENCE_MS),
    memory: procMemory(workerMemoryOf(process.env.TROUPE_WORKER_MEMORY)),
    openStore: (grant, broker) => openStore(grant, broker),
    workerConfig: (worker, environment): WorkerConfig => ({
      clusterId, token, nodeId, sessionDir, processId: worker, environment,
    }),
    environments: new EnvironmentSite({
      folder: `${sessionDir}/environments`, packageRoot: PACKAGE_ROOT, install, unpack: unpackOffLoop(),
    }),
    disturbances: cuts && { disturb: (body) => disturb(body, cuts, head) },
    workerStarted: (pid) => lifeline.add(pid),
    workerEnded: (pid) => lifeline.remove(pid),
    ended: (reason) => void head.close().then(() => end(reason)),
  });
  for (const fd of OUTPUTS) boundOwnLog(fd, systemClock);
  for (const worker of early) worker.adoptedBy(agent.adoptWorker(worker.process, worker.child));
  await agent.start();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => agent.end(`the agent received ${signal}`));
  writeSync(LIFELINE_FD, `${JSON.stringify({ address: agent.address, nodeId })}\n`);

  function end(reason: string): void {
    logs.close();
    metrics?.close();
    lifeline.cleanUp();
    if (!reason.startsWith("the agent received")) process.stderr.write(`troupe agent of node ${nodeId} ends: ${reason}\n`);
    process.exit(0);
  }
}

/** Standard output and error: of a detached node, files. */
const OUTPUTS = [1, 2] as const;

/** TROUPE_WORKER_SILENCE_MS: 0 lets a debugger stop workers for as long as it likes. */
function workerSilenceOf(setting: string | undefined): number {
  if (setting === undefined) return SILENCE_MS;
  const ms = Number(setting);
  if (/^\d+$/.test(setting) && (ms === 0 || ms >= SILENCE_MIN_MS)) return ms;
  throw new InvalidArgumentError(
    `TROUPE_WORKER_SILENCE_MS must be 0, or ${SILENCE_MIN_MS} or more whole milliseconds, not ${JSON.stringify(setting)}`,
  );
}
/** Below this a healthy worker on a busy machine could pass for a silent one. */
const SILENCE_MIN_MS = 2000;

/** TROUPE_WORKER_MEMORY: bytes that the workers of this node may hold together, beside what the machine allows. */
function workerMemoryOf(setting: string | undefined): number | undefined {
  if (setting === undefined) return undefined;
  const bytes = Number(setting);
  if (/^\d+$/.test(setting) && bytes > 0) return bytes;
  throw new InvalidArgumentError(`TROUPE_WORKER_MEMORY must be whole bytes above 0, not ${JSON.stringify(setting)}`);
}

interface RunningHead {
  readonly address: string;
  /** Only for one in this process. */
  readonly transport: Transport | undefined;
  /** Only for a child of this one. */
  readonly process?: HeadProcess;
  close(): Promise<void>;
}

async function startHead(config: AgentConfig, seams: Seams, failed: (reason: string) => void): Promise<RunningHead> {
  if (typeof config.head === "object") return { address: config.head.address, transport: undefined, close: async () => {} };
  if (config.head === "child") {
    const { clock, random, spawner } = seams;
    const head = new HeadProcess({ clock, random, spawner, config, failed });
    head.start();
    await head.up();
    return { address: head.address, transport: undefined, process: head, close: async () => head.close() };
  }
  const transport = memoryTransport({ clock: seams.clock });
  const { clusterId, token } = config;
  const identity: Identity = { kind: "head", processId: seams.random.hex(8), nodeId: config.nodeId, clusterId, token };
  const codeLimit = codeLimitOf(process.env.TROUPE_JOB_CODE_MEMORY);
  const head = new Head({ seams: { ...seams, transport }, identity, codeLimit, storage: await openStorage("") });
  await head.listen(HEAD_ADDRESS);
  return { address: HEAD_ADDRESS, transport, close: () => head.close() };
}

/** By a test. All that is broken from now on: what is not named is whole again. */
async function disturb({ holdHead, cuts, rate }: Disturb, network: Cuts, head: RunningHead): Promise<AnswerBody> {
  network.set(cuts, rate);
  await head.process?.hold(holdHead);
  return { done: {} };
}

/** One transport that knows the embedded head beside everything else. */
function withHead(system: Transport, memory: Transport): Transport {
  return {
    dial: (address, identity, handler, options) =>
      (address.startsWith("memory:") ? memory : system).dial(address, identity, handler, options),
    listen: (address, identity, admit) => system.listen(address, identity, admit),
  };
}
