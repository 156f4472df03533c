// The leases and actors that hold resources of one node, and the accounts behind them.
//
// A lease holds its resources from the grant to the return; while it is suspended it holds all but its CPU. An actor holds its
// lifetime resources, a bundle of a placement group what it keeps. What all but running leases hold is `pinned`: waiting for it
// may be waiting for oneself, so nothing is ever reserved against it.

import { assert } from "./assert.ts";
import { GpuSlots } from "./gpu-slots.ts";
import { groupRequest } from "./group-resources.ts";
import type { Order } from "./order-book.ts";
import type { Placement } from "./placement.ts";
import type { QuotaGate } from "./quota-gate.ts";
import {
  addResources, amountOf, emptyResources, NO_RESOURCES, plainName, type Resources, resourcesEqual, subtractResources,
} from "./resources.ts";
import type { ResourcePool } from "./resource-pool.ts";
import type { Worker } from "./worker-roster.ts";

export interface Lease {
  readonly id: string;
  readonly order: Order;
  readonly worker: Worker;
  /** Of its order when it was granted. */
  readonly placement: Placement;
  readonly resources: Resources;
  /** Numbers of the GPUs that are its own, or in part. */
  readonly gpus: readonly number[];
  suspended: boolean;
  /** Its CPU was taken back without being free. */
  overdrawn: boolean;
  /** What its owner was asked for last. */
  asked: "demand" | "share" | "drain" | undefined;
  /** Its owner is gone. */
  orphaned: boolean;
}

export interface PlacedActor {
  readonly id: string;
  readonly jobId: string;
  /** Undefined for one that has only a seat. */
  readonly worker: Worker | undefined;
  readonly lifetime: Resources;
  readonly placement: Placement;
  readonly gpus: readonly number[];
}

export class LeaseTable {
  readonly leases = new Map<string, Lease>();
  readonly actors = new Map<string, PlacedActor>();
  readonly #byWorker = new Map<Worker, Lease>();
  readonly #actorByWorker = new Map<Worker, PlacedActor>();
  readonly #pool: ResourcePool;
  readonly #quotas: QuotaGate;
  readonly #gpus: GpuSlots;
  #pinned: Resources = NO_RESOURCES;
  /** What bundles of placement groups took of the node. */
  #bundled: Resources = NO_RESOURCES;

  constructor(pool: ResourcePool, quotas: QuotaGate) {
    this.#pool = pool;
    this.#quotas = quotas;
    this.#gpus = new GpuSlots(amountOf(pool.total, "GPU"));
  }

