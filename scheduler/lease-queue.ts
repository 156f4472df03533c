// Leases of one node: which standing order gets which worker next, which orders go to other nodes, how many workers to have.
//
// Pure: `step(events) -> effects`. The agent feeds it everything that happens and does what it answers; ids and random numbers
// are given at construction. Each step applies its events, then serves the waiting orders in one pass:
//
//   fair       round robin over jobs, then shapes of a job, then orders of a shape (order-book.ts). An order that fits passes
//              one that does not.
//   no hunger  an order that 32 grants have passed because it had no room gets a reservation (node-chooser.ts).
//   spillback  an order stays here while the node is less than half full, else goes where select.ts says (spillback.ts). It is
//              passed on once, and taken back when the view shows that it is stuck there.
//   demand     while something waits, leases of others are asked back (lease-recall.ts).
//
// A lease whose worker still boots holds its room during the pass, so the one who waits for a process is not overtaken for ever.

import { assert } from "./assert.ts";
import { ClusterView } from "./cluster-view.ts";
import { EnvironmentGate } from "./environment-gate.ts";
import { GroupOrders } from "./group-orders.ts";
import { GroupTable } from "./group-table.ts";
import type { LeaseEffect, LeaseEvent, LeaseOrder, OrderName, WaitingOrder } from "./lease-messages.ts";
import { LeaseRecall } from "./lease-recall.ts";
import { type Lease, LeaseTable, type PlacedActor } from "./lease-table.ts";
import { NodeChooser } from "./node-chooser.ts";
import { away, nameOf, type Order, OrderBook, type Shape } from "./order-book.ts";
import type { NodeView } from "./placement.ts";
import type { QuotaReport } from "./quota-book.ts";
import { QuotaGate } from "./quota-gate.ts";
import { Refusals } from "./refusals.ts";
import { ResourcePool } from "./resource-pool.ts";
import { amountOf, type Resources, wholeCpus } from "./resources.ts";
import { Seats } from "./seats.ts";
import { Spillback } from "./spillback.ts";
import { waitingReport, type WaitingParts } from "./waiting-report.ts";
import { BOOT_FAILURES_MAX, type Worker, WorkerRoster } from "./worker-roster.ts";

/** Default cap on worker processes: for tasks that ask for less than a CPU each. */
export const WORKERS_PER_CPU = 4;
export const WORKERS_BASE = 32;

export interface LeaseQueueOptions {
  readonly nodeId: string;
  readonly total: Resources;
  readonly labels: Readonly<Record<string, string>>;
  readonly workersMax?: number;
  readonly nextLease: () => string;
  /** In [0, 1). */
  readonly nextRandom: () => number;
}

export class LeaseQueue {
  readonly pool: ResourcePool;
  readonly #nextLease: () => string;
  readonly #view: ClusterView;
  readonly #roster: WorkerRoster;
  readonly #book = new OrderBook();
  readonly #table: LeaseTable;
  readonly #chooser: NodeChooser;
  readonly #spillback: Spillback;
  readonly #environments = new EnvironmentGate();
  readonly #quotas = new QuotaGate();
  readonly #groups: GroupTable;
  readonly #groupOrders: GroupOrders;
  readonly #seats: Seats;
  readonly #parts: WaitingParts;
  readonly #recall: LeaseRecall;
  readonly #refusals: Refusals;
  /** Units of this pass that count on a worker that boots. */
  readonly #promised = new Map<Order, number>();
  #effects: LeaseEffect[] = [];
  #starts: LeaseEffect[] = [];
  #grants = 0;
  /** Grants, and orders passed on. */
  #moves = 0;
  #ordersExamined = 0;

