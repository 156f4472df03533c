// Where the next lease of a shape is to come from: this node, another one, or nowhere for now.
//
// Local room is decided from exact numbers, other nodes from the view. A reservation makes this node full for everybody else:
// when enough leases have passed an order without room, what it needs is kept for it (one at a time, the longest wait first).

import type { ClusterView } from "./cluster-view.ts";
import type { GroupTable } from "./group-table.ts";
import type { LeaseTable } from "./lease-table.ts";
import type { OrderBook, Shape } from "./order-book.ts";
import { type NodeView, nodeEligible, type Placement, prefersNode, utilisation } from "./placement.ts";
import { UTILISATION_THRESHOLD } from "./policy/hybrid.ts";
import type { ResourcePool } from "./resource-pool.ts";
import { amountOf, NO_RESOURCES, type Resources, resourcesFit } from "./resources.ts";
import { infeasibleText, selectNode } from "./select.ts";

/** Grants that may pass an order without room before room is reserved for it. */
export const PASSES_MAX = 32;

/** full: this node could serve it and has no room. */
export type Place =
  | { readonly kind: "here" }
  | { readonly kind: "there"; readonly node: string }
  | { readonly kind: "full" }
  | { readonly kind: "infeasible"; readonly text: string };

const HERE: Place = { kind: "here" };
const FULL: Place = { kind: "full" };

export interface ChooserParts {
  readonly nodeId: string;
  readonly labels: Readonly<Record<string, string>>;
  /** In [0, 1). */
  readonly nextRandom: () => number;
  readonly pool: ResourcePool;
  readonly view: ClusterView;
  readonly table: LeaseTable;
  readonly book: OrderBook;
  readonly groups: GroupTable;
}

export class NodeChooser {
  readonly #parts: ChooserParts;
  #spreadCursor: string;
  #reserved: Shape | undefined;
  /** Whether another node had room for a shape, by the view. */
  readonly #roomElsewhere = new WeakMap<Shape, { readonly version: number; readonly found: boolean }>();
  draining = false;
  /** Nodes looked at since the start. */
  examined = 0;

  constructor(parts: ChooserParts) {
    this.#parts = parts;
    this.#spreadCursor = parts.nodeId;
  }

  get reserved(): Shape | undefined {
    return this.#reserved;
  }

  /** This node and no other has the turn. */
  placeHere(shape: Shape): Place {
    return this.mayTake(shape) ? HERE : FULL;
  }

