// The programs of a simulated cluster: head, agents, workers and a driver, the same shells as in real processes.

import { Agent, HEAD_WAIT_MS } from "../../../runtime/agent/index.ts";
import { startDriver } from "../../../runtime/driver/index.ts";
import { InvalidArgumentError } from "../../../runtime/errors.ts";
import { Head } from "../../../runtime/head/index.ts";
import type { Session } from "../../../runtime/owner/index.ts";
import type { ChildProcess, SpawnRequest, Spawner } from "../../../runtime/seams.ts";
import { MemoryStorage, OpenStorage } from "../../../runtime/storage/index.ts";
import type { Identity } from "../../../runtime/transport/index.ts";
import { startWorker } from "../../../runtime/worker/index.ts";
import { parseResources } from "../../../scheduler/index.ts";
import { equipmentOf, NodeMemory, SharedCode } from "./equipment.ts";
import type { SimulatedProcess, World } from "./world.ts";

export interface SimulatedNode {
  readonly numCpus?: number;
  readonly resources?: Readonly<Record<string, number>>;
  readonly labels?: Readonly<Record<string, string>>;
}

/** A worker's program takes so long until it dials. */
const BOOT_MS = [1, 30] as const;
const STORE_BYTES = 64 * 1024 * 1024;
const MEMORY_BYTES = 1024 ** 3;

interface Node {
  readonly id: string;
  readonly memory: NodeMemory;
  readonly agent: SimulatedProcess;
  readonly kills: Map<SimulatedProcess, (signal: string) => void>;
}

export class Machines {
  readonly sessions = new Map<SimulatedProcess, Session>();
  readonly #world: World;
  readonly #code = new SharedCode();
  readonly #nodes = new Map<string, Node>();
  readonly #storage = new MemoryStorage({ lasting: true });
  #head: SimulatedProcess | undefined;
  readonly #clusterId: string;
  readonly #token: string;

  constructor(world: World) {
    this.#world = world;
    this.#clusterId = world.random.hex(8);
    this.#token = world.random.hex(8);
  }

  get nodes(): string[] {
    return [...this.#nodes.keys()];
  }

  /** The head, on the first node; a later one goes on over what the one before it kept. */
  async startHead(): Promise<void> {
    if (this.#head?.alive) return;
    const home = this.#world.begin("head", "node-1");
    this.#head = home;
    const storage = await OpenStorage.open(this.#storage);
    const head = new Head({
      storage,
      seams: this.#world.seams(home, NO_CHILDREN), identity: this.#identity("head", home),
    });
    await head.listen(HEAD_ADDRESS);
  }

  async startNode(described: SimulatedNode): Promise<void> {
    const id = `node-${this.#nodes.size + 1}`;
    const isHead = this.#nodes.size === 0;
    const process = this.#world.begin("agent", id);
    const memory = new NodeMemory(STORE_BYTES);
    const node: Node = { id, memory, agent: process, kills: new Map() };
    this.#nodes.set(id, node);
    const agent = new Agent({
      seams: this.#world.seams(process, { spawn: (request) => this.#spawn(node, request) }),
      identity: this.#identity("agent", process),
      sessionDir: `/${id}`, headAddress: isHead ? HEAD_ADDRESS : "tcp:node-1", isHead, headWaitMs: HEAD_WAIT_MS,
      listen: `tcp:${id}`, host: id,
      total: resourcesOf(described), labels: described.labels ?? {},
      store: memory.store, openStore: memory.open, claims: memory.claims,
      workerConfig: (worker) => worker, workerSilenceMs: 0, logs: undefined,
      workerStarted: () => {},
      workerEnded: () => {},
      ended: () => void this.#world.kill(process, "exit"),
    });
    await agent.start();
  }

  async startDriver(): Promise<Session> {
    const node = this.#node("node-1");
    const process = this.#world.begin("driver", node.id);
    const session = startDriver({
      seams: this.#world.seams(process, NO_CHILDREN), agentAddress: `unix:/${node.id}/agent.sock`, token: this.#token,
      clusterId: this.#clusterId, processId: process.id, nodeId: node.id, namespace: "", jobName: "", entry: "",
      onLog: () => {},
      equipment: equipmentOf(node.memory, this.#code),
    });
    this.sessions.set(process, session);
    await session.joined();
    return session;
  }

  /** A worker dies; its agent learns how, as its parent. */
  killWorker(worker: SimulatedProcess): void {
    this.#node(worker.node).kills.get(worker)?.("SIGKILL");
  }

  killHead(): void {
    // What is dead writes nothing: its objects live on here, and are fenced.
    void this.#storage.open();
    if (this.#head !== undefined) this.#world.kill(this.#head, "kill");
  }

  /** A machine loses its power: nobody there can say anything. */
  killNode(id: string): void {
    this.#node(id);
    for (const process of this.#world.processesOf(id)) this.#world.kill(process, "power off");
  }

  /** Gives the memory of the nodes back. */
  close(): void {
    for (const { id, memory } of this.#nodes.values()) {
      for (const process of this.#world.processesOf(id)) this.#world.kill(process, "end");
      memory.store.close();
    }
  }

  #spawn(node: Node, request: SpawnRequest): ChildProcess {
    const { random, timeline } = this.#world;
    const process = this.#world.begin("worker", node.id, request.config as string);
    const end = (exitCode: number | undefined, signal: string | undefined) => {
      if (!this.#world.kill(process, signal ?? `exit ${exitCode}`)) return;
      const exited = () => request.onExit({ exitCode, signal, stderrTail: [] });
      const { clock } = this.#world.seams(node.agent, NO_CHILDREN);
      clock.after(random.between(0, 1), exited);
    };
    node.kills.set(process, (signal) => end(undefined, signal));
    timeline.at(timeline.now + random.between(...BOOT_MS), `boot ${process.name}`, () => {
      if (process.alive) void this.#runWorker(node, process, (code) => end(code, undefined));
    });
    return {
      pid: process.pid,
      kill: () => end(undefined, "SIGKILL"),
      signal: (name) => {
        if (name === "SIGTERM" || name === "SIGINT") end(undefined, name);
      },
    };
  }

  async #runWorker(node: Node, process: SimulatedProcess, exit: (code: number) => void): Promise<void> {
    this.#world.current = process;
    try {
      const session = startWorker({
        seams: this.#world.seams(process, NO_CHILDREN), identity: this.#identity("worker", process),
        agentAddress: `unix:/${node.id}/agent.sock`, pid: process.pid, exit, equipment: equipmentOf(node.memory, this.#code),
      });
      this.sessions.set(process, session);
      await session.joined();
    } catch {
      // As the real program: what keeps it from joining ends it.
      exit(1);
    }
  }

  #identity(kind: Identity["kind"], { id, node }: SimulatedProcess): Identity {
    return { kind, processId: id, nodeId: node, clusterId: this.#clusterId, token: this.#token };
  }

  #node(id: string): Node {
    const node = this.#nodes.get(id);
    if (node === undefined) throw new InvalidArgumentError(`the simulation has no node ${id}`);
    return node;
  }
}

const HEAD_ADDRESS = "unix:/node-1/head.sock";

const NO_CHILDREN: Spawner = {
  spawn: ({ program }) => {
    throw new InvalidArgumentError(`a simulated process of this kind starts no ${program}`);
  },
};

function resourcesOf({ numCpus = 1, resources = {} }: SimulatedNode): Record<string, number> {
  const parsed = parseResources({ CPU: numCpus, memory: MEMORY_BYTES, ...resources });
  if ("text" in parsed) throw new InvalidArgumentError(parsed.text);
  return { ...parsed.resources };
}
