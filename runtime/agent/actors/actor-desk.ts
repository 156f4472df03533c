// Everything about the actors of this node: their lives, the processes that they share, and what is kept for them.

import type { Clock, Random } from "../../seams.ts";
import type { ActorInfo, ActorSpec, AnswerBody, Caller, Channel, DeathCause, Draft } from "../../transport/index.ts";
import { ActorArguments } from "./actor-arguments.ts";
import { ActorHosts } from "./actor-hosts.ts";
import { ActorThreads } from "./actor-threads.ts";
import { type ActorPlacement, AgentActors, SHARED } from "./agent-actors.ts";
import type { AgentEnvironments } from "../agent-environments.ts";
import type { AgentLeases } from "../agent-leases.ts";
import type { AgentObjects } from "../objects/agent-objects.ts";
import type { PooledWorker, WorkerPool } from "../workers/worker-pool.ts";

const CALL_TIMEOUT_MS = 30_000;
const SHARED_LIMITS = { actorsPerHost: 1000, actorsBeforeNext: 64 };
const THREAD_LIMITS = { actorsPerHost: 32, actorsBeforeNext: 32 };

export interface ActorDeskParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly nodeId: string;
  readonly cpus: number;
  readonly caller: Caller;
  readonly workers: WorkerPool;
  readonly environments: AgentEnvironments;
  readonly leases: () => AgentLeases;
  readonly objects: () => AgentObjects;
  readonly connect: (node: string) => Promise<Channel>;
  /** Milliseconds since the loop of a client of the store last turned. */
  readonly turnAgeMs: (storeClient: number) => number;
  /** To the head. */
  readonly report: (info: Draft<ActorInfo>, spec: ActorSpec | undefined) => void;
}

export class ActorDesk {
  readonly #parts: ActorDeskParts;
  readonly actors: AgentActors;
  readonly threads: ActorThreads;
  readonly #hosts: ActorHosts;
  readonly #threadHosts: ActorHosts;
  readonly #arguments: ActorArguments;

  constructor(parts: ActorDeskParts) {
    this.#parts = parts;
    const { clock, random, nodeId, cpus, leases, workers, report, objects, turnAgeMs } = parts;
    this.#arguments = new ActorArguments(objects);
    const refused = (actor: string, error: Error) => this.actors.refused(actor, error);
    const granted = (actor: string, worker: string) => this.actors.granted(actor, worker);
    const common = { clock, random, nodeId, leases, workers, refused, turnAgeMs };
    this.threads = new ActorThreads({ workers, granted });
    this.#hosts = new ActorHosts({ ...common, cpus, limits: SHARED_LIMITS, seated: ({ actor }, host) => granted(actor, host) });
    // Threads use all CPUs from one process.
    this.#threadHosts = new ActorHosts({
      ...common, cpus: 1, limits: THREAD_LIMITS, seated: (spec, host) => this.threads.start(spec, host),
    });
    this.actors = new AgentActors({
      clock, nodeId, report,
      place: (spec) => leases().placeActor(spec),
      seat: (spec) => (spec.isolation === SHARED ? this.#hosts : this.#threadHosts).seat(spec),
      unplace: (actor) => this.#unplace(actor),
      workerOf: (process) => workers.get(process),
      killWorker: (process, reason) => workers.kill(process, reason),
      placed: (actor, worker, spec) => this.#placed(actor, worker, spec),
      forget: (actor) => this.#forget(actor),
    });
  }

  /** A new actor, of a process of this node or passed on by another one. */
  async create(placement: ActorPlacement): Promise<AnswerBody> {
    return this.actors.create({ ...placement, spec: await this.#arguments.keep(placement.spec) });
  }

  // -- what the lease queue decides ----------------------------------------------------------------------------------

  granted(actor: string, worker: string): void {
    this.#meant(actor).granted(actor, worker);
  }

  refused(actor: string, error: Error): void {
    this.#meant(actor).refused(actor, error);
  }

  forwarded(actor: string, node: string): void {
    const { connect, caller, leases } = this.#parts;
    const placement = this.actors.handedOver(actor);
    leases().actorGone(actor);
    if (placement === undefined) return;
    connect(node)
      .then((channel) => caller.call(channel, "placeActor", placement, "actor", { timeoutMs: CALL_TIMEOUT_MS }))
      .then(
        () => this.#arguments.forget(actor),
        // That node can't take it: it is placed here, or sent on, anew.
        () => void this.actors.create(placement),
      );
  }

  // -- ends --------------------------------------------------------------------------------------------------------

  workerDied({ process, lastRan }: PooledWorker, cause: DeathCause): void {
    this.#hosts.workerDied(process);
    this.#threadHosts.workerDied(process);
    this.threads.workerDied(process, cause.text);
    this.actors.workerDied(process, cause, lastRan);
  }

  jobEnded(jobId: string): void {
    this.#hosts.jobEnded(jobId);
    this.#threadHosts.jobEnded(jobId);
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  /** Hosts are leased like actors. */
  #meant(id: string): ActorHosts | AgentActors {
    return [this.#hosts, this.#threadHosts].find((hosts) => hosts.isHost(id)) ?? this.actors;
  }

  #placed(actor: string, process: string, spec: ActorSpec): void {
    const { leases, workers, environments } = this.#parts;
    if (spec.isolation === "") leases().actorPlaced(actor, spec.lifetime);
    if (spec.isolation !== SHARED) workers.hosts(process, actor, spec.detached);
    if (spec.detached) environments.hold(spec.environment, actor);
  }

  #unplace(actor: string): void {
    this.#parts.leases().actorGone(actor);
    this.#hosts.leave(actor);
    this.#threadHosts.leave(actor);
    this.threads.leave(actor);
  }

  #forget(actor: string): void {
    this.#arguments.forget(actor);
    this.#parts.environments.release(actor);
  }
}
