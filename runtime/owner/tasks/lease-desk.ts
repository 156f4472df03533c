// The leases of this process and the orders for more: what it says to its agent so that tasks have workers.
//
// One standing order a scheduling class, sent once a turn and only when it changed; grants are dialled, idle leases go back.
// Which task goes where is the pool's to say, and what becomes of it submission.ts's.

import { STUCK_MS } from "../../core/index.ts";
import { failureOf } from "../../errors.ts";
import type { Clock, Timer } from "../../seams.ts";
import type { Failure, LeaseGranted, LeaseRefused } from "../../transport/index.ts";
import type { Home } from "../home.ts";
import type { Link, ProcessAddress } from "../links.ts";
import { beginLease } from "./task-lease.ts";
import type { SchedulingClass, TaskLease } from "./task-record.ts";

/** Idle leases are looked for this often while there are any. */
const IDLE_SWEEP_MS = 50;

export interface LeaseDeskParts {
  readonly clock: Clock;
  readonly home: Home;
  readonly nodeId: string;
  readonly jobId: () => string;
  readonly connect: (address: ProcessAddress) => Promise<Link>;
  /** A lease has come, or there is something to order: push what fits. */
  readonly pump: (scheduling: SchedulingClass) => void;
  /** The agent does not serve the class: what is queued fails. */
  readonly refused: (scheduling: SchedulingClass, failure: Failure) => void;
  /** Take back what has not started there. */
  readonly recall: (lease: TaskLease) => void;
}

export class LeaseDesk {
  readonly #parts: LeaseDeskParts;
  readonly #leases = new Map<string, { readonly lease: TaskLease; readonly scheduling: SchedulingClass }>();
  readonly #classes = new Map<number, SchedulingClass>();
  /** Leases whose workers are being dialled. */
  readonly #dialling = new Set<string>();
  readonly #dirty = new Set<SchedulingClass>();
  readonly #preparing = new Set<SchedulingClass>();
  #sweep: Timer | undefined;
  #watch: Timer | undefined;
  #returning: TaskLease[] = [];
  #turnScheduled = false;

