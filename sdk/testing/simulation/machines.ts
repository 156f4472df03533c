// The machines of a simulated cluster: what a seed has them offer, and how they fail.

import { startDriver } from "../../../runtime/driver/index.ts";
import { InvalidArgumentError } from "../../../runtime/errors.ts";
import { Machines as AnyMachines } from "../../../runtime/inprocess/index.ts";
import type { Session } from "../../../runtime/owner/index.ts";
import { MemoryStorage } from "../../../runtime/storage/index.ts";
import { parseResources } from "../../../scheduler/index.ts";
import { equipmentOf, SharedCode } from "./equipment.ts";
import type { SimulatedProcess, World } from "./world.ts";

export interface SimulatedNode {
  readonly numCpus?: number;
  readonly resources?: Readonly<Record<string, number>>;
  readonly labels?: Readonly<Record<string, string>>;
}

const STORE_BYTES = 64 * 1024 * 1024;
const MEMORY_BYTES = 1024 ** 3;
/** The first node has the head and the driver. */
const FIRST = "node-1";

export class Machines {
  readonly sessions = new Map<SimulatedProcess, Session>();
  readonly #world: World;
  readonly #storage = new MemoryStorage({ lasting: true });
  readonly #machines: AnyMachines<SimulatedProcess>;

  constructor(world: World) {
    this.#world = world;
    const code = new SharedCode();
    this.#machines = new AnyMachines({
      world, clusterId: world.random.hex(8), token: world.random.hex(8), storage: this.#storage,
      equipment: (memory) => equipmentOf(memory, code),
      // Nothing outside of the simulation is changed by what runs in it.
      surroundings: () => ({ showGpus: () => {}, share: () => {} }),
      entered: (process, session) => void this.sessions.set(process, session),
    });
  }

  get nodes(): string[] {
    return this.#machines.nodes;
  }

  /** A later one goes on over what the one before it kept. */
  startHead(): Promise<void> {
    return this.#machines.startHead(FIRST);
  }

  async startNode(described: SimulatedNode): Promise<void> {
    const id = `node-${this.nodes.length + 1}`;
    const { labels = {} } = described;
    await this.#machines.startNode({
      id, total: resourcesOf(described), labels, storeBytes: STORE_BYTES, host: id, listen: `tcp:${id}`,
    });
  }

  async startDriver(): Promise<Session> {
    const { process, options } = this.#machines.seat(FIRST);
    const session = startDriver({ ...options, namespace: "", jobName: "", entry: "", onLog: () => {} });
    this.sessions.set(process, session);
    await session.joined();
    return session;
  }

  killWorker(worker: SimulatedProcess): void {
    this.#machines.endWorker(worker, undefined, "SIGKILL");
  }

  killHead(): void {
    const { head } = this.#machines;
    // What is dead writes nothing: its objects live on here, and are fenced.
    void this.#storage.open();
    if (head !== undefined) this.#world.kill(head, "kill");
  }

  killNode(id: string): void {
    this.#machines.killNode(id);
  }

  close(): void {
    this.#machines.close();
  }
}

function resourcesOf({ numCpus = 1, resources = {} }: SimulatedNode): Record<string, number> {
  const parsed = parseResources({ CPU: numCpus, memory: MEMORY_BYTES, ...resources });
  if ("text" in parsed) throw new InvalidArgumentError(parsed.text);
  return { ...parsed.resources };
}
