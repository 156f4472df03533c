// Leases of this node's workers: the shell of scheduler/lease-queue.ts.
//
// Orders come from processes of this node and, passed on, from other agents; actors ask as origin "actor:<id>".

import {
  failureOf, GROUP_REMOVED, InfeasibleError, InvalidArgumentError, PlacementGroupRemovedError, RuntimeEnvSetupError,
  WorkerCrashedError,
} from "../errors.ts";
import type { Clock, Random, Timer } from "../seams.ts";
import type { ClaimBook } from "../store/index.ts";
import type {
  ActorSpec, Channel, EndLease, LeaseGranted, LeaseRefused, LeaseRequest, NodeInfo, SendOf,
} from "../transport/index.ts";
import {
  bundleOf, LeaseQueue, type LeaseEffect, type LeaseEvent, type QuotaReport, type RefusalCode, resourceAmounts, type Resources,
  resourcesFit,
} from "../../scheduler/index.ts";
import type { AgentEnvironments } from "./agent-environments.ts";
import type { AgentGroups } from "./agent-groups.ts";
import { LeaseRoutes } from "./lease-routes.ts";
import type { LocalProcesses } from "./workers/local-processes.ts";
import type { WorkerPool } from "./workers/worker-pool.ts";

const ACTOR_ORIGIN = "actor:";
/** Waiting orders that the state API is told of. */
const ORDERS_TOLD = 10_000;
/** "Wait for nodes to come" on the wire. */
export const GRACE_ENDLESS = 0xffffffff;
/** A worker with an environment is of use to few: it ends when nobody has wanted it for so long. */
export const ENVIRONMENT_IDLE_MS = 60_000;

/** What the queue asks of an actor. */
export type PlacedSpec = Pick<
  ActorSpec, "actor" | "className" | "placement" | "strategy" | "jobId" | "environment" | "infeasibleGraceMs" | "isolation"
>;

export interface AgentLeasesParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly nodeId: string;
  readonly processId: string;
  readonly total: Resources;
  readonly labels: Readonly<Record<string, string>>;
  readonly workers: WorkerPool;
  readonly claims: ClaimBook;
  readonly processes: LocalProcesses;
  readonly connectPeer: (node: string) => Promise<Channel>;
  readonly environments: AgentEnvironments;
  readonly groups: Pick<AgentGroups, "held" | "refused" | "ask">;
  /** What a worker is told of the job it adopts. */
  readonly adoption: (jobId: string) => { jobId: string; namespace: string };
  readonly actorGranted: (actor: string, worker: string) => void;
  /** There is room for an actor that shares a process. */
  readonly actorSeated: (actor: string) => void;
  /** The placement group of its seat is gone. */
  readonly actorUnseated: (actor: string, text: string) => void;
  readonly actorRefused: (actor: string, error: Error) => void;
  /** The scheduler wants the actor on another node. */
  readonly actorForwarded: (actor: string, node: string) => void;
  /** The head is to know what is held of a job's quota, and what waits for more. */
  readonly tellQuota: (report: QuotaReport) => void;
  /** What is available changed. */
  readonly changed: () => void;
}

export class AgentLeases {
  readonly #parts: AgentLeasesParts;
  readonly #queue: LeaseQueue;
  readonly #actorLeases = new Map<string, string>();
  /** Leases whose claim page may still be written to by their owner, the ended ones included. */
  readonly #granted = new Map<string, { readonly origin: string; readonly page: number; over: boolean }>();
  readonly #leaseOf = new Map<string, string>();
  #events: LeaseEvent[] = [];
  #stepping = false;
  readonly #routes: LeaseRoutes;
  /** Of idle workers with an environment. */
  readonly #idle = new Map<string, Timer>();

