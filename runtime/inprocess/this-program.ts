// The world of an inline cluster: this program, in which each worker is a place that its code runs in.
//
// Whose code runs is known from the asynchronous context: everything that happens to a worker happens in its own, and what it
// starts stays there. The driver is the rest of the program.

import { AsyncLocalStorage } from "node:async_hooks";
import { setPlaces, type Place, type Session } from "../owner/index.ts";
import type { Clock, Random, Seams, Spawner, Timer } from "../seams.ts";
import type { SharedProcessParts, Surroundings } from "../worker/index.ts";
import { WorkerCrashedError } from "../errors.ts";
import { Wires, type NamedProcess, type World } from "./world.ts";

/** A timer that comes later than this met a loop that stood still, at a breakpoint or in a computation. */
const LATE_MS = 100;
/** What was on its way then has its turn first: so long, or as long as the timer itself. */
const GRACE_MS = 1000;

export interface InlineProcess extends NamedProcess, Place {
  session: Session | undefined;
  readonly timers: Set<Timer>;
  /** Of a worker that many actors share. */
  shared: SharedProcessParts | undefined;
  /** Of a worker: its code called process.exit. */
  exit: (code: number) => void;
}

export interface ProgramParts {
  readonly clock: Clock;
  readonly random: Random;
}

/** One for all inline clusters that this program has, one after the other: what is left of an earlier one stays in its places. */
const places = new AsyncLocalStorage<InlineProcess | undefined>();

export class ThisProgram implements World<InlineProcess> {
  readonly random: Random;
  readonly #clock: Clock;
  readonly #processes = new Map<string, InlineProcess>();
  readonly #counts = new Map<string, number>();
  readonly #wires: Wires;
  readonly #exit = process.exit;

  constructor({ clock, random }: ProgramParts) {
    this.random = random;
    this.#clock = clock;
    this.#wires = new Wires({
      clock, holds: true,
      schedule: (deliver, { to }) => clock.soon(() => this.#inside(this.#processes.get(to.processId), deliver)),
    });
    setPlaces(() => places.getStore());
    process.exit = (code) => {
      const place = places.getStore();
      return place === undefined ? this.#exit.call(process, code) : exitOf(place, Number(code ?? process.exitCode ?? 0));
    };
  }

  begin(kind: string, node: string, id = this.random.hex(8)): InlineProcess {
    const count = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, count);
    const begun: InlineProcess = {
      id, node, name: `${kind}-${count}`, pid: process.pid, alive: true, session: undefined, values: new Map(),
      timers: new Set(), shared: undefined, exit: () => {},
    };
    this.#processes.set(id, begun);
    return begun;
  }

  /** Its code goes on to where it waits for anything of the cluster, and never further, as its process would not. */
  kill(killed: InlineProcess): boolean {
    if (!killed.alive) return false;
    killed.alive = false;
    this.#processes.delete(killed.id);
    this.#wires.cut(killed);
    for (const timer of killed.timers) timer.cancel();
    killed.timers.clear();
    return true;
  }

  processesOf(node: string): InlineProcess[] {
    return [...this.#processes.values()].filter((one) => one.node === node);
  }

  seams(owner: InlineProcess, spawner: Spawner): Seams {
    return { clock: this.#clockOf(owner), random: this.random, transport: this.#wires.of(owner), spawner };
  }

  boot(process: InlineProcess, program: () => void): void {
    this.#clock.soon(() => this.#inside(process, program));
  }

  reap(parent: InlineProcess, tell: () => void): void {
    this.#clockOf(parent).after(0, tell, true);
  }

  surroundings(process: InlineProcess): Surroundings {
    // The environment is the program's own, so a task is told of its GPUs by its context alone.
    return { showGpus: () => {}, share: (parts) => void (process.shared = parts) };
  }

  close(): void {
    process.exit = this.#exit;
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #inside(owner: InlineProcess | undefined, code: () => void): void {
    if (owner === undefined || !owner.alive) return;
    places.run(owner.name.startsWith("worker") ? owner : undefined, code);
  }

  /** The timers of a process end with it. */
  #clockOf(owner: InlineProcess): Clock {
    const clock = this.#clock;
    return {
      now: () => clock.now(),
      wallNow: () => clock.wallNow(),
      soon: (callback) => clock.soon(() => this.#inside(owner, callback)),
      after: (delayMs, callback, hold) => {
        const due = clock.now() + delayMs;
        let isLate = false;
        let timer: Timer;
        const cancellation = {
          cancel() {
            timer.cancel();
            owner.timers.delete(cancellation);
          },
        };
        const fire = (): void => {
          if (!isLate && clock.now() - due > LATE_MS) {
            isLate = true;
            timer = clock.after(Math.min(delayMs, GRACE_MS), fire, hold);
            return;
          }
          owner.timers.delete(cancellation);
          this.#inside(owner, callback);
        };
        timer = clock.after(delayMs, fire, hold);
        if (owner.alive) owner.timers.add(cancellation);
        else timer.cancel();
        return cancellation;
      },
    };
  }
}

function exitOf(place: InlineProcess, code: number): never {
  const attempt = place.shared?.current();
  const text = `process.exit(${code}) was called in ${place.name} of this program`;
  const isActors = attempt?.actorId !== undefined;
  if (!isActors || !place.shared?.crashed(attempt, `it called process.exit(${code})`, code, undefined)) place.exit(code);
  // What called it goes no further.
  throw new WorkerCrashedError(text, { exitCode: code });
}
