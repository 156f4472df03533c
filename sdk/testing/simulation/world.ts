// The simulated machines: processes that can be killed, the wires between them, and their timers.
//
// When a process is killed nothing that it scheduled happens any more and nothing reaches it, as if its memory were gone;
// others see their connections to it break.

import { type NamedProcess, Wires, type World as AnyWorld } from "../../../runtime/inprocess/index.ts";
import type { Delivery } from "../../../runtime/transport/index.ts";
import type { Clock, Seams, Spawner } from "../../../runtime/seams.ts";
import { SeededRandom, Timeline } from "./timeline.ts";

/** Milliseconds on the way, within a machine and between two. */
const NEAR_MS = [0.01, 0.3] as const;
const FAR_MS = [0.2, 3] as const;
/** Now and then a packet is sent again. */
const SLOW_SHARE = 0.03;
const SLOW_MS = 20;

/** A worker's program takes so long until it dials. */
const BOOT_MS = [1, 30] as const;

export type SimulatedProcess = NamedProcess;

export class World implements AnyWorld<SimulatedProcess> {
  readonly timeline = new Timeline();
  readonly random: SeededRandom;
  readonly #processes = new Map<string, SimulatedProcess>();
  readonly #counts = new Map<string, number>();
  /** When the last delivery of a direction is due: none overtakes another. */
  readonly #due = new Map<string, number>();
  readonly #wires: Wires;
  /** Whose event this is. One event a turn: what its promises do until the next is this process's doing too. */
  current: SimulatedProcess | undefined;
  #nextPid = 1000;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.#wires = new Wires({
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
    this.#wires.cut(killed);
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
      transport: this.#wires.of(owner),
      spawner,
    };
  }

  boot(process: SimulatedProcess, program: () => void): void {
    this.timeline.at(this.timeline.now + this.random.between(...BOOT_MS), `boot ${process.name}`, () => {
      if (!process.alive) return;
      this.current = process;
      program();
    });
  }

  reap(parent: SimulatedProcess, tell: () => void): void {
    this.clock(parent).after(this.random.between(0, 1), tell);
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