  placeFor(shape: Shape): Place {
    const { placement } = shape;
    if (placement.kind === "group") return this.#placeInGroup(shape);
    const could = this.couldServe(placement);
    const fits = could && this.mayTake(shape);
    if (shape.hops > 0 || this.#parts.view.size === 0) {
      if (could) return fits ? HERE : FULL;
      return { kind: "infeasible", text: infeasibleText(placement, [this.#localView(this.#parts.pool.available)]) };
    }
    if (fits && this.#preferHere(shape)) return HERE;
    if (shape.nowhereElse !== this.#parts.view.version) return this.#choose(shape, could, fits);
    // Nothing has become free elsewhere since this was asked last.
    if (fits) return HERE;
    return shape.infeasible === undefined ? FULL : { kind: "infeasible", text: shape.infeasible };
  }

  /** Whether this node, empty, could serve it. */
  couldServe(placement: Placement): boolean {
    const { nodeId, pool, groups } = this.#parts;
    if (placement.kind === "group" && !groups.offers(placement)) return false;
    if (placement.kind === "node" && !placement.soft && placement.node !== nodeId) return false;
    return nodeEligible(placement, this.#localView(pool.available)) && pool.feasible(placement.resources);
  }

  /** Room for it now, leaving alone what is reserved for another. */
  mayTake(shape: Shape): boolean {
    const { pool } = this.#parts;
    const { resources } = shape.placement;
    if (!pool.fits(resources)) return false;
    if (this.#reserved === undefined || this.#reserved === shape) return true;
    const kept = this.#reserved.placement.resources;
    for (const name in resources) {
      const keep = amountOf(kept, name);
      if (keep > 0 && resources[name] > amountOf(pool.available, name) - keep) return false;
    }
    return true;
  }

  /** What was asked for at that node has no room there, while this or another node has. */
  stuckAt(shape: Shape, node: NodeView): boolean {
    const { pool } = this.#parts;
    const { placement } = shape;
    if (node.state !== "ALIVE") return true;
    if (placement.kind === "node" || resourcesFit(placement.resources, node.available)) return false;
    // What is told of the preferred node may be older than the order.
    if (prefersNode(placement) && placement.node === node.id && node.backlog === 0) return false;
    if (nodeEligible(placement, this.#localView(pool.available)) && this.mayTake(shape)) return true;
    return this.#hasRoomElsewhere(shape);
  }

  /** Asked of every node that the shape waits at, and looked up once a view. */
  #hasRoomElsewhere(shape: Shape): boolean {
    const { view } = this.#parts;
    const { placement } = shape;
    if (this.#roomElsewhere.get(shape)?.version !== view.version) {
      this.examined += view.size;
      const isFree = (other: NodeView) => nodeEligible(placement, other) && resourcesFit(placement.resources, other.available);
      this.#roomElsewhere.set(shape, { version: view.version, found: view.others(shape.shunned).some(isFree) });
    }
    return this.#roomElsewhere.get(shape)?.found === true;
  }

  /** The shape got a lease: its wait is over, and what was kept for it is free. */
  served(shape: Shape): void {
    shape.blockedSince = undefined;
    if (this.#reserved === shape) this.#reserved = undefined;
  }

  /** After a pass: gives the reservation to the longest wait of more than PASSES_MAX `grants`. True when one was given up. */
  reserve(grants: number): boolean {
    const held = this.#reserved;
    if (held !== undefined && held.blockedSince !== undefined && this.#reservable(held)) return false;
    this.#reserved = undefined;
    let since = grants - PASSES_MAX + 1;
    for (const shape of this.#parts.book.waitingShapes()) {
      if (shape.blockedSince === undefined || shape.blockedSince >= since || !this.#reservable(shape)) continue;
      since = shape.blockedSince;
      this.#reserved = shape;
    }
    return held !== undefined;
  }

  /** Only what returning leases can free is worth waiting for; else the reservation could be waiting for itself. */
  #reservable(shape: Shape): boolean {
    return this.couldServe(shape.placement) && resourcesFit(shape.placement.resources, this.#parts.table.reclaimable);
  }

  /** Less than half full, and not a machine with GPUs that this does not need. */
  #preferHere(shape: Shape): boolean {
    const { placement } = shape;
    const { nodeId, pool } = this.#parts;
    if (placement.kind === "node" || placement.node === nodeId) return placement.node === nodeId;
    const { node } = placement;
    if (prefersNode(placement) && !shape.shunned.has(node) && this.#parts.view.get(node) !== undefined) return false;
    if (placement.kind === "spread" || utilisation(pool) >= UTILISATION_THRESHOLD) return false;
    return amountOf(pool.total, "GPU") === 0 || amountOf(placement.resources, "GPU") > 0;
  }

  /** Its work goes where its bundles lie, and waits while they lie nowhere. A node that was not heard of is taken as empty. */
  #placeInGroup(shape: Shape): Place {
    const { groups, nodeId, nextRandom, view } = this.#parts;
    const { placement } = shape;
    const could = this.couldServe(placement);
    if (could && this.mayTake(shape)) return HERE;
    if (shape.hops > 0) {
      if (groups.isHere(placement)) return FULL;
      return { kind: "infeasible", text: `node ${nodeId} has no bundle of placement group ${placement.group} for it` };
    }
    const others = groups.nodesOf(placement).filter((node) => node !== nodeId && !shape.shunned.has(node));
    this.examined += others.length;
    const hasRoom = (id: string): boolean => {
      const node = view.get(id);
      return node === undefined || !resourcesFit(placement.resources, node.total)
        || resourcesFit(placement.resources, node.available);
    };
    const free = others.filter(hasRoom);
    const [chosen] = [free, could ? [] : others].filter(({ length }) => length > 0);
    return chosen === undefined ? FULL : { kind: "there", node: chosen[Math.floor(nextRandom() * chosen.length)] };
  }

  #choose(shape: Shape, could: boolean, fits: boolean): Place {
    const { nodeId, pool, view, nextRandom } = this.#parts;
    const { placement } = shape;
    const room = fits || !pool.fits(placement.resources) ? pool.available : NO_RESOURCES;
    const nodes = [this.#localView(room), ...view.others(shape.shunned)];
    this.examined += nodes.length;
    const choice = selectNode({ placement, nodes, local: nodeId, random: nextRandom(), cursor: this.#spreadCursor });
    if (choice.kind === "infeasible") {
      shape.nowhereElse = view.version;
      return choice;
    }
    if (choice.kind === "wait" && could && choice.node !== placement.node) {
      shape.nowhereElse = view.version;
      return FULL;
    }
    if (placement.kind === "spread") this.#spreadCursor = choice.node;
    if (choice.node !== nodeId) return { kind: "there", node: choice.node };
    return choice.kind === "node" ? HERE : FULL;
  }

  #localView(available: Resources): NodeView {
    const { nodeId, labels, pool } = this.#parts;
    return { id: nodeId, state: this.draining ? "DRAINING" : "ALIVE", total: pool.total, available, labels };
  }
}
