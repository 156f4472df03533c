// A real cluster for tests: a head and agents as processes of this machine, which can be killed, added and removed.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConnectionError, DeadlineError, InvalidArgumentError } from "../../runtime/errors.ts";
import type { AgentConfig } from "../../runtime/agent/index.ts";
import { makeSessionDir } from "../../runtime/driver/index.ts";
import type { ChildProcess, Seams, Timer } from "../../runtime/seams.ts";
import type { Cluster } from "../cluster.ts";
import { init, nodeOf, systemSeams } from "../init.ts";
import {
  amount, bool, type Checks, checkOptions, describeValue, list, object, oneOf, strings, text,
} from "../../runtime/option-checks.ts";
import { bytes } from "../options.ts";
import type { Cut, Identity } from "../../runtime/transport/index.ts";
import { disturb } from "./disturbance.ts";
import { childrenOf } from "./process-tree.ts";

/** What a node of a test cluster offers. Defaults: 1 CPU, 256 MiB for objects. */
export interface TestNode {
  numCpus?: number | undefined;
  numGpus?: number | undefined;
  resources?: Readonly<Record<string, number>> | undefined;
  labels?: Readonly<Record<string, string>> | undefined;
  objectStoreMemory?: number | string | undefined;
  spillFolder?: string | false | undefined;
  memory?: number | string | undefined;
}
export interface TestClusterOptions {
  readonly head?: TestNode | undefined;
  readonly nodes?: readonly TestNode[] | undefined;
  /** What the head keeps things in. With 'lmdb' a temporary folder, removed by stop(). Default 'memory'. */
  readonly storage?: "memory" | "lmdb" | undefined;
}

/** Which way frames are lost: what goes into the nodes, what comes out of them, or both. */
export type PartitionDirection = "both" | "in" | "out";
export interface PartitionOptions {
  /** "head": the head's node. Else the ids of nodes; default all others. */
  readonly from?: "head" | string | readonly string[] | undefined;
  readonly direction?: PartitionDirection | undefined;
}

interface RunningNode {
  readonly id: string;
  readonly address: string;
  readonly agent: ChildProcess;
  readonly sessionDir: string;
  readonly ended: Promise<void>;
}

const NODE_CHECKS: Checks = {
  numCpus: amount, numGpus: amount, resources: object, labels: strings, objectStoreMemory: bytes, memory: bytes,
  spillFolder: (value) => (value === false ? undefined : text(value) && "a folder, or false"),
};
const CLUSTER_CHECKS: Checks = { head: object, nodes: list, storage: oneOf("memory", "lmdb") };
const PARTITION_CHECKS: Checks = {
  from: (value) => (Array.isArray(value) ? undefined : text(value) && 'ids of nodes, or "head"'),
  direction: oneOf("both", "in", "out"),
};
const START_TIMEOUT_MS = 60_000;
const STOP_GRACE_MS = 5000;

/** Starts a cluster and waits until all its nodes have joined. `await using`, or `stop()`, ends it and leaves nothing behind. */
export async function testCluster(options: TestClusterOptions = {}): Promise<TestCluster> {
  const { head = {}, nodes = [], storage } = checkOptions("testCluster", options, CLUSTER_CHECKS);
  for (const node of [head, ...nodes]) checkOptions("testCluster node", node, NODE_CHECKS);
  const cluster = new TestCluster(systemSeams(), storage === "lmdb");
  try {
    await cluster.startHead(head);
    await Promise.all(nodes.map((node) => cluster.addNode(node)));
  } catch (error) {
    await cluster.stop();
    throw error;
  }
  return cluster;
}

export class TestCluster implements AsyncDisposable {
  readonly #seams: Seams;
  readonly #clusterId: string;
  readonly #nodes = new Map<string, RunningNode>();
  readonly token: string;
  #headNode: RunningNode | undefined;
  #address = "";
  #driver: Cluster | undefined;
  #headHeld = false;
  readonly #cuts = new Map<string, Cut[]>();
  readonly #rates = new Map<string, number>();

  readonly #storage: string;

