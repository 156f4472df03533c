// Which leases are to be given up for orders that have waited a whole time slice while others held more.
//
// Shares are counted in leases: between jobs first, then between the shapes of a job, then between the orders of a shape. A
// lease moves when its holder has at least two more than the one that waits, or the one that waits has none; moving it at a
// difference of one would only turn the roles round. A shape with a reservation may have any lease.

import type { Lease } from "./lease-table.ts";
import type { Order, Shape } from "./order-book.ts";
import { addResources, type Resources, resourcesFit, subtractResources } from "./resources.ts";

export interface ShareInput {
  readonly leases: Iterable<Lease>;
  /** Shapes that wait and could be served here, in turn. */
  readonly waiting: readonly Shape[];
  readonly available: Resources;
  readonly reserved: Shape | undefined;
  /** What waits has room but no worker, and none may be started. */
  readonly workersShort: boolean;
}

/** Shapes that are looked at in one slice; the others have their turn in the next. */
const SHAPES_MAX = 16;

export function leasesToMove(input: ShareInput): Lease[] {
  const counts = new Counts();
  const candidates: Lease[] = [];
  let coming: Resources = input.available;
  for (const lease of input.leases) {
    counts.add(lease.order, 1);
    // A suspended lease has nothing to give up, an orphan is on its way back, and one that becomes an actor gives up by itself.
    if (lease.suspended || lease.orphaned || lease.order.request.forActor === true) continue;
    if (lease.asked === "share" || lease.asked === "drain") coming = addResources(coming, lease.resources);
    else candidates.push(lease);
  }
  const moved = new Set<Lease>();
  for (const shape of input.waiting.slice(0, SHAPES_MAX)) {
    const victims = victimsFor(shape, input, candidates, moved, counts, coming);
    for (const lease of victims) {
      moved.add(lease);
      coming = addResources(coming, lease.resources);
    }
    if (resourcesFit(shape.placement.resources, coming)) coming = subtractResources(coming, shape.placement.resources);
  }
  return [...moved];
}

function victimsFor(
  shape: Shape, input: ShareInput, candidates: readonly Lease[], moved: ReadonlySet<Lease>, counts: Counts, coming: Resources,
): readonly Lease[] {
  const [order] = shape.waiting;
  const wanted = shape.placement.resources;
  let fits = resourcesFit(wanted, coming) && !input.workersShort;
  if (fits || order === undefined) return [];
  const victims: Lease[] = [];
  for (const lease of candidates) {
    if (moved.has(lease) || lease.order === order || (shape !== input.reserved && !counts.richer(lease.order, order))) continue;
    if (!input.workersShort && !overlaps(lease.resources, wanted)) continue;
    victims.push(lease);
    counts.add(lease.order, -1);
    coming = addResources(coming, lease.resources);
    fits = resourcesFit(wanted, coming);
    if (fits) return victims;
  }
  if (shape === input.reserved) return victims;
  // Not enough even with all of them: taking some would help nobody.
  for (const lease of victims) counts.add(lease.order, 1);
  return [];
}

function overlaps(left: Resources, right: Resources): boolean {
  for (const name in left) if (left[name] > 0 && Object.hasOwn(right, name) && right[name] > 0) return true;
  return false;
}

class Counts {
  readonly #jobs = new Map<string, number>();
  readonly #shapes = new Map<Shape, number>();
  readonly #orders = new Map<Order, number>();

  add(order: Order, by: number): void {
    this.#jobs.set(order.shape.jobId, (this.#jobs.get(order.shape.jobId) ?? 0) + by);
    this.#shapes.set(order.shape, (this.#shapes.get(order.shape) ?? 0) + by);
    this.#orders.set(order, (this.#orders.get(order) ?? 0) + by);
  }

  richer(holder: Order, waiter: Order): boolean {
    if (holder.shape.jobId !== waiter.shape.jobId) {
      return more(this.#jobs.get(holder.shape.jobId), this.#jobs.get(waiter.shape.jobId));
    }
    if (holder.shape !== waiter.shape) return more(this.#shapes.get(holder.shape), this.#shapes.get(waiter.shape));
    return more(this.#orders.get(holder), this.#orders.get(waiter));
  }
}

function more(holder = 0, waiter = 0): boolean {
  return waiter === 0 ? holder > 0 : holder - waiter >= 2;
}
