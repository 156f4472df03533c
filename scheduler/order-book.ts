// The standing orders of one node, and those with unmet demand in the order in which they are to be served.
//
//   jobs ─ shapes of a job ─ orders of a shape        each level least recently served first
//
// A shape is what decides whether an order can be served: resources, strategy, environment. All orders of a shape fit or none
// does, so a pass looks at shapes, however many orders wait. A set that is deleted from and added to again on every grant is
// the round robin: its iteration order is the order of turns.

import { assert } from "./assert.ts";
import type { LeaseOrder, OrderName } from "./lease-messages.ts";
import { type Placement, type ParsedPlacement, placementOf } from "./placement.ts";
import { resourcesKey } from "./resources.ts";

/** The part of an order that another node was asked to serve. */
export interface Forward {
  asked: number;
  /** Leases granted there and not yet returned. */
  held: number;
}

export interface Order {
  readonly key: string;
  request: LeaseOrder;
  wanted: number;
  /** Leases granted here and not yet returned. */
  held: number;
  readonly forwards: Map<string, Forward>;
  shape: Shape;
  /** Its grace timer runs. */
  graceArmed: boolean;
}

export interface Shape {
  readonly key: string;
  readonly jobId: string;
  readonly environment: string;
  readonly placement: Placement;
  /** Of its orders: how often they were passed on. */
  readonly hops: number;
  /** Orders with unmet demand, least recently served first. */
  readonly waiting: Set<Order>;
  /** Count of grants when it first did not fit; undefined while it is not kept waiting by resources. */
  blockedSince: number | undefined;
  /** Why no node can ever serve it; undefined while one can. */
  infeasible: string | undefined;
  /** Version of the view in which no other node had room. */
  nowhereElse: number;
  /** Leases that are to be granted here and wait for a worker: where they go is not decided again. */
  dueHere: number;
  /** Leases of this pass that count on a worker that boots. */
  promised: number;
  /** Nodes that refused it in this view. */
  readonly shunned: Set<string>;
}

interface Job {
  readonly id: string;
  readonly shapes: Set<Shape>;
}

export class OrderBook {
  readonly orders = new Map<string, Order>();
  readonly #shapes = new Map<string, Shape>();
  readonly #shapeOrders = new Map<Shape, number>();
  /** Jobs with waiting orders, least recently served first. */
  readonly #waiting = new Set<Job>();
  readonly #jobs = new Map<string, Job>();
  readonly #byOrigin = new Map<string, Set<Order>>();

  find(name: OrderName): Order | undefined {
    return this.orders.get(orderKey(name));
  }

