// init() and shutdown(): this process joins a cluster, or has one of its own.

import { availableParallelism, freemem, hostname } from "node:os";
import { AlreadyInitializedError, InvalidArgumentError } from "../runtime/errors.ts";
import type { Seams } from "../runtime/seams.ts";
import { startDriver, startPrivateCluster, type PrivateCluster } from "../runtime/driver/index.ts";
import { clearSession, findSession, setSession, type Session } from "../runtime/owner/index.ts";
import { mainOf } from "../runtime/programs.ts";
import { systemSpawner } from "../runtime/spawner.ts";
import { systemClock, systemRandom } from "../runtime/system.ts";
import { systemTransport, type LogLines } from "../runtime/transport/index.ts";
import { parseResources } from "../scheduler/index.ts";
import { Cluster } from "./cluster.ts";
import { bytesOf } from "./byte-sizes.ts";
import { checkRuntimeEnv, type RuntimeEnv } from "./runtime-env.ts";
import { findTarget, type Target } from "./target.ts";

export interface InitOptions {
  /**
   * `host:port` or `unix:PATH` of an agent of a running cluster, or 'auto' for the one on this machine. Default: TROUPE_ADDRESS,
   * else a private cluster.
   */
  address?: string | undefined;
  /** Secret of that cluster; default the file `tokenFile`, TROUPE_TOKEN, TROUPE_TOKEN_FILE, or that of the node found here. */
  token?: string | undefined;
  tokenFile?: string | undefined;
  namespace?: string | undefined;
  jobName?: string | undefined;
  /** CPUs of the private cluster; default those of the machine. */
  numCpus?: number | undefined;
  numGpus?: number | undefined;
  resources?: Readonly<Record<string, number>> | undefined;
  labels?: Readonly<Record<string, string>> | undefined;
  /** Bytes for scheduling; a number or "2GiB". */
  memory?: number | string | undefined;
  /** Bytes of shared memory for objects; default 30 % of what is free. */
  objectStoreMemory?: number | string | undefined;
  /** Lines that workers print appear here. Default true. */
  logToDriver?: boolean | undefined;
  /** What the job's tasks and actors run in, unless they say otherwise: see RuntimeEnv. */
  runtimeEnv?: RuntimeEnv | undefined;
  /** A second init() gives the cluster there is instead of AlreadyInitializedError. */
  ignoreReinit?: boolean | undefined;
}

const KNOWN = new Set([
  "address", "token", "tokenFile", "namespace", "jobName", "numCpus", "numGpus", "resources", "labels", "memory",
  "objectStoreMemory", "logToDriver", "runtimeEnv", "ignoreReinit",
]);

const INIT_TIMEOUT_MS = 120_000;

let current: Cluster | undefined;

/**
 * Joins or starts a cluster. A private cluster dies with this process, kill -9 included, and leaves nothing behind.
 *
 * @throws AlreadyInitializedError for a second one; InvalidArgumentError for wrong options; NotFoundError when 'auto' finds none;
 * AuthenticationError, VersionMismatchError and ConnectionError from a cluster that can't be joined.
 */
export async function init(options: InitOptions = {}): Promise<Cluster> {
  check(options);
  if (current !== undefined && findSession() !== undefined) {
    if (options.ignoreReinit) return current;
    throw new AlreadyInitializedError("init: this process is in a cluster already; call shutdown(), or pass ignoreReinit: true");
  }
  const address = options.address ?? process.env.TROUPE_ADDRESS;
  const seams = systemSeams();
  // Nothing else keeps the process alive while it joins; every step is bounded by itself.
  const alive = seams.clock.after(INIT_TIMEOUT_MS, () => {}, true);
  try {
    current = address === undefined ? await startPrivate(seams, options) : await joinRunning(seams, address, options);
  } finally {
    alive.cancel();
  }
  return current;
}

/** Leaves the cluster; a private one ends. Idempotent. */
export async function shutdown(): Promise<void> {
  await current?.shutdown();
}

/** True between a successful init() and shutdown(). */
export function isInitialized(): boolean {
  return findSession() !== undefined;
}

export function systemSeams(): Seams {
  return {
    clock: systemClock,
    random: systemRandom,
    transport: systemTransport({ clock: systemClock }),
    spawner: systemSpawner({ mainOf }),
  };
}

