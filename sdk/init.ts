// init() and shutdown(): this process joins a cluster, or has one of its own, also when its first call comes without init().

import { availableParallelism, freemem, hostname } from "node:os";
import { resolve } from "node:path";
import { AlreadyInitializedError, InvalidArgumentError } from "../runtime/errors.ts";
import { bool, type Checks, checkOptions, object, oneOf, strings, text, whole } from "../runtime/option-checks.ts";
import type { Seams } from "../runtime/seams.ts";
import { startDriver, startPrivateCluster, type PrivateCluster } from "../runtime/driver/index.ts";
import type { InlineCluster, startInlineCluster } from "../runtime/inprocess/index.ts";
import { type EnvironmentRequest, findSession, isInPlace, setAutoStart, setSession } from "../runtime/owner/index.ts";
import { mainOf } from "../runtime/programs.ts";
import { preloadArrow } from "../runtime/serialize/index.ts";
import { systemSpawner } from "../runtime/spawner.ts";
import { systemClock, systemRandom } from "../runtime/system.ts";
import { systemTransport } from "../runtime/transport/index.ts";
import { parseResources } from "../scheduler/index.ts";
import { Cluster } from "./cluster.ts";
import { DriverLog } from "./driver-log.ts";
import { bytesOf } from "./byte-sizes.ts";
import { bytes, checkCustom, fraction } from "./options.ts";
import { type Quota, quotaOf } from "./quota.ts";
import { checkRuntimeEnv, type RuntimeEnv } from "./runtime-env.ts";
import { findTarget, type Target } from "./target.ts";
import { entryUrl, isEntry } from "./worker-entry.ts";

export interface InitOptions {
  /**
   * "cluster", the default: processes of this machine, or of many. "inline": everything in this process, for breakpoints and unit
   * tests: see docs/testing.md. TROUPE_ADDRESS means nothing then.
   */
  mode?: "cluster" | "inline" | undefined;
  /**
   * `host:port` or `unix:PATH` of an agent of a running cluster, or 'auto' for the one on this machine. Default: TROUPE_ADDRESS,
   * else a private cluster.
   */
  address?: string | undefined;
  /** Secret of that cluster; default the file `tokenFile`, TROUPE_TOKEN, TROUPE_TOKEN_FILE, or that of the node found here. */
  token?: string | undefined;
  tokenFile?: string | undefined;
  /**
   * The way to the address may be plain text beyond this machine: whoever reads it can run code in the cluster. Default: whether
   * TROUPE_TRUSTED_NETWORK is 1.
   */
  trustedNetwork?: boolean | undefined;
  namespace?: string | undefined;
  jobName?: string | undefined;
  /** What the job may hold at once in the whole cluster, such as { CPU: 4, memory: "8GiB" }; more waits, or can never run. */
  quota?: Quota | undefined;
  /** CPUs of the private cluster; default those of the machine. */
  numCpus?: number | undefined;
  numGpus?: number | undefined;
  resources?: Readonly<Record<string, number>> | undefined;
  labels?: Readonly<Record<string, string>> | undefined;
  /** Bytes for scheduling; a number or "2GiB". */
  memory?: number | string | undefined;
  /** Bytes of shared memory for objects; default 30 % of what is free. */
  objectStoreMemory?: number | string | undefined;
  /**
   * Where objects go that the store has no room for; default the session's own folder. False: nowhere, a full store is an
   * error.
   */
  spillFolder?: string | false | undefined;
  /** Lines that workers print appear here. Default true. "folded": one that was printed lately is counted, and the count told. */
  logToDriver?: boolean | "folded" | undefined;
  /** What the job's tasks and actors run in, unless they say otherwise: see RuntimeEnv. */
  runtimeEnv?: RuntimeEnv | undefined;
  /**
   * Path or file: URL of a module that each worker of the job runs before anything else: what sets up tracing, loaders,
   * polyfills. It is `--import` of Node's, also for work with a runtimeEnv; of one in its workingDir, the copy's is run.
   */
  workerEntry?: string | URL | undefined;
  /**
   * What a private cluster tells on loopback: `{ port }`: its metrics, in the text of Prometheus, at
   * http://127.0.0.1:PORT/metrics; false: nothing. Default: its metrics at any free port (`list.nodes()` has it). There is no
   * page for browsers.
   */
  dashboard?: false | { readonly port: number } | undefined;
  /** A second init() gives the cluster there is instead of AlreadyInitializedError. */
  ignoreReinit?: boolean | undefined;
}

const CHECKS: Checks = {
  mode: oneOf("cluster", "inline"),
  address: text, token: text, tokenFile: text, trustedNetwork: bool, namespace: text, jobName: text, numCpus: fraction,
  numGpus: whole(0), resources: object, labels: strings, memory: bytes, objectStoreMemory: bytes, runtimeEnv: object,
  workerEntry: isEntry, ignoreReinit: bool,
  dashboard: (given) => (given === false || isPortAlone(given) ? undefined : "false, or { port } with a port from 0 to 65535"),
  // Its own error says more (quota.ts).
  quota: () => undefined,
  spillFolder: (value) => (value === false || text(value) === undefined ? undefined : "a folder, or false"),
  logToDriver: (value) => (bool(value) === undefined || value === "folded" ? undefined : 'true, false or "folded"'),
};

