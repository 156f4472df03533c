// simulate(): a whole cluster in this process, under virtual time, with everything that chance decides taken from a seed.
//
// One event a turn; promises settle before the next. The same seed gives the same history, line by line; what does real input or
// output inside it is found and refused, because it could not be repeated.

import { DeadlineError, InvalidArgumentError } from "../../../runtime/errors.ts";
import type { Session, WaitOptions } from "../../../runtime/owner/index.ts";
import type { ActorOptions, TaskOptions } from "../../options.ts";
import {
  type Bundle, createGroup, type GroupOptions, groupReady, type PlacementGroup, removeGroup,
} from "../../placement-groups.ts";
import { createActor, taskTemplate } from "../../remote.ts";
import type { ActorHandle, RefsOf, RemoteArgs } from "../../types.ts";
import { Machines, type SimulatedNode } from "./machines.ts";
import { RealWork } from "./real-work.ts";
import { World, type SimulatedProcess } from "./world.ts";

export interface SimulateOptions {
  readonly seed: number;
  /** How many, or what each offers. The first has the head and the driver. Default 2. */
  readonly nodes?: number | readonly SimulatedNode[];
  /** Virtual milliseconds after which the history is given up. Default ten minutes. */
  readonly limitMs?: number;
}

export interface Simulated<T> {
  readonly value: T;
  /** Every delivery, timer, start and end, one a line, with its virtual time. */
  readonly trace: string;
  readonly virtualMs: number;
}

const LIMIT_MS = 600_000;

/**
 * Runs `code` as the driver of a simulated cluster.
 *
 * @throws what `code` throws; DeadlineError when the history does not end in time; InvalidArgumentError when it used real timers,
 * sockets or files.
 */
export async function simulate<T>(options: SimulateOptions, code: (sim: Simulation) => Promise<T>): Promise<Simulated<T>> {
  const real = new RealWork();
  const world = new World(options.seed);
  const machines = new Machines(world);
  let outcome: { readonly value: T } | { readonly error: unknown } | undefined;
  real.inside(() => run(machines, options, (session) => code(new Simulation(world, machines, session)))).then(
    (value) => (outcome = { value }),
    (error: unknown) => (outcome = { error }),
  );
  const { timeline } = world;
  for (await turn(); outcome === undefined; await turn()) {
    if (timeline.now <= (options.limitMs ?? LIMIT_MS) && real.inside(() => timeline.step())) continue;
    outcome = { error: stuck(world, options.seed) };
  }
  const trace = timeline.trace.join("\n");
  real.close();
  machines.close();
  await turn();
  if ("error" in outcome) throw outcome.error;
  real.refuse();
  return { value: outcome.value, trace, virtualMs: timeline.now };
}

async function run<T>(machines: Machines, { nodes = 2 }: SimulateOptions, code: (session: Session) => Promise<T>): Promise<T> {
  const described = typeof nodes === "number" ? Array.from({ length: nodes }, (): SimulatedNode => ({})) : nodes;
  if (described.length === 0) throw new InvalidArgumentError("simulate: a cluster has at least one node");
  await machines.startHead();
  for (const node of described) await machines.startNode(node);
  return code(await machines.startDriver());
}

/** The cluster as the code inside sees it. */
export class Simulation {
  readonly #world: World;
  readonly #machines: Machines;
  /** The driver's. */
  readonly session: Session;

  /** @internal */
  constructor(world: World, machines: Machines, session: Session) {
    this.#world = world;
    this.#machines = machines;
    this.session = session;
  }

  /** Virtual milliseconds since the start. */
  get now(): number {
    return this.#world.timeline.now;
  }

  get nodes(): readonly string[] {
    return this.#machines.nodes;
  }

  /** Names of the living workers that have started, of all nodes or one. */
  workers(node?: string): string[] {
    const nodes = node === undefined ? this.#machines.nodes : [node];
    const living = nodes.flatMap((one) => this.#world.processesOf(one));
    return living.filter((one) => one.name.startsWith("worker") && this.#machines.sessions.has(one)).map(({ name }) => name);
  }

  /** Where the code that asks runs: `driver-1`, `worker-3`. */
  get process(): { readonly name: string; readonly node: string } {
    const { name, node } = this.#current();
    return { name, node };
  }

  /** In a task or method it ends with the process, like everything else there. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#world.clock(this.#world.current).after(ms, resolve));
  }

  /** A function as a task of the process that calls it. */
  remote<A extends readonly unknown[], R>(
    fn: (...args: A) => R, options: TaskOptions = {},
  ): { remote(...args: RemoteArgs<A>): RefsOf<R> } {
    const templates = new Map<Session, ReturnType<typeof taskTemplate>>();
    return {
      remote: (...args) => {
        const session = this.#session();
        const template = templates.get(session) ?? taskTemplate(session, fn, options);
        templates.set(session, template);
        return session.submit(template, args) as RefsOf<R>;
      },
    };
  }

  /** An actor of the process that calls this. */
  actor<C extends abstract new (...args: never[]) => unknown>(
    type: C, options: ActorOptions = {}, ...args: ConstructorParameters<C>
  ): ActorHandle<InstanceType<C>> {
    return createActor(this.#session(), type, options, args) as ActorHandle<InstanceType<C>>;
  }

  /** A placement group of the process that calls this. */
  placementGroup(bundles: readonly Bundle[], options: GroupOptions = {}): Promise<PlacementGroup> {
    return createGroup(this.#session(), bundles, options);
  }

  groupReady(group: PlacementGroup, options?: WaitOptions): Promise<void> {
    return groupReady(this.#session(), group, options);
  }

  removeGroup(group: PlacementGroup): Promise<void> {
    return removeGroup(this.#session(), group);
  }

  killWorker(name: string): void {
    const worker = this.#world.find(name);
    if (worker === undefined) throw new InvalidArgumentError(`the simulation has no worker ${name}`);
    this.#machines.killWorker(worker);
  }

  /** The head dies alone, and stays dead until it is started again. */
  killHead(): void {
    this.#machines.killHead();
  }

  /** Over what the one before it kept. Nothing happens while there is one. */
  restartHead(): Promise<void> {
    return this.#machines.startHead();
  }

  /** All of its processes are gone at once. */
  killNode(id: string): void {
    this.#machines.killNode(id);
  }

  #session(): Session {
    return this.#machines.sessions.get(this.#current()) ?? this.session;
  }

  #current(): SimulatedProcess {
    const { current } = this.#world;
    if (current === undefined)
      throw new InvalidArgumentError("only code that runs inside the simulation is in one of its processes");
    return current;
  }
}

/** Everything that promises still have to do is done after it. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function stuck({ timeline }: World, seed: number): DeadlineError {
  const last = timeline.trace.slice(-20).join("\n");
  return new DeadlineError(
    `the history of seed ${seed} did not end within ${Math.round(timeline.now)} virtual ms; its last events:\n${last}`,
  );
}