  /** @internal */
  constructor(seams: Seams, durable = false) {
    this.#seams = seams;
    this.#storage = durable ? mkdtempSync(join(tmpdir(), "troupe-storage-")) : "";
    this.#clusterId = seams.random.hex(8);
    this.token = seams.random.hex(32);
  }

  /** `host:port` of the head's node, for `init({ address, token })` and `troupe start --address`. */
  get address(): string {
    return this.#address.replace(/^tcp:/, "");
  }

  /** `unix:PATH`: the same for processes of this machine, which then share its memory. */
  get socket(): string {
    return `unix:${this.#head().sessionDir}/agent.sock`;
  }

  /** @internal */
  async startHead(node: TestNode): Promise<void> {
    const { node: running, address } = await this.#start(node, "child");
    this.#headNode = running;
    this.#address = address;
  }

  /** Joins this process as a driver on the head's node. */
  async connect(): Promise<Cluster> {
    this.#driver = await init({ address: this.socket, token: this.token });
    return this.#driver;
  }

  /** Adds a node and waits until the cluster knows it. Returns its id. */
  async addNode(node: TestNode = {}): Promise<string> {
    const checked = checkOptions("addNode", node, NODE_CHECKS);
    const { node: running } = await this.#start(checked, { address: this.#address });
    return running.id;
  }

  /** Ends a node: by SIGTERM, or abruptly with `graceful: false`. */
  async removeNode(id: string, options: { graceful?: boolean | undefined } = {}): Promise<void> {
    const node = this.#node(id);
    const { graceful = true } = checkOptions("removeNode", options, { graceful: bool });
    if (!graceful) node.agent.kill();
    else node.agent.signal("SIGTERM");
    await this.#ended(node);
  }

  /** Kills the head's process and nothing else. It stays dead until restartHead(). */
  async killHead(): Promise<void> {
    this.#headHeld = true;
    await this.#disturb(this.#head());
  }

