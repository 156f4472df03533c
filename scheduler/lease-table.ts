// The leases and actors that hold resources of one node, and the accounts behind them.
//
// A lease holds its resources from the grant to the return; while it is suspended it holds all but its CPU. An actor holds its
// lifetime resources. What actors and suspended leases hold is `pinned`: waiting for it may be waiting for oneself, so nothing
// is ever reserved against it.

import { assert } from "./assert.ts";
import type { Order } from "./order-book.ts";
import { addResources, amountOf, NO_RESOURCES, type Resources, resourcesEqual, subtractResources } from "./resources.ts";
import type { ResourcePool } from "./resource-pool.ts";
import type { Worker } from "./worker-roster.ts";

export interface Lease {
  readonly id: string;
  readonly order: Order;
  readonly worker: Worker;
  readonly resources: Resources;
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
  readonly worker: Worker;
  readonly lifetime: Resources;
}

export class LeaseTable {
  readonly leases = new Map<string, Lease>();
  readonly actors = new Map<string, PlacedActor>();
  readonly #byWorker = new Map<Worker, Lease>();
  readonly #actorByWorker = new Map<Worker, PlacedActor>();
  readonly #pool: ResourcePool;
  #pinned: Resources = NO_RESOURCES;

  constructor(pool: ResourcePool) {
    this.#pool = pool;
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
    const { resources } = order.shape.placement;
    assert(!this.leases.has(id), `lease id ${id} is used twice`);
    assert(this.#pool.acquire(resources), `lease ${id} was granted without room`);
    const lease: Lease = { id, order, worker, resources, suspended: false, overdrawn: false, asked: undefined, orphaned: false };
    this.leases.set(id, lease);
    this.#byWorker.set(worker, lease);
    return lease;
  }

  end(lease: Lease): void {
    if (lease.suspended) this.#pinned = subtractResources(this.#pinned, withoutCpu(lease.resources));
    this.#pool.release(lease.suspended ? withoutCpu(lease.resources) : lease.resources);
    this.leases.delete(lease.id);
    this.#byWorker.delete(lease.worker);
  }

  suspend(lease: Lease): void {
    if (lease.suspended) return;
    lease.suspended = true;
    lease.overdrawn = false;
    this.#pool.release(cpuOf(lease.resources));
    this.#pinned = addResources(this.#pinned, withoutCpu(lease.resources));
  }

  resume(lease: Lease): void {
    if (!lease.suspended) return;
    lease.suspended = false;
    lease.overdrawn = !this.#pool.fits(cpuOf(lease.resources));
    this.#pool.forceAcquire(cpuOf(lease.resources));
    this.#pinned = subtractResources(this.#pinned, withoutCpu(lease.resources));
  }

  /** The lease ends and the actor holds `lifetime` from now on; that it does, even where the lease did not cover it. */
  place(lease: Lease, id: string, lifetime: Resources): PlacedActor {
    this.end(lease);
    this.#pool.forceAcquire(lifetime);
    this.#pinned = addResources(this.#pinned, lifetime);
    const actor: PlacedActor = { id, worker: lease.worker, lifetime };
    this.actors.set(id, actor);
    this.#actorByWorker.set(lease.worker, actor);
    return actor;
  }

  endActor(actor: PlacedActor): void {
    this.actors.delete(actor.id);
    this.#actorByWorker.delete(actor.worker);
    this.#pool.release(actor.lifetime);
    this.#pinned = subtractResources(this.#pinned, actor.lifetime);
  }

  validate(): void {
    this.#pool.validate();
    let held: Resources = NO_RESOURCES;
    let pinned: Resources = NO_RESOURCES;
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
      assert(this.#actorByWorker.get(actor.worker) === actor && actor.worker.state === "actor", `worker of actor ${actor.id}`);
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

function cpuOf(resources: Resources): Resources {
  const cpu = amountOf(resources, "CPU");
  return cpu === 0 ? NO_RESOURCES : { CPU: cpu };
}

function withoutCpu(resources: Resources): Resources {
  return subtractResources(resources, cpuOf(resources));
}
