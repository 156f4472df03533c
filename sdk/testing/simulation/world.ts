// The simulated machines: processes that can be killed, the wires between them, and their timers.
//
// A process is a name under which shells act. When it is killed nothing that it scheduled happens any more and nothing
// reaches it, as if its memory were gone; others see their connections to it break.

import {
  memoryTransport,
  type Delivery,
  type Listener,
  type MemoryTransport,
  type Transport,
} from "../../../runtime/transport/index.ts";
import type { Clock, Seams, Spawner } from "../../../runtime/seams.ts";
import { SeededRandom, Timeline } from "./timeline.ts";

/** Milliseconds on the way, within a machine and between two. */
const NEAR_MS = [0.01, 0.3] as const;
const FAR_MS = [0.2, 3] as const;
/** Now and then a packet is sent again. */
const SLOW_SHARE = 0.03;
const SLOW_MS = 20;

export interface SimulatedProcess {
  readonly id: string;
  readonly node: string;
  /** For the trace: `worker-3`. */
  readonly name: string;
  readonly pid: number;
  alive: boolean;
}

export class World {
  readonly timeline = new Timeline();
  readonly random: SeededRandom;
  readonly #processes = new Map<string, SimulatedProcess>();
  readonly #listeners = new Map<string, Listener[]>();
  readonly #counts = new Map<string, number>();
  /** When the last delivery of a direction is due: none overtakes another. */
  readonly #due = new Map<string, number>();
  readonly #wires: MemoryTransport;
  /** Whose event this is. One event a turn: what its promises do until the next is this process's doing too. */
  current: SimulatedProcess | undefined;
  #nextPid = 1000;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.#wires = memoryTransport({
      clock: this.clock(undefined),
      schedule: (deliver, delivery) => this.#schedule(deliver, delivery),
    });
  }

  /** A new process of a node; its id is for identities. */
  begin(kind: string, node: string, id = this.random.hex(8)): SimulatedProcess {
    const count = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, count);
    const begun: SimulatedProcess = { id, node, name: `${kind}-${count}`, pid: this.#nextPid++, alive: true };
    this.#processes.set(id, begun);
    this.timeline.note(`spawn ${begun.name} on ${node}`);
    return begun;
  }

  /** Everything it had is gone at once. False when it was dead already. */
  kill(killed: SimulatedProcess, how: string): boolean {
    if (!killed.alive) return false;
    killed.alive = false;
    this.timeline.note(`${how} ${killed.name}`);
    this.#wires.sever((one, other) => one.processId === killed.id || other.processId === killed.id);
    for (const listener of this.#listeners.get(killed.id) ?? []) void listener.close();
    this.#listeners.delete(killed.id);
    return true;
  }

  processesOf(node: string): SimulatedProcess[] {
    return [...this.#processes.values()].filter((one) => one.alive && one.node === node);
  }

  find(name: string): SimulatedProcess | undefined {
    return [...this.#processes.values()].find((one) => one.name === name);
  }

  /** What a shell in this process gets for the outside world. */
  seams(owner: SimulatedProcess, spawner: Spawner): Seams {
    return {
      clock: this.clock(owner),
      random: this.random,
      transport: this.#transport(owner),
      spawner,
    };
  }

  /** Timers of a process end with it. */
  clock(owner: SimulatedProcess | undefined): Clock {
    const { timeline } = this;
    const name = owner?.name ?? "wire";
    const guarded = (callback: () => void) => () => {
      if (owner?.alive === false) return;
      this.current = owner;
      callback();
    };
    return {
      now: () => timeline.now,
      wallNow: () => timeline.now,
      after: (delayMs, callback) => {
        const cancel = timeline.at(timeline.now + Math.max(0, delayMs), `timer ${name}`, guarded(callback));
        return { cancel };
      },
      soon: (callback) => void timeline.at(timeline.now, `turn ${name}`, guarded(callback)),
    };
  }

  /** Addresses of any kind are names in one memory. */
  #transport(owner: SimulatedProcess): Transport {
    const inMemory = (address: string) => address.replace(/^(unix|tcp):/, "memory:$1:");
    return {
      dial: (address, identity, handler, options) => this.#wires.dial(inMemory(address), identity, handler, options),
      listen: async (address, identity, admit) => {
        const listener = await this.#wires.listen(inMemory(address), identity, admit);
        const held = this.#listeners.get(owner.id) ?? [];
        this.#listeners.set(owner.id, [...held, listener]);
        return { ...listener, address };
      },
    };
  }

  #schedule(deliver: () => void, { from, to, bytes }: Delivery): void {
    const { timeline, random } = this;
    const sender = this.#processes.get(from.processId);
    const receiver = this.#processes.get(to.processId);
    const [low, high] = sender?.node === receiver?.node ? NEAR_MS : FAR_MS;
    const slow = random.next() < SLOW_SHARE ? SLOW_MS : 0;
    const direction = `${sender?.name} > ${receiver?.name}`;
    const due = Math.max(timeline.now + random.between(low, high) + slow, this.#due.get(direction) ?? 0);
    this.#due.set(direction, due);
    timeline.at(due, `deliver ${direction} ${bytes}`, () => {
      if (receiver?.alive === false) return;
      this.current = receiver;
      deliver();
    });
  }
}