function isPortAlone(given: unknown): boolean {
  if (object(given) !== undefined) return false;
  const { port, ...others } = given as { readonly port?: unknown };
  return whole(0, 65_535)(port) === undefined && Object.keys(others).length === 0;
}

let current: Cluster | undefined;
/** The one that a call started without init(). */
let unasked: Cluster | undefined;

/**
 * Joins or starts a cluster. A private cluster dies with this process, kill -9 included, and leaves nothing behind.
 *
 * @throws AlreadyInitializedError for a second one, also after a call that started one by itself; InvalidArgumentError for
 * wrong options; NotFoundError when 'auto' finds none; AuthenticationError, VersionMismatchError and ConnectionError from a
 * cluster that can't be joined.
 */
export async function init(given: InitOptions = {}): Promise<Cluster> {
  const options = check(given);
  const inline = options.mode === "inline" ? await import("../runtime/inprocess/index.ts") : undefined;
  if (findSession() !== undefined && !(options.ignoreReinit && current !== undefined)) {
    const why = current === unasked ? "a call before it started one: put init() first" : "call shutdown()";
    throw new AlreadyInitializedError(`init: this process is in a cluster already; ${why}, or pass ignoreReinit: true`);
  }
  const cluster = findSession() !== undefined ? (current as Cluster)
    : inline === undefined ? begin(options) : await beginInline(options, inline.startInlineCluster);
  await cluster.joined();
  return cluster;
}

/** Leaves the cluster; a private one ends. Idempotent. */
export async function shutdown(): Promise<void> {
  // Of the program: a task has none to shut down, also where it is in the program's process.
  if (!isInPlace()) await current?.shutdown();
}

/** True from init(), or from the call that started a cluster without it, until shutdown() or the loss of the cluster. */
export function isInitialized(): boolean {
  return findSession() !== undefined;
}

/** Whether the cluster of this process ends with it. */
export function isClusterPrivate(): boolean {
  return current?.isPrivate === true && current.session === findSession();
}

export function systemSeams({ trustedNetwork }: Pick<InitOptions, "trustedNetwork"> = {}): Seams {
  const trusted = trustedNetwork ?? process.env.TROUPE_TRUSTED_NETWORK === "1";
  return {
    clock: systemClock,
    random: systemRandom,
    transport: systemTransport({ clock: systemClock, trustedNetwork: trusted }),
    spawner: systemSpawner({ mainOf }),
  };
}

/** The first call of a program that did not call init(): what it submits waits until the cluster is there. */
setAutoStart(() => {
  const address = process.env.TROUPE_ADDRESS;
  if (process.env.TROUPE_QUIET !== "1") process.stderr.write(autoStartLine(address));
  unasked = beginOrFail();
  return unasked.session;
});

/** The call that needs a cluster never throws because there can be none: its refs do. */
function beginOrFail(): Cluster {
  try {
    return begin({});
  } catch (error) {
    const nowhere = { agentAddress: "", clusterId: "", nodeId: "", token: "" };
    return connect(systemSeams(), nowhere, {}, { host: undefined, after: Promise.reject(error as Error) });
  }
}

function autoStartLine(address: string | undefined): string {
  const [what, how] =
    address === undefined
      ? ["starting a private cluster on this machine", "await init()"]
      : [`joining the cluster at ${address} (TROUPE_ADDRESS)`, `await init({ address: "${address}" })`];
  return `troupe: ${what}, since no init() came before the first call. Explicitly: ${how}. To silence this: TROUPE_QUIET=1\n`;
}

/** A cluster that takes work at once and is on its way. */
function begin(options: InitOptions): Cluster {
  const address = options.address ?? process.env.TROUPE_ADDRESS;
  const seams = systemSeams(options);
  if (address !== undefined) return joinRunning(seams, address, options);
  if (options.workerEntry !== undefined) entryUrl(options.workerEntry, true);
  // The first statement that matters: the host boots while this process loads what its first call needs.
  const { dashboard } = options;
  const node = nodeOf(options, options.workerEntry === undefined ? 1 : 0);
  const host = startPrivateCluster(seams, node, dashboard && dashboard.port);
  const cluster = connect(seams, host, options, { host, after: host.ready });
  cluster.session.code.shipper.warmUp();
  return cluster;
}

/** A cluster in this process. Nothing is heard of it before it is complete. */
async function beginInline(options: InitOptions, start: typeof startInlineCluster): Promise<Cluster> {
  const host = await start({ clock: systemClock, random: systemRandom, node: nodeOf(options, 0) });
  try {
    return connect(host.driver.seams, host, options, { host, after: undefined, seat: host.driver });
  } catch (error) {
    await host.stop();
    throw error;
  }
}