  constructor(parts: LeaseDeskParts) {
    this.#parts = parts;
    // What was submitted before the agent takes orders; when it never does, the session's end says so to each task.
    parts.home.joined.then(() => this.#endTurn(), () => {});
  }

  /** Classes that have had work. */
  classes(): Iterable<SchedulingClass> {
    return this.#classes.values();
  }

  /** There is work of this class. */
  open(scheduling: SchedulingClass): void {
    this.#classes.set(scheduling.id, scheduling);
  }

  of(process: string): TaskLease[] {
    return [...this.#leases.values()].map(({ lease }) => lease).filter(({ worker }) => worker === process);
  }

  workersOn(node: string): Set<string> {
    return new Set([...this.#leases.values()].filter(({ lease }) => lease.node === node).map(({ lease }) => lease.worker));
  }

  /** The lease is gone with its worker; its class. */
  lost(lease: TaskLease): SchedulingClass {
    const { scheduling } = this.#leases.get(lease.id) as { scheduling: SchedulingClass };
    this.#leases.delete(lease.id);
    scheduling.pool.lost(lease.id);
    return scheduling;
  }

  /** What a class wants may have changed: said at the end of this turn. */
  orderSoon(scheduling: SchedulingClass): void {
    this.#dirty.add(scheduling);
    if (this.#turnScheduled) return;
    this.#turnScheduled = true;
    queueMicrotask(() => this.#endTurn());
  }

  /** A lease has become empty, when it has: it goes back at once when others want it, else after a while. */
  idled(scheduling: SchedulingClass, lease: TaskLease): void {
    if (lease.inFlight.size > 0) return;
    if (lease.closing || lease.wanted) return this.#returnIdle(scheduling, false);
    this.#sweep ??= this.#parts.clock.after(IDLE_SWEEP_MS, () => this.#sweepIdle());
  }

  giveBack(lease: string, node: string, reason: string): void {
    this.#dialling.delete(lease);
    if (this.#parts.home.open) this.#parts.home.agent.send("leaseReturned", { lease, node, reason });
  }

  /** Something queues behind a task: looked at again until nothing does. */
  watchPipelines(): void {
    this.#watch ??= this.#parts.clock.after(STUCK_MS, () => this.#lookAtPipelines());
  }

  close(): void {
    this.#sweep?.cancel();
    this.#watch?.cancel();
    for (const scheduling of this.#classes.values()) this.#returnIdle(scheduling, true);
  }

  // -- what the agent says -----------------------------------------------------------------------------------------

  granted(granted: LeaseGranted): void {
    const scheduling = this.#classes.get(granted.schedulingClass);
    if (scheduling === undefined) return this.giveBack(granted.lease, granted.node, "unknown class");
    if (this.#leases.has(granted.lease)) return;
    this.#dialling.add(granted.lease);
    this.#parts.connect({ process: granted.worker, node: granted.node }).then(
      (link) => this.#add(granted, scheduling, link),
      () => this.giveBack(granted.lease, granted.node, "worker out of reach"),
    );
  }

  refused(refused: LeaseRefused): void {
    const scheduling = this.#classes.get(refused.schedulingClass);
    if (scheduling !== undefined) this.#refuse(scheduling, refused.failure as Failure);
  }

  /**
   * demand: others wait, so it goes back as soon as it is idle. Any other reason: send no more, take back what has not
   * started. idle: the worker has let go of it already, because nothing was heard from here; what is wanted is asked for anew.
   */
  revoked(leaseId: string, reason: string): void {
    if (reason === "idle") this.#orderAnew();
    const found = this.#leases.get(leaseId);
    if (found === undefined) return void this.#dialling.delete(leaseId);
    if (reason === "demand") {
      found.lease.wanted = true;
      return this.#returnIdle(found.scheduling, false);
    }
    found.lease.closing = true;
    this.#parts.recall(found.lease);
    this.#parts.pump(found.scheduling);
    this.#returnIdle(found.scheduling, false);
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #refuse(scheduling: SchedulingClass, failure: Failure): void {
    scheduling.pool.forgetOrder();
    this.#parts.refused(scheduling, failure);
  }

  #add(granted: LeaseGranted, scheduling: SchedulingClass, link: Link): void {
    if (!this.#dialling.delete(granted.lease)) return this.giveBack(granted.lease, granted.node, "revoked");
    const page = granted.node === this.#parts.nodeId ? this.#parts.home.claims?.page(granted.claimPage) : undefined;
    const lease = beginLease(granted, link, page, this.#parts.clock.now());
    this.#leases.set(lease.id, { lease, scheduling });
    scheduling.pool.granted(lease);
    this.#parts.pump(scheduling);
    this.idled(scheduling, lease);
  }

  /** Takes back what queues behind a task that takes long. */
  #lookAtPipelines(): void {
    this.#watch = undefined;
    const now = this.#parts.clock.now();
    let deep = false;
    for (const scheduling of this.#classes.values()) {
      for (const lease of scheduling.pool.stuck(now)) {
        lease.blocked = true;
        this.#parts.recall(lease);
      }
      for (const lease of scheduling.pool.leases.values()) deep ||= lease.inFlight.size > 1;
    }
    if (deep) this.watchPipelines();
  }

  #orderAnew(): void {
    for (const scheduling of this.#classes.values()) {
      scheduling.pool.forgetOrder();
      this.orderSoon(scheduling);
    }
  }

  #endTurn(): void {
    this.#turnScheduled = false;
    if (!this.#parts.home.ready) return;
    for (const scheduling of this.#dirty) {
      if (scheduling.environment.id === undefined) this.#prepareEnvironment(scheduling);
      else this.#order(scheduling);
    }
    this.#dirty.clear();
    // After the orders: a lease that comes back while its order stands is granted anew.
    for (const { id, node } of this.#returning) this.giveBack(id, node, "idle");
    this.#returning = [];
  }

  /** Nothing is ordered before the agent has what the work is to run in. */
  #prepareEnvironment(scheduling: SchedulingClass): void {
    if (scheduling.pool.queued === 0 || this.#preparing.has(scheduling)) return;
    this.#preparing.add(scheduling);
    scheduling.environment.prepare().finally(() => this.#preparing.delete(scheduling)).then(
      () => this.#parts.pump(scheduling),
      (error: unknown) => this.#refuse(scheduling, failureOf(error) as Failure),
    );
  }

  #order(scheduling: SchedulingClass): void {
    const wanted = scheduling.pool.order();
    if (wanted === undefined) return;
    const { home, jobId } = this.#parts;
    const { id: schedulingClass, resources, infeasibleGraceMs, name, environment } = scheduling;
    // A group is known to agents by its id.
    const strategy = { ...scheduling.strategy, bundles: [] };
    home.agent.send("leaseRequest", {
      schedulingClass, resources, wanted, strategy, jobId: jobId(), environment: environment.id, infeasibleGraceMs, name,
      origin: "", hops: 0,
    });
  }

  #sweepIdle(): void {
    this.#sweep = undefined;
    let more = false;
    for (const scheduling of this.#classes.values()) {
      this.#returnIdle(scheduling, false);
      for (const lease of scheduling.pool.leases.values()) more ||= lease.inFlight.size === 0;
    }
    if (more) this.#sweep = this.#parts.clock.after(IDLE_SWEEP_MS, () => this.#sweepIdle());
  }

  #returnIdle(scheduling: SchedulingClass, all: boolean): void {
    for (const lease of scheduling.pool.takeIdle(this.#parts.clock.now(), all)) {
      this.#leases.delete(lease.id);
      this.#returning.push(lease);
    }
    this.orderSoon(scheduling);
  }
}