  ofOrigin(origin: string): readonly Order[] {
    return [...(this.#byOrigin.get(origin) ?? [])];
  }

  /** Waiting shapes by job, in turn. A copy: the book may change under it. */
  turns(): Shape[][] {
    return [...this.#waiting].map((job) => [...job.shapes]);
  }

  *waitingShapes(): Iterable<Shape> {
    for (const job of this.#waiting) yield* job.shapes;
  }

  /** The order after the upsert; or what is wrong with its strategy. */
  upsert(request: LeaseOrder): Order | { readonly text: string } {
    const key = orderKey(request);
    const parsed = placementOf(request.resources, request.strategy);
    if ("text" in parsed) return parsed;
    const shapeKey = shapeKeyOf(request);
    let order = this.orders.get(key);
    if (order !== undefined && order.shape.key !== shapeKey) {
      this.#leaveShape(order);
      order.shape = this.#shapeOf(shapeKey, request, parsed);
    }
    if (order === undefined) {
      const shape = this.#shapeOf(shapeKey, request, parsed);
      order = { key, request, wanted: 0, held: 0, forwards: new Map(), shape, graceArmed: false };
      this.orders.set(key, order);
      const siblings = this.#byOrigin.get(request.origin);
      if (siblings === undefined) this.#byOrigin.set(request.origin, new Set([order]));
      else siblings.add(order);
    }
    order.request = request;
    order.wanted = request.wanted;
    return order;
  }

  /** Leases that nobody was asked for yet. */
  unmet(order: Order): number {
    return Math.max(0, order.wanted - order.held - away(order));
  }

  /** Puts the order where its numbers say it belongs. After every change of them. */
  settle(order: Order): void {
    if (this.orders.get(order.key) !== order) return;
    if (this.unmet(order) > 0) this.#await(order);
    else this.#leaveWaiting(order);
    if (order.wanted === 0 && order.held === 0 && order.forwards.size === 0) this.#forget(order);
  }

  /** It was this order's turn: the order, its shape and its job go to the end. */
  served(order: Order): void {
    const { shape } = order;
    const job = this.#jobs.get(shape.jobId);
    if (!shape.waiting.delete(order) || job === undefined) return;
    shape.waiting.add(order);
    job.shapes.delete(shape);
    job.shapes.add(shape);
    this.#waiting.delete(job);
    this.#waiting.add(job);
  }

  validate(): void {
    for (const order of this.orders.values()) {
      assert(order.held >= 0 && order.wanted >= 0, `numbers of order ${order.key}`);
      assert(order.shape.waiting.has(order) === this.unmet(order) > 0, `order ${order.key} waits if and only if it wants`);
      assert(this.#shapes.get(order.shape.key) === order.shape, `shape of order ${order.key}`);
      assert(this.#byOrigin.get(order.request.origin)?.has(order) === true, `order ${order.key} by origin`);
      for (const { asked, held } of order.forwards.values()) assert(asked >= 0 && held >= 0 && asked + held > 0, "empty forward");
    }
    for (const job of this.#waiting) {
      assert(job.shapes.size > 0 && this.#jobs.get(job.id) === job, "a waiting job without a shape");
      for (const shape of job.shapes) assert(shape.waiting.size > 0, "a waiting shape without an order");
    }
    assert(this.#waiting.size === this.#jobs.size, "jobs");
    assert(this.#shapes.size === this.#shapeOrders.size, "shapes");
  }

  #await(order: Order): void {
    const { shape } = order;
    shape.waiting.add(order);
    let job = this.#jobs.get(shape.jobId);
    if (job === undefined) {
      job = { id: shape.jobId, shapes: new Set() };
      this.#jobs.set(job.id, job);
      this.#waiting.add(job);
    }
    job.shapes.add(shape);
  }

  #leaveWaiting(order: Order): void {
    const { shape } = order;
    if (!shape.waiting.delete(order) || shape.waiting.size > 0) return;
    shape.blockedSince = undefined;
    shape.dueHere = 0;
    const job = this.#jobs.get(shape.jobId);
    if (job === undefined || !job.shapes.delete(shape) || job.shapes.size > 0) return;
    this.#jobs.delete(job.id);
    this.#waiting.delete(job);
  }

  #forget(order: Order): void {
    this.#leaveShape(order);
    this.orders.delete(order.key);
    const siblings = this.#byOrigin.get(order.request.origin);
    siblings?.delete(order);
    if (siblings?.size === 0) this.#byOrigin.delete(order.request.origin);
  }

  #shapeOf(key: string, request: LeaseOrder, parsed: Extract<ParsedPlacement, { placement: Placement }>): Shape {
    let shape = this.#shapes.get(key);
    if (shape === undefined) {
      shape = {
        key, jobId: request.jobId, environment: request.environment, placement: parsed.placement, hops: request.hops,
        waiting: new Set(), blockedSince: undefined, infeasible: undefined, nowhereElse: -1, dueHere: 0, promised: 0,
        shunned: new Set(),
      };
      this.#shapes.set(key, shape);
    }
    this.#shapeOrders.set(shape, (this.#shapeOrders.get(shape) ?? 0) + 1);
    return shape;
  }

  #leaveShape(order: Order): void {
    this.#leaveWaiting(order);
    const left = (this.#shapeOrders.get(order.shape) ?? 0) - 1;
    if (left > 0) {
      this.#shapeOrders.set(order.shape, left);
      return;
    }
    this.#shapeOrders.delete(order.shape);
    this.#shapes.delete(order.shape.key);
  }
}

/** What other nodes hold or were asked for. */
export function away(order: Order): number {
  let sum = 0;
  for (const { asked, held } of order.forwards.values()) sum += Math.max(asked, held);
  return sum;
}

export function nameOf(order: Order): OrderName {
  const { origin, schedulingClass } = order.request;
  return { origin, schedulingClass };
}

/** Ids of processes hold no space. */
export function orderKey(name: OrderName): string {
  return `${name.origin} ${name.schedulingClass}`;
}

function shapeKeyOf(request: LeaseOrder): string {
  const { jobId, environment, resources, strategy, hops, forActor, bundle, seatOf } = request;
  return JSON.stringify([
    jobId, environment, resourcesKey(resources), strategy?.kind ?? "", strategy?.node ?? "", strategy?.soft ?? false,
    strategy?.labels ?? {}, strategy?.group ?? "", strategy?.bundle ?? 0, hops, forActor ?? false, bundle !== undefined,
    seatOf !== undefined,
  ]);
}
