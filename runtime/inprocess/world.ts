// Processes in name only: what a whole cluster in one process stands on. The simulation has a world under virtual time and a
// seed; a cluster for breakpoints and unit tests has one under the system's clock.

import type { Clock, Random, Seams, Spawner } from "../seams.ts";
import {
  memoryTransport, type Delivery, type Listener, type MemoryTransport, type MemoryTransportOptions, type Transport,
} from "../transport/index.ts";

/** A name under which shells act. After it was killed nothing reaches it, and nothing that it scheduled happens any more. */
export interface NamedProcess {
  readonly id: string;
  readonly node: string;
  /** For people: `worker-3`. */
  readonly name: string;
  readonly pid: number;
  alive: boolean;
}

export interface World<P extends NamedProcess = NamedProcess> {
  readonly random: Random;
  /** A new process of a node; its id is for identities. */
  begin(kind: string, node: string, id?: string): P;
  /** Everything it had is gone at once. False when it was dead already. */
  kill(killed: P, how: string): boolean;
  /** The living ones. */
  processesOf(node: string): P[];
  /** What a shell in this process gets for the outside world. */
  seams(owner: P, spawner: Spawner): Seams;
  /** Its program begins, some time from now, unless it is dead by then. */
  boot(process: P, program: () => void): void;
  /** The parent hears of the end of a child, after what the child had sent. */
  reap(parent: P, tell: () => void): void;
}

export interface WiresParts extends Pick<MemoryTransportOptions, "holds"> {
  readonly clock: Clock;
  /** See MemoryTransportOptions. */
  readonly schedule: (deliver: () => void, delivery: Delivery) => void;
}

/** What connects named processes: addresses of any kind are names in one memory. */
export class Wires {
  readonly #transport: MemoryTransport;
  readonly #listeners = new Map<string, Listener[]>();

  constructor(parts: WiresParts) {
    this.#transport = memoryTransport(parts);
  }

  /** As one process sees them. */
  of(owner: NamedProcess): Transport {
    const inMemory = (address: string) => address.replace(/^(unix|tcp):/, "memory:$1:");
    return {
      dial: (address, identity, handler, options) => {
        // What is dead hears nothing, not even that.
        if (!owner.alive) return new Promise<never>(() => {});
        return this.#transport.dial(inMemory(address), identity, handler, options);
      },
      listen: async (address, identity, admit) => {
        const listener = await this.#transport.listen(inMemory(address), identity, admit);
        const held = this.#listeners.get(owner.id) ?? [];
        this.#listeners.set(owner.id, [...held, listener]);
        return { ...listener, address };
      },
    };
  }

  /** The process is gone: its connections break, and nobody listens at its addresses. */
  cut({ id }: NamedProcess): void {
    this.#transport.sever((one, other) => one.processId === id || other.processId === id);
    for (const listener of this.#listeners.get(id) ?? []) void listener.close();
    this.#listeners.delete(id);
  }
}
