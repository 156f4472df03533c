// `troupe start`: a node on this machine, the first of a cluster or one more.

import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import type { AgentConfig } from "../runtime/agent/index.ts";
import { makeSessionDir, processStartOf, type SessionRecord, writeRecord } from "../runtime/driver/index.ts";
import { ConnectionError, InvalidArgumentError } from "../runtime/errors.ts";
import { nodeOf, readToken } from "../sdk/contract.ts";
import { ClusterLink } from "./cluster-link.ts";
import { logFileOf, type Started, startDaemon } from "./daemon.ts";
import { FoundWrong } from "./failure.ts";
import {
  amountOf, hostAndPort, isWildcard, pairsOf, portOf, refuseExposure, resourcesOf, tcpAddress,
} from "./option-values.ts";
import { print } from "./table.ts";

const DEFAULT_PORT = 6380;
const TOKEN_BYTES = 32;
const ID_BYTES = 8;
const ROUTE_TIMEOUT_MS = 5000;
/** Status of a process that a signal ended, as shells count. */
const ENDED_BY_USER: ReadonlySet<number | NodeJS.Signals> = new Set([0, "SIGTERM", "SIGINT"]);

interface StartOptions {
  readonly head?: boolean;
  readonly address?: string;
  readonly port?: number;
  readonly listen?: string;
  readonly tokenFile?: string;
  readonly numCpus?: number;
  readonly resources?: Record<string, number>;
  readonly labels?: Record<string, string>;
  readonly objectStoreMemory?: string;
  readonly storage?: string;
  readonly spillFolder?: string;
  readonly metricsPort?: number;
  readonly block?: boolean;
  readonly insecureIUnderstand?: boolean;
}

/** What is decided before anything is started. */
interface Plan {
  readonly listen: string;
  readonly head: AgentConfig["head"];
  readonly clusterId: string;
  readonly token: string;
  /** Where its head keeps what outlives it; "" for nowhere. */
  readonly storage?: string;
  /** Nodes that are in the cluster already. */
  readonly others: number;
}

export function declareStart(command: Command): void {
  command
    .option("--head", "start a new cluster, with its head on this machine")
    .option("--address <host:port>", "join the cluster that a node at this address belongs to")
    .option("--port <port>", `port for other machines (default: ${DEFAULT_PORT} with --head, else any free one)`, portOf)
    .option("--listen <host>", "address of this machine for other machines (default: 127.0.0.1, this machine only)")
    .option("--token-file <file>", "the cluster's token; with --head one is made when none is given")
    .option("--num-cpus <n>", "CPUs to offer (default: those of the machine)", amountOf)
    .option("--resources <json>", "resources of your own to offer", resourcesOf)
    .option("--labels <name=value...>", "labels of the node", pairsOf)
    .option("--object-store-memory <size>", 'shared memory for objects, such as "2GiB" (default: 30 % of what is free)')
    .option(
      "--storage <folder>",
      'with --head: where what outlives the head is kept, or "memory" (default: a folder of this user)',
    )
    .option("--spill-folder <path>", "where objects go that the store has no room for (default: the node's session folder)")
    .option("--metrics-port <port>", "port of the node's metrics, on loopback (default: any free one)", portOf)
    .option("--block", "stay in the foreground; the node ends with this command")
    .option("--insecure-i-understand", "allow plain text beyond this machine: whoever reads it can run code in the cluster")
    .addHelpText(
      "after",
      `
Example:
  $ troupe start --head --num-cpus 4
  $ troupe start --address 127.0.0.1:${DEFAULT_PORT} --token-file token --labels zone=a --resources '{"disk": 2}'`,
    )
    .action(start);
}

async function start(options: StartOptions): Promise<void> {
  const node = nodeOf({ ...options, objectStoreMemory: sizeOf(options.objectStoreMemory) }, 1);
  const plan = await (options.head ? planHead(options) : planNode(options));
  const nodeId = hexOf(ID_BYTES);
  const sessionDir = makeSessionDir(nodeId);
  try {
    const tokenFile = join(sessionDir, "token");
    writeFileSync(tokenFile, `${plan.token}\n`, { mode: 0o600, flag: "wx" });
    const { clusterId, token, head, listen, storage } = plan;
    const trustedNetwork = options.insecureIUnderstand === true;
    const attached = options.block === true;
    const started = await startDaemon({
      clusterId, token, nodeId, processId: hexOf(ID_BYTES), sessionDir, head, listen, storage, node, trustedNetwork,
      metricsPort: options.metricsPort,
      lifeline: attached, reportsFailure: true,
    }, attached);
    const { pid, address } = started;
    const processStart = processStartOf(pid) ?? "";
    const isHead = options.head === true;
    const joined = typeof head === "string" ? "" : head.address;
    const record = { pid, processStart, address, joined, tokenFile, sessionDir, nodeId, clusterId, isHead, trustedNetwork };
    await hold(started, record, attached, () => tell(record, plan, options));
  } catch (error) {
    rmSync(sessionDir, { recursive: true, force: true });
    throw error;
  }
}

/** Leaves a record of the node that others find it by, and then the node itself. */
async function hold(started: Started, record: SessionRecord, attached: boolean, tellUser: () => void): Promise<void> {
  try {
    writeRecord(record);
    tellUser();
  } catch (error) {
    started.signal("SIGKILL");
    throw error;
  }
  if (attached) await stay(started);
  else started.release();
}

function hexOf(bytes: number): string {
  return randomBytes(bytes).toString("hex");
}

async function planHead(options: StartOptions): Promise<Plan> {
  if (options.address !== undefined) {
    throw new InvalidArgumentError("--head starts a new cluster and --address joins one: give one of the two");
  }
  const host = listenHost(options, "127.0.0.1");
  const port = options.port ?? DEFAULT_PORT;
  const listen = tcpAddress(host, port);
  const storage = storageOf(options.storage, port);
  const { clusterId, token } = clusterOf(storage, options.tokenFile);
  return { listen, head: "child", storage, clusterId, token, others: 0 };
}