const OF_PRIVATE = [
  "numCpus", "numGpus", "resources", "labels", "memory", "objectStoreMemory", "spillFolder", "dashboard",
] as const;

function joinRunning(seams: Seams, address: string, options: InitOptions): Cluster {
  for (const name of OF_PRIVATE) {
    if (options[name] === undefined || (name === "dashboard" && options[name] === false)) continue;
    throw new InvalidArgumentError(`init: ${name} describes a private cluster and can't be given with an address`);
  }
  return connect(seams, findTarget({ ...options, address }), options, { host: undefined, after: undefined });
}

interface Start {
  readonly host: PrivateCluster | undefined;
  /** Nothing can be dialled before this. */
  readonly after: Promise<void> | undefined;
  /** Where the driver is, when that is prepared. */
  readonly seat?: InlineCluster["driver"];
}

function connect(seams: Seams, target: Omit<Target, "record">, options: InitOptions, { host, after, seat }: Start): Cluster {
  const { agentAddress, clusterId, token } = target;
  const log = new DriverLog({ clock: seams.clock, folded: options.logToDriver === "folded", write: writeLine });
  const session = startDriver({
    seams, token, clusterId, after,
    agentAddress: seat?.agentAddress ?? agentAddress,
    // A driver on a machine without an agent is on a node of its own.
    nodeId: target.nodeId || seams.random.hex(8),
    processId: seat?.processId ?? seams.random.hex(8),
    equipment: seat?.equipment,
    namespace: options.namespace ?? "",
    jobName: options.jobName ?? "",
    quota: quotaOf(options.quota),
    entry: process.argv[1] ?? "",
    onLog: options.logToDriver === false ? () => {} : (lines) => log.printed(lines),
  });
  setSession(session);
  const request = environmentOf(options);
  const environment = request && session.environments.adopt(request);
  current = new Cluster(session, host, agentAddress, Promise.all([environment, preloadArrow()]), () => log.close());
  return current;
}

/** What the job's work runs in. */
function environmentOf({ runtimeEnv, workerEntry }: InitOptions): EnvironmentRequest | undefined {
  const request = runtimeEnv && checkRuntimeEnv("init option runtimeEnv", runtimeEnv);
  return workerEntry === undefined ? request : { ...request, entry: entryUrl(workerEntry, false) };
}

function writeLine(line: string, stderr: boolean): void {
  (stderr ? process.stderr : process.stdout).write(`${line}\n`);
}

/** What a node offers, from options and the machine. */
export function nodeOf(options: InitOptions, warmWorkers: number) {
  const cpus = options.numCpus ?? availableParallelism();
  const free = freemem();
  const memory = options.memory === undefined ? Math.floor(free * MEMORY_SHARE) : bytesIn("memory", options.memory);
  checkCustom(options.resources ?? {});
  const parsed = parseResources({ CPU: cpus, GPU: options.numGpus ?? 0, memory, ...options.resources });
  if ("text" in parsed) throw new InvalidArgumentError(parsed.text);
  const given = options.objectStoreMemory;
  const objectStoreMemory = given === undefined ? Math.floor(free * STORE_SHARE) : bytesIn("objectStoreMemory", given);
  return {
    total: { ...parsed.resources }, labels: { ...options.labels }, objectStoreMemory, host: hostname(),
    spillFolder: options.spillFolder && resolve(options.spillFolder),
    warmWorkers: cpus >= 1 ? warmWorkers : 0,
  };
}
/** Ray's defaults: 70 % of free memory for heaps, 30 % for objects. */
const MEMORY_SHARE = 0.7;
const STORE_SHARE = 0.3;

/** What an inline cluster has no process, file or way for. */
const NOT_INLINE = [
  "address", "token", "tokenFile", "trustedNetwork", "spillFolder", "runtimeEnv", "workerEntry", "dashboard",
] as const;

function check(given: InitOptions): InitOptions {
  const options = checkOptions("init", given, CHECKS);
  if (options.mode === "inline") checkInline(options);
  quotaOf(options.quota);
  if (options.runtimeEnv !== undefined) checkRuntimeEnv("init option runtimeEnv", options.runtimeEnv);
  return options;
}

function checkInline(options: InitOptions): void {
  for (const name of NOT_INLINE) {
    if (options[name] === undefined || options[name] === false) continue;
    const text = `init: ${name} is for processes of a cluster and can't be given with mode: "inline", which has none`;
    throw new InvalidArgumentError(text);
  }
}

function bytesIn(name: "memory" | "objectStoreMemory", size: number | string): number {
  const bytes = bytesOf(size);
  if (bytes !== undefined) return bytes;
  throw new InvalidArgumentError(`${name} must be bytes as a number, or text such as "512MiB", not ${String(size)}`);
}