  constructor(parts: AgentLeasesParts) {
    this.#parts = parts;
    this.#routes = new LeaseRoutes(parts.processes, parts.connectPeer);
    let leases = 0;
    this.#queue = new LeaseQueue({
      nodeId: parts.nodeId,
      total: parts.total,
      labels: parts.labels,
      nextLease: () => `${parts.processId}-${++leases}`,
      nextRandom: () => parts.random.next(),
    });
  }

  get available(): Resources {
    return this.#queue.pool.available;
  }

  get total(): Resources {
    return this.#queue.pool.total;
  }

  get reclaimable(): Resources {
    return this.#queue.reclaimable;
  }

  get backlog(): number {
    return this.#queue.backlog;
  }

  /** A worker's current lease. */
  leaseOfWorker(worker: string): string | undefined {
    return this.#leaseOf.get(worker);
  }

  requested(request: LeaseRequest, origin: string, via: string): void {
    this.#routes.cameFrom(origin, via);
    this.#step({
      kind: "requested",
      origin,
      schedulingClass: request.schedulingClass,
      resources: request.resources,
      wanted: request.wanted,
      strategy: request.strategy,
      jobId: request.jobId,
      environment: request.environment,
      name: request.name,
      hops: request.hops,
      limited: request.limited,
      graceMs: graceOf(request.infeasibleGraceMs),
    });
  }

  /** A worker for an actor, or a seat; asked again it changes nothing. */
  placeActor(spec: PlacedSpec): void {
    this.#step({
      kind: "requested",
      origin: ACTOR_ORIGIN + spec.actor,
      schedulingClass: 0,
      resources: spec.placement,
      wanted: 1,
      strategy: spec.strategy,
      jobId: spec.jobId,
      environment: spec.environment,
      name: spec.className,
      hops: 0,
      graceMs: graceOf(spec.infeasibleGraceMs),
      forActor: true,
      seatOf: spec.isolation === "" ? undefined : spec.actor,
    });
  }

  actorPlaced(actor: string, lifetime: Resources): void {
    const lease = this.#actorLeases.get(actor);
    if (lease !== undefined) this.#step({ kind: "actorPlaced", lease, actor, lifetime });
  }

  actorGone(actor: string): void {
    this.#actorLeases.delete(actor);
    this.#step({ kind: "processGone", origin: ACTOR_ORIGIN + actor });
    this.#step({ kind: "actorGone", actor });
  }

  workerReady(worker: string, jobId: string, environment: string): void {
    if (environment !== "") this.#idleSince(worker);
    this.#step({ kind: "workerReady", worker, jobId: jobId || undefined, environment: environment || undefined });
  }

  workerStarted(worker: string): void {
    this.#step({ kind: "workerStarting", worker });
  }

  /** An owner that sees no claim pages is told what had started: it has no other way to know. */
  workerDied(died: SendOf<"processDied">): void {
    const worker = died.process as string;
    const lease = this.#leaseOf.get(worker);
    const granted = lease === undefined ? undefined : this.#granted.get(lease);
    if (lease !== undefined && granted !== undefined) {
      const { origin, page } = granted;
      const tags = this.#parts.claims.page(page)?.claimed() ?? [];
      const news = { ...died, lease, origin, claims: claimsOf(tags) };
      if (!this.#parts.processes.sharesMemory(origin)) this.#routes.answer(granted, "processDied", news);
      this.#endLease(lease, worker);
    }
    this.#busy(worker);
    this.#step({ kind: "workerDied", worker });
  }

  /** By its owner, which writes to its page no more. Also of a lease that is over: then only the page was left. */
  returned(lease: string, node: string): void {
    for (const [worker, held] of this.#leaseOf) {
      if (held !== lease) continue;
      this.#leaseOf.delete(worker);
      this.#idleSince(worker);
    }
    this.#forget(lease);
    this.#step({ kind: "leaseReturned", lease });
    if (node !== this.#parts.nodeId && node !== "") this.#routes.returned(lease, node);
  }

  /** The owner of a lease wants its worker killed. */
  endWorker(message: EndLease): void {
    if (message.node !== this.#parts.nodeId) return this.#routes.tell(message.node, "endLease", message);
    for (const [worker, held] of this.#leaseOf) if (held === message.lease) this.#parts.workers.kill(worker, message.reason);
  }

  /** By its worker, which has had nothing to do and takes no more tasks under it. */
  workerIdle(lease: string, worker: string): void {
    if (this.#leaseOf.get(worker) !== lease) return;
    this.#endLease(lease, worker);
    this.#idleSince(worker);
    this.#step({ kind: "workerIdle", lease });
  }

  /** By its worker, which ends after what it has run: its owner sends no more, and another worker takes its place. */
  workerLeaves(lease: string, worker: string): void {
    const granted = this.#granted.get(lease);
    if (granted === undefined || this.#leaseOf.get(worker) !== lease) return;
    this.#routes.answer(granted, "leaseRevoked", { lease, reason: "its worker leaves", origin: granted.origin });
    this.#step({ kind: "workerDied", worker });
  }

  suspended(lease: string): void {
    this.#step({ kind: "suspended", lease });
  }

  resumed(lease: string): void {
    this.#step({ kind: "resumed", lease });
  }

  processGone(process: string): void {
    this.#step({ kind: "processGone", origin: process });
    this.#routes.gone(process);
    for (const [lease, { origin, over }] of this.#granted) if (over && origin === process) this.#forget(lease);
  }

  /** Whose agent passed on what its processes asked for. */
  nodeGone(node: string): void {
    for (const origin of this.#routes.passedOnBy(node)) this.processGone(origin);
  }

  viewChanged(nodes: readonly NodeInfo[]): void {
    this.#step({ kind: "viewChanged", nodes });
  }

  /** Another node answered an order that was passed on to it. */
  forwardGranted(granted: LeaseGranted, node: string): void {
    const { origin, schedulingClass, lease } = granted;
    this.#step({ kind: "forwardGranted", node, lease, origin, schedulingClass });
    this.#parts.processes.channelOf(origin)?.send("leaseGranted", granted);
  }

  /** The queue looks for another node, and refuses by itself when there is none. */
  forwardRefused({ origin, schedulingClass, failure }: LeaseRefused, node: string): void {
    const setupFailure = failure?.code === RuntimeEnvSetupError.code ? failure.text : undefined;
    this.#step({ kind: "forwardRefused", node, origin, schedulingClass, setupFailure });
  }

  /** What waits here and why, for the state API. `isKept`: no task that ends makes room for it, only an actor or group does. */
  orderRows(): object[] {
    const { nodeId } = this.#parts;
    const { total } = this.#queue.pool;
    return this.#queue.waiting(ORDERS_TOLD).map(({ origin, schedulingClass, resources, unmet, reason, text, name }) => ({
      id: `${origin}/${schedulingClass}`, nodeId, name, reason, text, unmet, resources: resourceAmounts(resources),
      isKept: resourcesFit(resources, total) && !resourcesFit(resources, this.#queue.reclaimable),
    }));
  }

  environmentReady(jobId: string, environment: string): void {
    this.#step({ kind: "environmentReady", jobId, environment });
  }

  environmentFailed(jobId: string, environment: string, text: string): void {
    this.#step({ kind: "environmentFailed", jobId, environment, text });
  }

  jobEnded(jobId: string): void {
    this.#step({ kind: "jobEnded", jobId });
  }

  drain(): void {
    this.#step({ kind: "draining" });
  }

  /** For a new head. */
  known(): ReturnType<LeaseQueue["known"]> {
    return this.#queue.known();
  }

  /** What the head tells of placement groups and quotas. */
  headNews(...news: LeaseEvent[]): void {
    for (const event of news) this.#step(event);
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  /** What arrives in one turn is decided together: a lease returned and its order lowered are one wish. */
  #step(event: LeaseEvent): void {
    this.#events.push(event);
    if (this.#stepping) return;
    this.#stepping = true;
    queueMicrotask(() => this.#decide());
  }

  #decide(): void {
    // A view that leads to nothing is no news for the others: they would answer it with another.
    let isNews = false;
    while (this.#events.length > 0) {
      const events = this.#events;
      this.#events = [];
      const effects = this.#queue.step(...events);
      isNews ||= effects.length > 0 || events.some(({ kind }) => kind !== "viewChanged");
      for (const effect of effects) this.#do(effect);
    }
    this.#routes.passReturns();
    this.#stepping = false;
    if (isNews) this.#parts.changed();
  }

  #do(effect: LeaseEffect): void {
    switch (effect.kind) {
      case "grant":
        return this.#grant(effect);
      case "seat":
        return this.#parts.actorSeated(effect.origin.slice(ACTOR_ORIGIN.length));
      case "startWorker": {
        const worker = this.#parts.workers.start(effect.jobId, effect.environment);
        this.#parts.environments.workerStarted(worker);
        return this.workerStarted(worker.process);
      }
      case "stopWorker":
        return this.#parts.workers.kill(effect.worker, "it was idle");
      case "prepareEnvironment":
        return this.#parts.environments.prepare(effect.jobId, effect.environment, this.#routes.nodeOf(effect.origin));
      case "bundleHeld":
        return this.#parts.groups.held(effect);
      case "tellQuota":
        return this.#parts.tellQuota(effect);
      case "askGroup":
        return this.#parts.groups.ask(effect.group);
      case "unseat":
        return this.#parts.actorUnseated(effect.actor, effect.text);
      case "evict":
        return this.#parts.workers.kill(effect.worker, effect.text, GROUP_REMOVED);
      case "forward":
        return this.#forward(effect.node, effect.request);
      case "refuse":
        return this.#refuse(effect);
      case "askBack":
        return this.#routes.answer(effect, "leaseRevoked", { lease: effect.lease, reason: effect.reason, origin: effect.origin });
      case "askIdle":
        this.#parts.workers.get(effect.worker)?.channel?.send("leaseRevoked", { lease: effect.lease, reason: "idle" });
        return;
      case "reclaim":
        return this.#parts.workers.kill(effect.worker, "the process it worked for is gone");
      case "armGrace": {
        const { origin, schedulingClass } = effect;
        this.#parts.clock.after(effect.ms, () => this.#step({ kind: "graceElapsed", origin, schedulingClass }));
        return;
      }
      case "armSlice":
        this.#parts.clock.after(effect.ms, () => this.#step({ kind: "sliceElapsed" }));
    }
  }

  #grant(effect: LeaseEffect & { kind: "grant" }): void {
    const { lease, worker, adopt, origin, schedulingClass, gpus } = effect;
    const pooled = this.#parts.workers.get(worker);
    this.#busy(worker);
    if (pooled !== undefined) Object.assign(pooled, { worksSince: this.#parts.clock.now(), gpus });
    if (adopt !== undefined && pooled !== undefined) {
      pooled.jobId = adopt.jobId;
      pooled.channel?.send("adoptJob", this.#parts.adoption(adopt.jobId));
    }
    if (origin.startsWith(ACTOR_ORIGIN)) {
      const actor = origin.slice(ACTOR_ORIGIN.length);
      this.#actorLeases.set(actor, lease);
      return this.#parts.actorGranted(actor, worker);
    }
    const claimPage = this.#parts.claims.lease(lease);
    this.#granted.set(lease, { origin, page: claimPage, over: false });
    this.#leaseOf.set(worker, lease);
    pooled?.channel?.send("leaseGranted", { lease, claimPage, worker, gpus: [...gpus] });
    pooled?.channel?.flush();
    this.#routes.answer(effect, "leaseGranted", { schedulingClass, lease, worker, node: this.#parts.nodeId, claimPage, origin });
  }

  /** Workers of an environment of their own end when nobody has wanted them for a while. */
  #idleSince(worker: string): void {
    this.#busy(worker);
    if (!this.#parts.workers.get(worker)?.environment) return;
    const elapsed = () => this.#step({ kind: "idleElapsed", worker });
    this.#idle.set(worker, this.#parts.clock.after(ENVIRONMENT_IDLE_MS, elapsed));
  }

  #busy(worker: string): void {
    this.#idle.get(worker)?.cancel();
    this.#idle.delete(worker);
  }

  /** Over for its worker. An owner on this node still reads what is on the page, and may be about to write to it. */
  #endLease(lease: string, worker: string): void {
    this.#leaseOf.delete(worker);
    const granted = this.#granted.get(lease);
    if (granted === undefined) return;
    if (!this.#parts.processes.sharesMemory(granted.origin)) this.#forget(lease);
    else granted.over = true;
  }

  #forget(lease: string): void {
    if (this.#granted.delete(lease)) this.#parts.claims.release(lease);
  }

  #refuse(effect: LeaseEffect & { kind: "refuse" }): void {
    const { origin, schedulingClass, text } = effect;
    const error = refusal(effect.code, text);
    const bundle = bundleOf(effect);
    if (bundle !== undefined) return this.#parts.groups.refused(bundle.group, error);
    if (origin.startsWith(ACTOR_ORIGIN)) return this.#parts.actorRefused(origin.slice(ACTOR_ORIGIN.length), error);
    this.#routes.answer(effect, "leaseRefused", { schedulingClass, failure: failureOf(error), origin });
  }

  #forward(node: string, request: (LeaseEffect & { kind: "forward" })["request"]): void {
    if (request.origin.startsWith(ACTOR_ORIGIN)) {
      if (request.wanted > 0) this.#parts.actorForwarded(request.origin.slice(ACTOR_ORIGIN.length), node);
      return;
    }
    const { graceMs, strategy, ...rest } = request;
    const body = {
      ...rest,
      strategy: strategy as never,
      infeasibleGraceMs: Number.isFinite(graceMs) ? graceMs : GRACE_ENDLESS,
    };
    this.#routes.tell(node, "leaseRequest", body, () => {
      // Out of reach counts as a refusal by that node: the queue looks for another.
      this.#step({ kind: "forwardRefused", node, origin: request.origin, schedulingClass: request.schedulingClass });
    });
  }
}

function refusal(code: RefusalCode, text: string): Error {
  if (code === "INFEASIBLE") return new InfeasibleError(text);
  if (code === "PLACEMENT_GROUP_REMOVED") return new PlacementGroupRemovedError(text);
  if (code === "RUNTIME_ENV_SETUP") return new RuntimeEnvSetupError(text);
  return code === "INVALID_ARGUMENT" ? new InvalidArgumentError(text) : new WorkerCrashedError(text, { reason: "never-started" });
}

function claimsOf(tags: readonly number[]): Uint8Array {
  const bytes = Buffer.allocUnsafe(tags.length * 4);
  tags.forEach((tag, index) => bytes.writeUInt32LE(tag, index * 4));
  return bytes;
}

function graceOf(onWire: number): number {
  return onWire === GRACE_ENDLESS ? Number.POSITIVE_INFINITY : onWire;
}