/** A cluster that is started again over its storage is the same one: its nodes and programs find it by its id and token. */
function clusterOf(storage: string, tokenFile: string | undefined): { clusterId: string; token: string } {
  const given = tokenFile === undefined ? undefined : readToken(tokenFile);
  const file = join(storage, "cluster.json");
  const known = storage !== "" && existsSync(file)
    ? JSON.parse(readFileSync(file, "utf8")) as { clusterId: string; token: string }
    : { clusterId: hexOf(ID_BYTES), token: hexOf(TOKEN_BYTES) };
  const cluster = { clusterId: known.clusterId, token: given ?? known.token };
  if (storage !== "") writeFileSync(file, `${JSON.stringify(cluster)}\n`, { mode: 0o600 });
  return cluster;
}

/** By default a folder of the port: a cluster that is started there again finds what the one before it kept. */
function storageOf(given: string | undefined, port: number): string {
  if (given === "memory" || (given === undefined && port === 0)) return "";
  const state = process.env.XDG_STATE_HOME ?? join(homedir(), ".local", "state");
  const folder = given === undefined ? join(state, "troupe", `head-${port}`) : resolve(given);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    accessSync(folder, constants.W_OK);
  } catch (error) {
    throw new InvalidArgumentError(`--storage ${folder} can't be written to: ${(error as Error).message}`);
  }
  return folder;
}

async function planNode(options: StartOptions): Promise<Plan> {
  const { address, tokenFile } = options;
  if (options.storage !== undefined)
    throw new InvalidArgumentError("--storage is for the node with the head: give it with --head");
  if (address === undefined) throw new InvalidArgumentError("give --head to start a new cluster, or --address to join one");
  const target = hostAndPort(address);
  if (target === undefined) throw new InvalidArgumentError(`--address must be HOST:PORT, not ${address}`);
  const file = tokenFile ?? process.env.TROUPE_TOKEN_FILE;
  if (file === undefined) throw new InvalidArgumentError("joining a cluster needs its token: give --token-file");
  refuseExposure(`--address ${target.host}`, target.host, options.insecureIUnderstand);
  const token = readToken(file);
  const head = tcpAddress(target.host, target.port);
  // Asked before anything is started: what is wrong with the address or the token is said at once.
  const link = await ClusterLink.open(head, token, options.insecureIUnderstand === true);
  try {
    const others = (await link.rows("nodes")).filter(({ state }) => state === "ALIVE").length;
    const host = listenHost(options, await ownAddressTowards(target));
    return { listen: tcpAddress(host, options.port ?? 0), head: { address: head }, clusterId: link.clusterId, token, others };
  } finally {
    link.close();
  }
}

/** Where other nodes will dial this one. */
function listenHost(options: StartOptions, otherwise: string): string {
  const host = options.listen ?? otherwise;
  if (isWildcard(host)) {
    throw new InvalidArgumentError(`--listen ${host} is no address that other nodes could dial: give one of this machine's own`);
  }
  if (hostAndPort(tcpAddress(host, 0)) === undefined) {
    throw new InvalidArgumentError(`--listen must be an address without a port, not ${host}; --port gives the port`);
  }
  refuseExposure(`--listen ${host}`, host, options.insecureIUnderstand);
  return host;
}

/** The address of this machine on its way to another one. No packet is sent for it. */
function ownAddressTowards({ host, port }: { host: string; port: number }): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    const done = (error: Error | undefined, address = "") => {
      clearTimeout(timer);
      socket.close();
      if (error === undefined) resolve(address);
      else reject(new ConnectionError(`this machine's address towards ${host} is not known; give --listen`, {}, error));
    };
    const timer = setTimeout(() => done(new Error("no route was found in time")), ROUTE_TIMEOUT_MS);
    socket.once("error", done);
    socket.connect(port, host, () => done(undefined, socket.address().address));
  });
}

/** A bare number is bytes. */
function sizeOf(size: string | undefined): string | number | undefined {
  return size !== undefined && /^\d+$/.test(size) ? Number(size) : size;
}

function tell(record: SessionRecord, plan: Plan, { block, insecureIUnderstand }: StartOptions): void {
  const address = record.address.replace(/^tcp:/, "");
  const insecure = insecureIUnderstand ? " --insecure-i-understand" : "";
  print(record.isHead
    ? `started cluster ${record.clusterId} with node ${record.nodeId} (process ${record.pid})`
    : `node ${record.nodeId} (process ${record.pid}) joined cluster ${record.clusterId}, which has ${plan.others + 1} nodes now`);
  print(`  address     ${address}`);
  print(`  token file  ${record.tokenFile}`);
  if (!block) print(`  log         ${logFileOf(record.sessionDir)}`);
  if (record.isHead) {
    print("\nAdd a node (on another machine with a copy of the token file):");
    print(`  troupe start --address ${address} --token-file ${record.tokenFile}${insecure}`);
    print('Use it from a program on this machine:\n  await init({ address: "auto" })');
  }
  print("\nSee what it consists of, and end it:\n  troupe status\n  troupe stop");
}

/** Until the node ends, or this command is told to. */
async function stay(started: Started): Promise<void> {
  const pass = (name: NodeJS.Signals) => started.signal(name);
  process.on("SIGTERM", pass).on("SIGINT", pass);
  const how = await started.ended;
  if (ENDED_BY_USER.has(how)) return;
  process.stderr.write(`troupe: the node ended (${typeof how === "number" ? `exit code ${how}` : how})\n`);
  throw new FoundWrong();
}