  constructor(options: LeaseQueueOptions) {
    const { nodeId, labels, nextRandom, total } = options;
    const cpus = wholeCpus(total);
    this.pool = new ResourcePool(total);
    this.#nextLease = options.nextLease;
    this.#roster = new WorkerRoster({ cpus, workersMax: options.workersMax ?? WORKERS_BASE + WORKERS_PER_CPU * cpus });
    this.#view = new ClusterView(nodeId);
    this.#table = new LeaseTable(this.pool, this.#quotas);
    this.#groups = new GroupTable(nodeId, this.pool, this.#table);
    const emit = (effect: LeaseEffect) => void this.#effects.push(effect);
    const books = { pool: this.pool, view: this.#view, table: this.#table, book: this.#book, groups: this.#groups };
    const parts = { ...books, environments: this.#environments, quotas: this.#quotas, emit };
    this.#chooser = new NodeChooser({ nodeId, labels, nextRandom, ...parts });
    this.#parts = { ...parts, chooser: this.#chooser };
    this.#spillback = new Spillback(this.#book);
    this.#recall = new LeaseRecall({ ...parts, chooser: this.#chooser, roster: this.#roster });
    this.#refusals = new Refusals(parts);
    this.#seats = new Seats(parts);
    this.#groupOrders = new GroupOrders({ ...parts, refuse: (order, code, text) => this.#refusals.refuse(order, code, text) });
  }

  /** What arrived together belongs in one call: an owner that returns a lease and lowers its order is served nothing between. */
  step(...events: readonly LeaseEvent[]): LeaseEffect[] {
    for (const event of events) this.#apply(event);
    this.#groups.dissolve();
    this.#serve();
    this.#recall.demand();
    // Starts come last: they are answered in the same turn, and what that causes must not overtake what was decided before.
    const asked = [...this.#groups.takeEffects(), ...this.#spillback.takeEffects(), ...this.#environments.takeEffects()];
    const effects = [...this.#effects, ...asked, ...this.#starts];
    this.#effects = [];
    this.#starts = [];
    return effects;
  }

  /** Orders and nodes looked at since the start: the cost of deciding, for metrics and tests. */
  get examined(): number {
    return this.#ordersExamined + this.#chooser.examined;
  }

  get backlog(): number {
    let unmet = 0;
    for (const shape of this.#book.waitingShapes()) for (const order of shape.waiting) unmet += this.#book.unmet(order);
    return unmet;
  }

  /** What would be free if all leases came back. */
  get reclaimable(): Resources {
    return this.#table.reclaimable;
  }

  get workers(): ReadonlyMap<string, Readonly<Worker>> {
    return this.#roster.workers;
  }

  get leases(): ReadonlyMap<string, Readonly<Lease>> {
    return this.#table.leases;
  }

  get actors(): ReadonlyMap<string, PlacedActor> {
    return this.#table.actors;
  }

  waiting(limit: number): WaitingOrder[] {
    return waitingReport(this.#parts, limit);
  }

  /** What a new head has to know: placement groups that this node has to do with, and what jobs hold of their quotas. */
  known(): { readonly draining: boolean; readonly groups: string[]; readonly quotas: QuotaReport[] } {
    return { draining: this.#chooser.draining, groups: this.#groupOrders.known(), quotas: this.#quotas.reports() };
  }

  validate(): void {
    this.#book.validate();
    this.#roster.validate();
    this.#table.validate();
    const held = new Map<Order, number>();
    for (const { order } of this.#table.leases.values()) held.set(order, (held.get(order) ?? 0) + 1);
    for (const order of this.#book.orders.values()) assert(order.held === (held.get(order) ?? 0), `held leases of ${order.key}`);
    const leased = [...this.#roster.workers.values()].filter((worker) => worker.state === "leased");
    assert(leased.length === this.#table.leases.size, "a leased worker without a lease");
    this.#spillback.validate();
    this.#groups.validate();
    assert(this.#promised.size === 0, "a promise outlives its pass");
  }

  // -- events ------------------------------------------------------------------------------------------------------

  #apply(event: LeaseEvent): void {
    switch (event.kind) {
      case "requested": return this.#requested(event);
      case "workerStarting": return this.#roster.starting(event.worker);
      case "workerReady": return this.#roster.ready(event.worker, event.jobId, event.environment);
      case "workerDied": return this.#workerDied(event.worker);
      case "leaseReturned": return this.#leaseReturned(event.lease);
      case "workerIdle": return this.#workerIdle(event.lease);
      case "suspended": return this.#suspend(event.lease, true);
      case "resumed": return this.#suspend(event.lease, false);
      case "viewChanged": return this.#viewChanged(event.nodes);
      case "processGone": return this.#processGone(event.origin);
      case "actorPlaced": return this.#actorPlaced(event.lease, event.actor, event.lifetime);
      case "actorGone": return this.#actorGone(event.actor);
      case "graceElapsed": return this.#refusals.graceElapsed(event);
      case "sliceElapsed": return this.#recall.sliceElapsed();
      case "draining": return this.#drain();
      case "forwardGranted": return this.#spillback.granted(this.#book.find(event), event.node, event.lease);
      case "forwardRefused": return this.#forwardRefused(event, event.node, event.setupFailure);
      case "environmentReady": return this.#environments.ready(event.jobId, event.environment);
      case "environmentFailed": return this.#environmentFailed(event.jobId, event.environment, event.text);
      case "bundleWanted": return this.#groupOrders.wanted(event);
      case "groupChanged": return this.#groupOrders.changed(event.group);
      case "groupUnanswered": return this.#groups.unanswered(event.group);
      case "jobBegun": return this.#quotas.learn(event.jobId, event.quota);
      case "quotaShared": return this.#quotas.shared(event);
      case "jobEnded": return this.#jobEnded(event.jobId);
      case "idleElapsed": return this.#stop(this.#roster.retire(event.worker));
    }
  }

  #requested(event: LeaseOrder & { readonly kind: string }): void {
    if (event.wanted === 0 && this.#book.find(event) === undefined) return;
    const { kind: _kind, ...request } = event;
    if (request.limited === true) this.#quotas.expect(request.jobId);
    const order = this.#book.upsert({ ...request, limited: this.#quotas.limits(request.jobId) });
    if ("text" in order) {
      const { origin, schedulingClass } = request;
      return void this.#effects.push({ kind: "refuse", origin, schedulingClass, code: "INVALID_ARGUMENT", text: order.text });
    }
    this.#spillback.withdraw(order, order.held + away(order) - order.wanted);
    this.#book.settle(order);
    this.#groupOrders.refuseRemoved(order);
    if (order.shape.infeasible !== undefined && this.#book.unmet(order) > 0) this.#refusals.hopeOrRefuse(order);
  }

  #workerDied(id: string): void {
    const worker = this.#roster.workers.get(id);
    if (worker === undefined) return;
    const lease = this.#table.ofWorker(worker);
    if (lease !== undefined) this.#endLease(lease);
    const actor = this.#table.actorOf(worker);
    if (actor !== undefined) this.#table.endActor(actor);
    const { bootKey } = worker;
    this.#roster.died(id);
    if (bootKey !== undefined) this.#bootFailed(bootKey);
  }

  #bootFailed(bootKey: string): void {
    if (!this.#roster.bootFailed(bootKey)) return;
    const text = `${BOOT_FAILURES_MAX} workers in a row ended before they were ready; their last lines are in the node's log.`;
    const waits = (shape: Shape): boolean => this.#roster.isKeyOf(bootKey, shape.jobId, shape.environment);
    this.#refusals.where(waits, "WORKER_CRASHED", text);
  }

  #environmentFailed(jobId: string, environment: string, text: string): void {
    this.#environments.failed(jobId, environment);
    const waits = (shape: Shape): boolean => shape.jobId === jobId && shape.environment === environment;
    this.#refusals.where(waits, "RUNTIME_ENV_SETUP", text);
  }

  #leaseReturned(id: string): void {
    const lease = this.#table.leases.get(id);
    if (lease !== undefined) {
      this.#endLease(lease);
      this.#roster.giveBack(lease.worker);
      return;
    }
    this.#spillback.returned(id);
  }

  /** Its owner did not give it back: the worker did. */
  #workerIdle(id: string): void {
    const lease = this.#table.leases.get(id);
    if (lease === undefined || lease.orphaned) return;
    const { order } = lease;
    const { origin, hops } = order.request;
    this.#endLease(lease);
    this.#roster.giveBack(lease.worker);
    this.#effects.push({ kind: "askBack", ...nameOf(order), lease: id, reason: "idle" });
    // What an owner wants that answers nothing is kept for nobody: it asks anew once it reads this. One of another node is known
    // to its home by what it holds here, and counts one less there when it gives the lease back.
    if (hops > 0) return this.#lower(order, order.wanted - 1);
    for (const other of this.#book.ofOrigin(origin)) this.#lower(other, Math.min(other.wanted, other.held + away(other)));
  }

  #lower(order: Order, wanted: number): void {
    order.wanted = Math.max(0, wanted);
    this.#book.settle(order);
  }

  #endLease(lease: Lease): void {
    this.#table.end(lease);
    lease.order.held -= 1;
    this.#book.settle(lease.order);
  }

  #suspend(id: string, suspended: boolean): void {
    const lease = this.#table.leases.get(id);
    if (lease === undefined) return;
    if (suspended) this.#table.suspend(lease);
    else this.#table.resume(lease);
    this.#roster.suspend(lease.worker, suspended);
  }

  #viewChanged(nodes: readonly NodeView[]): void {
    this.#view.replace(nodes);
    for (const shape of this.#book.waitingShapes()) {
      shape.shunned.clear();
      shape.dueHere = 0;
    }
    this.#spillback.viewChanged(this.#view, (shape, node) => this.#chooser.stuckAt(shape, node));
  }

  #processGone(origin: string): void {
    for (const order of this.#book.ofOrigin(origin)) {
      order.wanted = 0;
      this.#spillback.originGone(order);
      this.#book.settle(order);
    }
    for (const lease of this.#table.leases.values()) {
      if (lease.order.request.origin !== origin || lease.orphaned) continue;
      lease.orphaned = true;
      this.#effects.push({ kind: "reclaim", lease: lease.id, worker: lease.worker.id });
    }
  }

  #actorPlaced(leaseId: string, actor: string, lifetime: Resources): void {
    const lease = this.#table.leases.get(leaseId);
    if (lease === undefined || this.#table.actors.has(actor)) return;
    this.#table.place(lease, actor, lifetime);
    this.#roster.becomeActor(lease.worker, amountOf(lifetime, "CPU") > 0);
    lease.order.held -= 1;
    lease.order.wanted = Math.max(0, lease.order.wanted - 1);
    this.#book.settle(lease.order);
  }

  #actorGone(id: string): void {
    const actor = this.#table.actors.get(id);
    if (actor !== undefined) this.#table.endActor(actor);
  }

  #drain(): void {
    if (this.#chooser.draining) return;
    this.#chooser.draining = true;
    for (const shape of this.#book.waitingShapes()) {
      shape.nowhereElse = -1;
      shape.dueHere = 0;
    }
    for (const lease of this.#table.leases.values()) this.#recall.ask(lease, "drain");
  }


  #jobEnded(jobId: string): void {
    this.#environments.forget(jobId);
    this.#quotas.forget(jobId);
  }

  #forwardRefused(name: OrderName, node: string, setupFailure: string | undefined): void {
    const order = this.#book.find(name);
    if (order === undefined || !order.forwards.has(node)) return;
    order.shape.shunned.add(node);
    order.shape.nowhereElse = -1;
    this.#spillback.withdrawFrom(order, node);
    if (setupFailure !== undefined) this.#refusals.refuse(order, "RUNTIME_ENV_SETUP", setupFailure);
  }

  // -- serving -----------------------------------------------------------------------------------------------------

  /** Until nothing moves any more, so that the same event again finds nothing to do. */
  #serve(): void {
    let moved = true;
    while (moved) {
      const before = this.#moves;
      this.#pass();
      // A reservation that is given up may have been all that stood in somebody's way.
      const freed = this.#chooser.reserve(this.#grants);
      moved = freed || this.#moves !== before;
    }
  }

  #pass(): void {
    this.#roster.beginPass();
    this.#quotas.beginPass();
    const promises: Shape[] = [];
    let rounds = this.#book.turns();
    while (rounds.length > 0) rounds = rounds.filter((shapes) => this.#serveJob(shapes, promises));
    for (const report of this.#quotas.endPass()) this.#effects.push({ kind: "tellQuota", ...report });
    for (const shape of promises) {
      this.pool.release(shape.placement.resources);
      this.#quotas.credit(shape.jobId, shape.placement.resources);
      shape.promised = 0;
    }
    this.#promised.clear();
  }

  /** One turn of a job: the first of its shapes that gets anything goes last, those that cannot are dropped from the pass. */
  #serveJob(shapes: Shape[], promises: Shape[]): boolean {
    for (let shape = shapes.shift(); shape !== undefined; shape = shapes.shift()) {
      const order = this.#nextOrder(shape);
      if (order === undefined || !this.#serveOrder(order, promises)) continue;
      shapes.push(shape);
      return true;
    }
    return false;
  }

  #nextOrder(shape: Shape): Order | undefined {
    for (const order of shape.waiting) {
      this.#ordersExamined += 1;
      if (this.#book.unmet(order) > (this.#promised.get(order) ?? 0)) return order;
    }
    return undefined;
  }

  #serveOrder(order: Order, promises: Shape[]): boolean {
    const { shape } = order;
    const excess = this.#quotas.excess(shape);
    if (excess !== undefined) {
      this.#refusals.refuse(order, "INFEASIBLE", `"${order.request.name}" ${excess}`);
      return false;
    }
    // Decided before, for a worker that boots: not decided again, unless the room was lost meanwhile and others may have some.
    const due = shape.dueHere > shape.promised && (shape.placement.kind === "spread" || this.#chooser.mayTake(shape));
    const place = due ? this.#chooser.placeHere(shape) : this.#chooser.placeFor(shape);
    this.#refusals.setInfeasible(shape, place.kind === "infeasible" ? place.text : undefined);
    if (place.kind === "infeasible") return false;
    if (place.kind === "full") {
      shape.blockedSince ??= this.#grants;
      return false;
    }
    if (place.kind === "there") {
      this.#spillback.forward(order, place.node, this.#view.book(place.node, shape.placement, this.#book.unmet(order)));
      this.#book.served(order);
      this.#moves += 1;
      if (shape.placement.kind !== "spread") shape.dueHere = 0;
      return true;
    }
    if (!this.#quotas.admits(shape, this.#book.unmet(order) - (this.#promised.get(order) ?? 0))) {
      // No room that is kept for it would be of use to it.
      this.#chooser.served(shape);
      return false;
    }
    const { jobId, environment, bundle, seatOf, forActor = false } = order.request;
    if (bundle !== undefined) return this.#hasRoom(order, this.#groupOrders.hold(order, bundle));
    if (seatOf !== undefined) return this.#hasRoom(order, this.#seats.take(order, seatOf));
    const taken = this.#roster.take(jobId, environment, forActor);
    if (taken !== undefined) {
      if (due) shape.dueHere -= 1;
      this.#grant(order, taken.worker, taken.wasBlank);
      return true;
    }
    if (!this.#environments.readyOrAsk(order.request)) return false;
    if (!due) shape.dueHere += 1;
    if (!this.#roster.claimBooting(jobId, environment) && !this.#startWorker(order)) return false;
    const { resources } = shape.placement;
    assert(this.pool.acquire(resources), "a promise without room");
    this.#quotas.charge(shape.jobId, resources);
    promises.push(shape);
    shape.promised += 1;
    this.#promised.set(order, (this.#promised.get(order) ?? 0) + 1);
    return true;
  }

  /** What wants no worker is served when it holds its room. */
  #hasRoom(order: Order, held: boolean): boolean {
    if (held) this.#chooser.served(order.shape);
    this.#moves += held ? 1 : 0;
    return held;
  }

  #grant(order: Order, worker: Worker, wasBlank: boolean): void {
    const lease = this.#table.grant(this.#nextLease(), order, worker);
    order.held += 1;
    this.#grants += 1;
    this.#moves += 1;
    this.#chooser.served(order.shape);
    this.#book.served(order);
    this.#book.settle(order);
    const { jobId, environment } = order.request;
    const adopt = wasBlank ? { jobId, environment } : undefined;
    this.#effects.push({ kind: "grant", ...nameOf(order), lease: lease.id, worker: worker.id, adopt, gpus: lease.gpus });
  }

  #startWorker(order: Order): boolean {
    const { jobId, environment } = order.request;
    if (this.#roster.mayStart(order.request.forActor === true)) {
      this.#roster.startRequested(jobId, environment);
      this.#starts.push({ kind: "startWorker", jobId, environment });
      return true;
    }
    this.#stop(this.#roster.evict());
    return false;
  }

  #stop(worker: Worker | undefined): void {
    if (worker !== undefined) this.#effects.push({ kind: "stopWorker", worker: worker.id });
  }
}