  /** What can come free by waiting for leases. */
  get reclaimable(): Resources {
    return subtractResources(this.#pool.total, this.#pinned);
  }

  ofWorker(worker: Worker): Lease | undefined {
    return this.#byWorker.get(worker);
  }

  actorOf(worker: Worker): PlacedActor | undefined {
    return this.#actorByWorker.get(worker);
  }

  grant(id: string, order: Order, worker: Worker): Lease {
    const { placement } = order.shape;
    const { resources } = placement;
    assert(!this.leases.has(id), `lease id ${id} is used twice`);
    assert(this.#pool.acquire(resources), `lease ${id} was granted without room`);
    const gpus = this.#gpus.take(amountOf(placement.asked, "GPU"));
    const lease: Lease = {
      id, order, worker, placement, resources, gpus, suspended: false, overdrawn: false, asked: undefined, orphaned: false,
    };
    this.#quotas.charge(order.request.jobId, resources);
    this.leases.set(id, lease);
    this.#byWorker.set(worker, lease);
    return lease;
  }

  end(lease: Lease): void {
    this.#close(lease);
    this.#gpus.give(lease.gpus, amountOf(lease.placement.asked, "GPU"));
  }

  #close(lease: Lease): void {
    if (lease.suspended) this.#pinned = subtractResources(this.#pinned, withoutCpu(lease.resources));
    const held = lease.suspended ? withoutCpu(lease.resources) : lease.resources;
    this.#pool.release(held);
    this.#quotas.credit(lease.order.request.jobId, held);
    this.leases.delete(lease.id);
    this.#byWorker.delete(lease.worker);
  }

  suspend(lease: Lease): void {
    if (lease.suspended) return;
    lease.suspended = true;
    lease.overdrawn = false;
    this.#pool.release(cpuOf(lease.resources));
    this.#quotas.credit(lease.order.request.jobId, cpuOf(lease.resources));
    this.#pinned = addResources(this.#pinned, withoutCpu(lease.resources));
  }

  resume(lease: Lease): void {
    if (!lease.suspended) return;
    lease.suspended = false;
    lease.overdrawn = !this.#pool.fits(cpuOf(lease.resources));
    this.#pool.forceAcquire(cpuOf(lease.resources));
    this.#quotas.charge(lease.order.request.jobId, cpuOf(lease.resources));
    this.#pinned = subtractResources(this.#pinned, withoutCpu(lease.resources));
  }

  /** A bundle takes its resources: false when there is no room. */
  holdBundle(resources: Resources, jobId: string): boolean {
    if (!this.#pool.acquire(resources)) return false;
    this.#quotas.charge(jobId, resources);
    this.#pinned = addResources(this.#pinned, resources);
    this.#bundled = addResources(this.#bundled, resources);
    return true;
  }

  endBundle(resources: Resources, jobId: string): void {
    this.#pool.release(resources);
    this.#quotas.credit(jobId, resources);
    this.#pinned = subtractResources(this.#pinned, resources);
    this.#bundled = subtractResources(this.#bundled, resources);
  }

  /** The lease ends and the actor holds `lifetime` from now on; that it does, even where the lease did not cover it. */
  place(lease: Lease, id: string, lifetime: Resources): PlacedActor {
    const { worker, placement, gpus } = lease;
    const { kind, group, bundle } = placement;
    const { jobId } = lease.order.request;
    if (kind === "group") lifetime = groupRequest(lifetime, group, bundle);
    this.#close(lease);
    this.#pool.forceAcquire(lifetime);
    this.#quotas.charge(jobId, lifetime);
    this.#pinned = addResources(this.#pinned, lifetime);
    const actor: PlacedActor = { id, jobId, worker, placement, lifetime, gpus };
    this.actors.set(id, actor);
    this.#actorByWorker.set(worker, actor);
    return actor;
  }

  /** There is room. */
  seat(id: string, jobId: string, placement: Placement): void {
    const { resources } = placement;
    assert(!this.actors.has(id) && this.#pool.acquire(resources), `actor ${id} was seated twice, or without room`);
    this.#pinned = addResources(this.#pinned, resources);
    this.#quotas.charge(jobId, resources);
    const gpus = this.#gpus.take(amountOf(placement.asked, "GPU"));
    this.actors.set(id, { id, jobId, placement, worker: undefined, lifetime: resources, gpus });
  }

  endActor(actor: PlacedActor): void {
    this.actors.delete(actor.id);
    this.#gpus.give(actor.gpus, amountOf(actor.placement.asked, "GPU"));
    if (actor.worker !== undefined) this.#actorByWorker.delete(actor.worker);
    this.#pool.release(actor.lifetime);
    this.#quotas.credit(actor.jobId, actor.lifetime);
    this.#pinned = subtractResources(this.#pinned, actor.lifetime);
  }

  validate(): void {
    this.#pool.validate();
    let held: Resources = this.#bundled;
    let pinned: Resources = this.#bundled;
    let overdraft: Resources = NO_RESOURCES;
    for (const lease of this.leases.values()) {
      assert(this.#byWorker.get(lease.worker) === lease, `worker ${lease.worker.id} has two leases`);
      assert(lease.worker.state === "leased", `worker of lease ${lease.id} is ${lease.worker.state}`);
      assert(lease.worker.suspended === lease.suspended, `suspension of lease ${lease.id}`);
      held = addResources(held, lease.suspended ? withoutCpu(lease.resources) : lease.resources);
      if (lease.suspended) pinned = addResources(pinned, withoutCpu(lease.resources));
      if (lease.overdrawn) overdraft = addResources(overdraft, cpuOf(lease.resources));
    }
    assert(this.#byWorker.size === this.leases.size, "leases by worker");
    for (const actor of this.actors.values()) {
      const { worker } = actor;
      const isPlaced = worker === undefined || (this.#actorByWorker.get(worker) === actor && worker.state === "actor");
      assert(isPlaced, `worker of actor ${actor.id}`);
      held = addResources(held, actor.lifetime);
      pinned = addResources(pinned, actor.lifetime);
      overdraft = addResources(overdraft, actor.lifetime);
    }
    assert(resourcesEqual(pinned, this.#pinned), "sum of pinned resources");
    assert(resourcesEqual(addResources(held, this.#pool.available), this.#pool.total), "held and available are not the total");
    for (const name in this.#pool.available) {
      const short = -amountOf(this.#pool.available, name);
      assert(short <= amountOf(overdraft, name), `${name} is oversubscribed without a declared overdraft`);
    }
  }
}

/** Also the CPU that a group keeps. */
function cpuOf(resources: Resources): Resources {
  const cpu = emptyResources();
  for (const name in resources) if (plainName(name) === "CPU" && resources[name] > 0) cpu[name] = resources[name];
  return cpu;
}

function withoutCpu(resources: Resources): Resources {
  return subtractResources(resources, cpuOf(resources));
}