async function startPrivate(seams: Seams, options: InitOptions): Promise<Cluster> {
  // The first statement that matters: the host boots while the rest of this is loaded.
  const host = startPrivateCluster(seams, nodeOf(options, 1));
  try {
    await host.ready;
    return await connect(seams, { ...host, record: undefined }, options, host);
  } catch (error) {
    await host.stop();
    throw error;
  }
}

async function joinRunning(seams: Seams, address: string, options: InitOptions): Promise<Cluster> {
  for (const name of ["numCpus", "numGpus", "resources", "labels", "memory", "objectStoreMemory"] as const) {
    if (options[name] === undefined) continue;
    throw new InvalidArgumentError(`init: ${name} describes a private cluster and can't be given with an address`);
  }
  return connect(seams, findTarget({ ...options, address }), options, undefined);
}

async function connect(seams: Seams, target: Target, options: InitOptions, host: PrivateCluster | undefined): Promise<Cluster> {
  const { agentAddress, clusterId, nodeId, token } = target;
  let session: Session | undefined;
  session = await startDriver({
    seams, agentAddress, token, clusterId, nodeId,
    processId: seams.random.hex(8),
    namespace: options.namespace ?? "",
    jobName: options.jobName ?? "",
    entry: process.argv[1] ?? "",
    onLog: options.logToDriver === false ? () => {} : printLog,
    onLost: () => {
      if (session !== undefined) clearSession(session);
    },
  });
  if (options.runtimeEnv !== undefined) await adopt(session, options.runtimeEnv);
  setSession(session);
  const cluster = new Cluster(session, host, agentAddress);
  return cluster;
}

/** The job's environment; a job that can't have it does not begin. */
async function adopt(session: Session, env: RuntimeEnv): Promise<void> {
  try {
    await session.environments.adopt(checkRuntimeEnv("init option runtimeEnv", env));
  } catch (error) {
    await session.close(error as Error);
    session.parts.agent.close("the driver leaves");
    throw error;
  }
}

/** Worker output, marked with where it came from. */
function printLog({ pid, stderr, lines }: LogLines): void {
  const stream = stderr ? process.stderr : process.stdout;
  for (const line of lines) stream.write(`(pid=${pid}) ${line}\n`);
}

/** What a node offers, from options and the machine. */
export function nodeOf(options: InitOptions, warmWorkers: number) {
  const cpus = options.numCpus ?? availableParallelism();
  const free = freemem();
  const memory = options.memory === undefined ? Math.floor(free * MEMORY_SHARE) : bytesIn("memory", options.memory);
  const parsed = parseResources({ CPU: cpus, GPU: options.numGpus ?? 0, memory, ...options.resources });
  if ("text" in parsed) throw new InvalidArgumentError(parsed.text);
  const given = options.objectStoreMemory;
  const objectStoreMemory = given === undefined ? Math.floor(free * STORE_SHARE) : bytesIn("objectStoreMemory", given);
  return {
    total: { ...parsed.resources }, labels: { ...options.labels }, objectStoreMemory, host: hostname(),
    warmWorkers: cpus >= 1 ? warmWorkers : 0,
  };
}
/** Ray's defaults: 70 % of free memory for heaps, 30 % for objects. */
const MEMORY_SHARE = 0.7;
const STORE_SHARE = 0.3;

function check(options: InitOptions): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    if (KNOWN.has(name)) continue;
    throw new InvalidArgumentError(`init option ${name} is not known; known are: ${[...KNOWN].sort().join(", ")}`);
  }
  for (const name of ["memory", "objectStoreMemory"] as const) {
    const size = options[name];
    if (size !== undefined) bytesIn(name, size);
  }
  if (options.runtimeEnv !== undefined) checkRuntimeEnv("init option runtimeEnv", options.runtimeEnv);
  for (const name of ["address", "token", "tokenFile", "namespace", "jobName"] as const) {
    const value = options[name];
    if (value !== undefined && (typeof value !== "string" || value === "")) {
      throw new InvalidArgumentError(`init option ${name} must be a non-empty string, not ${JSON.stringify(value)}`);
    }
  }
}

function bytesIn(name: "memory" | "objectStoreMemory", size: number | string): number {
  const bytes = bytesOf(size);
  if (bytes !== undefined) return bytes;
  throw new InvalidArgumentError(`${name} must be bytes as a number, or text such as "512MiB", not ${String(size)}`);
}
