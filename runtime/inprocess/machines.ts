// The programs of a cluster in one process: head, agents, workers and a driver, the same shells as in processes of their own.

import { Agent, HEAD_WAIT_MS } from "../agent/index.ts";
import type { DriverOptions } from "../driver/index.ts";
import { InvalidArgumentError } from "../errors.ts";
import { Head } from "../head/index.ts";
import type { Equipment, Session } from "../owner/index.ts";
import type { ChildProcess, SpawnRequest, Spawner } from "../seams.ts";
import { OpenStorage, type Storage } from "../storage/index.ts";
import type { Identity } from "../transport/index.ts";
import type { Resources } from "../../scheduler/index.ts";
import { startWorker, type Surroundings } from "../worker/index.ts";
import { NodeMemory } from "./node-memory.ts";
import type { NamedProcess, World } from "./world.ts";

/** What a node offers. */
export interface MachineNode {
  readonly id: string;
  readonly total: Resources;
  readonly labels: Readonly<Record<string, string>>;
  readonly storeBytes: number;
  readonly host: string;
  /** Where other agents dial; "" for nowhere. */
  readonly listen: string;
}

export interface MachinesParts<P extends NamedProcess> {
  readonly world: World<P>;
  readonly clusterId: string;
  readonly token: string;
  readonly storage: Storage;
  readonly equipment: (memory: NodeMemory, process: P) => Equipment;
  readonly surroundings: (process: P) => Surroundings;
  /** A worker has its session from now on. */
  readonly entered: (process: P, session: Session) => void;
}

interface Node<P> {
  readonly id: string;
  readonly memory: NodeMemory;
  readonly process: P;
  readonly agent: Agent;
  readonly kills: Map<P, (exitCode: number | undefined, signal: string | undefined) => void>;
}

export interface DriverSeat<P> {
  readonly process: P;
  readonly options: Pick<
    DriverOptions, "seams" | "agentAddress" | "token" | "clusterId" | "processId" | "nodeId" | "equipment"
  >;
}

export class Machines<P extends NamedProcess> {
  readonly #parts: MachinesParts<P>;
  readonly #nodes = new Map<string, Node<P>>();
  #head: P | undefined;
  #headNode = "";

  constructor(parts: MachinesParts<P>) {
    this.#parts = parts;
  }

  get nodes(): string[] {
    return [...this.#nodes.keys()];
  }

  get head(): P | undefined {
    return this.#head;
  }

  /** On a node; a later one goes on over what the one before it kept. */
  async startHead(node: string): Promise<void> {
    if (this.#head?.alive) return;
    const { world } = this.#parts;
    const home = world.begin("head", node);
    this.#head = home;
    this.#headNode = node;
    const storage = await OpenStorage.open(this.#parts.storage);
    const head = new Head({ storage, seams: world.seams(home, NO_CHILDREN), identity: this.#identity("head", home) });
    await head.listen(headAddress(node));
  }

  async startNode({ id, total, labels, storeBytes, host, listen }: MachineNode): Promise<void> {
    const { world } = this.#parts;
    const process = world.begin("agent", id);
    const memory = new NodeMemory(storeBytes);
    const isHead = id === this.#headNode;
    const kills: Node<P>["kills"] = new Map();
    const agent = new Agent({
      seams: world.seams(process, { spawn: (request) => this.#spawn(this.#node(id), request) }),
      identity: this.#identity("agent", process),
      sessionDir: `/${id}`, headAddress: isHead ? headAddress(id) : `tcp:${this.#headNode}`, isHead, headWaitMs: HEAD_WAIT_MS,
      listen, host, total, labels,
      store: memory.store, openStore: memory.open, claims: memory.claims,
      workerConfig: (worker) => worker, workerSilenceMs: 0, logs: undefined,
      workerStarted: () => {},
      workerEnded: () => {},
      ended: () => void world.kill(process, "exit"),
    });
    this.#nodes.set(id, { id, memory, process, agent, kills });
    await agent.start();
  }

  /** A driver of its own on a node: how it joins. */
  seat(nodeId: string): DriverSeat<P> {
    const { world, clusterId, token, equipment } = this.#parts;
    const process = world.begin("driver", nodeId);
    return {
      process,
      options: {
        seams: world.seams(process, NO_CHILDREN), agentAddress: agentAddress(nodeId), token, clusterId,
        processId: process.id, nodeId, equipment: equipment(this.#node(nodeId).memory, process),
      },
    };
  }

  /** A worker dies; its agent learns how, as its parent. */
  endWorker(worker: P, exitCode: number | undefined, signal: string | undefined): void {
    this.#node(worker.node).kills.get(worker)?.(exitCode, signal);
  }

  /** A machine loses its power: nobody there can say anything. */
  killNode(id: string): void {
    this.#node(id);
    const { world } = this.#parts;
    for (const process of world.processesOf(id)) world.kill(process, "power off");
  }

  /** Gives the memory of the nodes back. */
  close(): void {
    const { world } = this.#parts;
    for (const { id, memory } of this.#nodes.values()) {
      for (const process of world.processesOf(id)) world.kill(process, "end");
      memory.store.close();
    }
  }

  #spawn(node: Node<P>, request: SpawnRequest): ChildProcess {
    const { world } = this.#parts;
    const process = world.begin("worker", node.id, request.config as string);
    const end = (exitCode: number | undefined, signal: string | undefined) => {
      if (!world.kill(process, signal ?? `exit ${exitCode}`)) return;
      node.kills.delete(process);
      world.reap(node.process, () => request.onExit({ exitCode, signal, stderrTail: [] }));
    };
    node.kills.set(process, end);
    world.boot(process, () => void this.#runWorker(node, process, (code) => end(code, undefined)));
    return {
      pid: process.pid,
      kill: () => end(undefined, "SIGKILL"),
      signal: (name) => {
        if (name === "SIGTERM" || name === "SIGINT") end(undefined, name);
      },
    };
  }

  async #runWorker(node: Node<P>, process: P, exit: (code: number) => void): Promise<void> {
    const { world, equipment, surroundings, entered } = this.#parts;
    try {
      const session = startWorker({
        seams: world.seams(process, NO_CHILDREN), identity: this.#identity("worker", process),
        agentAddress: agentAddress(node.id), pid: process.pid, exit,
        equipment: equipment(node.memory, process), surroundings: surroundings(process),
      });
      entered(process, session);
      await session.joined();
    } catch {
      // As the real program: what keeps it from joining ends it.
      exit(1);
    }
  }

  #identity(kind: Identity["kind"], { id, node }: NamedProcess): Identity {
    const { clusterId, token } = this.#parts;
    return { kind, processId: id, nodeId: node, clusterId, token };
  }

  #node(id: string): Node<P> {
    const node = this.#nodes.get(id);
    if (node === undefined) throw new InvalidArgumentError(`this cluster has no node ${id}`);
    return node;
  }
}

const headAddress = (node: string): string => `unix:/${node}/head.sock`;
const agentAddress = (node: string): string => `unix:/${node}/agent.sock`;

const NO_CHILDREN: Spawner = {
  spawn: ({ program }) => {
    throw new InvalidArgumentError(`a process of this kind starts no ${program} in a cluster of one process`);
  },
};