  /** Starts the head again over what it kept, and waits until it answers. One that runs is killed first. */
  async restartHead(): Promise<void> {
    if (!this.#headHeld) await this.killHead();
    this.#headHeld = false;
    await this.#disturb(this.#head());
  }

  /** Loses what these nodes and others say to each other, until heal(). A node that is out of reach for too long is dead. */
  async partition(nodes: readonly string[], options: PartitionOptions = {}): Promise<void> {
    const { from, direction = "both" } = checkOptions("partition", options, PARTITION_CHECKS);
    if (!Array.isArray(nodes)) {
      throw new InvalidArgumentError(`partition: expected a list of nodes' ids, not ${describeValue(nodes)}`);
    }
    const rest = [...this.#nodes.keys()].filter((id) => !nodes.includes(id));
    const others = from === undefined ? rest : from === "head" ? [this.#head().id] : typeof from === "string" ? [from] : from;
    await Promise.all(nodes.map((id) => {
      const cuts = others.filter((other) => other !== id).map((other) => {
        const { address } = this.#node(other);
        return { node: other, address, inbound: direction !== "out", outbound: direction !== "in" };
      });
      const node = this.#node(id);
      this.#cuts.set(id, [...(this.#cuts.get(id) ?? []), ...cuts]);
      return this.#disturb(node);
    }));
  }

  /** From now on what a node sends to others takes the time of a link of that rate, until heal(). */
  async slow(id: string, options: { bytesPerSecond: number }): Promise<void> {
    const { bytesPerSecond } = checkOptions("slow", options, { bytesPerSecond: amount });
    const node = this.#node(id);
    this.#rates.set(id, Math.ceil(bytesPerSecond));
    await this.#disturb(node);
  }

  /** Ends all partitions, and what was slow is fast. Nodes that live reconnect by themselves. */
  async heal(): Promise<void> {
    const cut = new Set([...this.#cuts.keys(), ...this.#rates.keys()]);
    this.#cuts.clear();
    this.#rates.clear();
    // A node that was declared dead has ended, or does while it is told.
    await Promise.all([...cut].filter((id) => this.#nodes.has(id)).map((id) => this.#disturb(this.#node(id)).catch(() => {})));
  }

  /** Process ids by role, to signal real processes. */
  pids(): { head: number; agents: Map<string, number>; workers: Map<string, number[]> } {
    const agents = new Map([...this.#nodes.values()].map((node) => [node.id, node.agent.pid]));
    const workers = new Map<string, number[]>();
    let head = 0;
    for (const [id, pid] of agents) {
      const children = childrenOf(pid);
      workers.set(id, children.filter((child) => child.program === "worker").map((child) => child.pid));
      head ||= children.find((child) => child.program === "head")?.pid ?? 0;
    }
    return { head, agents, workers };
  }

  /** Ends the driver's session, all nodes and the head. */
  async stop(): Promise<void> {
    await this.#driver?.shutdown();
    await Promise.all([...this.#nodes.values()].filter((node) => node !== this.#headNode).map((node) => this.#stopNode(node)));
    if (this.#headNode !== undefined) await this.#stopNode(this.#headNode);
    if (this.#storage !== "") rmSync(this.#storage, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #node(id: string): RunningNode {
    const node = this.#nodes.get(id);
    if (node === undefined) throw new InvalidArgumentError(`the test cluster has no node ${id}`);
    return node;
  }

  /** Tells an agent all that is broken at it. */
  #disturb(node: RunningNode): Promise<void> {
    const { clock, random } = this.#seams;
    const identity: Identity = {
      kind: "command", processId: random.hex(8), nodeId: "", clusterId: this.#clusterId, token: this.token,
    };
    const holdHead = node === this.#headNode && this.#headHeld;
    const body = { holdHead, cuts: this.#cuts.get(node.id) ?? [], rate: this.#rates.get(node.id) ?? 0 };
    return disturb(clock, `unix:${node.sessionDir}/agent.sock`, identity, body);
  }

  #head(): RunningNode {
    if (this.#headNode === undefined) throw new ConnectionError("the test cluster has no head");
    return this.#headNode;
  }

  async #start(described: TestNode, head: AgentConfig["head"]): Promise<{ node: RunningNode; address: string }> {
    const { clock, random, spawner } = this.#seams;
    const id = random.hex(8);
    const sessionDir = makeSessionDir(id);
    const config: AgentConfig = {
      clusterId: this.#clusterId,
      token: this.token,
      nodeId: id,
      processId: random.hex(8),
      sessionDir,
      head,
      storage: this.#storage,
      listen: "tcp:127.0.0.1:0",
      lifeline: true,
      disturbable: true,
      node: nodeOf({ numCpus: 1, objectStoreMemory: "256MiB", memory: "1GiB", ...described }, 1),
    };
    let gone: () => void = () => {};
    const ended = new Promise<void>((resolve) => (gone = resolve));
    const address = await new Promise<string>((resolve, reject) => {
      const timer = clock.after(
        START_TIMEOUT_MS,
        () => reject(new DeadlineError(`a node did not start in ${START_TIMEOUT_MS} ms`)),
        true,
      );
      const agent = spawner.spawn({
        program: "agent",
        config,
        onLine: (stream, line) => process[stream].write(`${line}\n`),
        onReady: (said) => {
          timer.cancel();
          resolve(String(said.address));
        },
        onExit: (exit) => {
          timer.cancel();
          rmSync(sessionDir, { recursive: true, force: true });
          reject(
            new ConnectionError(
              `a node ended while it started (${exit.signal ?? exit.exitCode}): ${exit.stderrTail.join("\n")}`,
            ),
          );
          gone();
        },
      });
      this.#nodes.set(id, { id, agent, sessionDir, ended, address: "" });
    });
    const node = { ...this.#node(id), address };
    this.#nodes.set(id, node);
    return { node, address };
  }

  async #stopNode(node: RunningNode): Promise<void> {
    node.agent.signal("SIGTERM");
    const force = this.#seams.clock.after(STOP_GRACE_MS, () => node.agent.kill(), true);
    await this.#ended(node);
    force.cancel();
  }

  async #ended(node: RunningNode): Promise<void> {
    const hold = (): Timer => this.#seams.clock.after(STOP_GRACE_MS, () => void (held = hold()), true);
    let held = hold();
    await node.ended;
    held.cancel();
    this.#nodes.delete(node.id);
  }
}

