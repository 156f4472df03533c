// The parts of this node's orders that other nodes were asked to serve.
//
// An order's home node tells each other node how many leases it wants there (an upsert, like the order itself) and hears of each
// grant and return. `asked` is what the other node was told last, `held` what it has granted; the difference is on its way, or
// stuck there. A lease that comes back lowers both, in the same turn as its return is passed on.

import { assert } from "./assert.ts";
import type { ClusterView } from "./cluster-view.ts";
import type { LeaseEffect } from "./lease-messages.ts";
import type { Order, OrderBook, Shape } from "./order-book.ts";
import type { NodeView } from "./placement.ts";

export class Spillback {
  readonly #book: OrderBook;
  /** Orders with a part elsewhere. */
  readonly #orders = new Set<Order>();
  /** Leases granted elsewhere and not yet returned. */
  readonly #remote = new Map<string, { readonly order: Order; readonly node: string }>();
  /** What to tell whom at the end of the step. */
  readonly #untold = new Map<Order, Set<string>>();

  constructor(book: OrderBook) {
    this.#book = book;
  }

  /** Asks a node for `units` more. */
  forward(order: Order, node: string, units: number): void {
    const forward = order.forwards.get(node);
    this.#setAsked(order, node, Math.max(forward?.asked ?? 0, forward?.held ?? 0) + units);
  }

  /** For an order that may have ended meanwhile. */
  granted(order: Order | undefined, node: string, lease: string): void {
    const forward = order?.forwards.get(node);
    if (order === undefined || forward === undefined || this.#remote.has(lease)) return;
    forward.held += 1;
    this.#remote.set(lease, { order, node });
    this.#book.settle(order);
  }

  /** A lease that is not one of this node comes back. */
  returned(lease: string): void {
    const remote = this.#remote.get(lease);
    if (remote === undefined) return;
    this.#remote.delete(lease);
    const { order, node } = remote;
    const forward = order.forwards.get(node);
    assert(forward !== undefined && forward.held > 0, `lease ${lease} is held by nobody`);
    forward.held -= 1;
    this.#setAsked(order, node, Math.max(forward.asked - 1, 0));
  }

  /** Wants no more there than is held already. */
  withdrawFrom(order: Order, node: string): void {
    const forward = order.forwards.get(node);
    if (forward !== undefined) this.#setAsked(order, node, Math.min(forward.asked, forward.held));
  }

  /** Takes back up to `excess` of what was asked for and not granted yet. */
  withdraw(order: Order, excess: number): void {
    for (const [node, { asked, held }] of [...order.forwards]) {
      const cut = Math.min(excess, asked - held);
      if (cut <= 0) continue;
      excess -= cut;
      this.#setAsked(order, node, asked - cut);
    }
  }

  /** What nodes were asked for that are gone, or is stuck there. */
  viewChanged(view: ClusterView, isStuck: (shape: Shape, node: NodeView) => boolean): void {
    for (const order of [...this.#orders]) {
      for (const [id, { asked, held }] of [...order.forwards]) {
        const node = view.get(id);
        if (node === undefined) this.nodeGone(order, id);
        else if (asked > held && isStuck(order.shape, node)) {
          order.shape.shunned.add(id);
          this.withdrawFrom(order, id);
        }
      }
    }
  }

  /** The node is gone, with the leases it granted. Nobody is left to be told. */
  nodeGone(order: Order, node: string): void {
    this.#forgetLeases(order, node);
    order.forwards.delete(node);
    this.#untold.get(order)?.delete(node);
    if (order.forwards.size === 0) this.#orders.delete(order);
    this.#book.settle(order);
  }

  /** The origin is gone: everything elsewhere is withdrawn, and its leases end there by themselves. */
  originGone(order: Order): void {
    for (const [node, forward] of [...order.forwards]) {
      this.#forgetLeases(order, node);
      forward.held = 0;
      this.#setAsked(order, node, 0);
    }
  }

  takeEffects(): LeaseEffect[] {
    const effects: LeaseEffect[] = [];
    for (const [order, nodes] of this.#untold) {
      for (const node of nodes) {
        const wanted = order.forwards.get(node)?.asked ?? 0;
        // The grace runs at home; elsewhere the order is served or refused at once.
        effects.push({ kind: "forward", node, request: { ...order.request, wanted, hops: order.request.hops + 1, graceMs: 0 } });
      }
    }
    this.#untold.clear();
    return effects;
  }

  validate(): void {
    for (const order of this.#orders) assert(order.forwards.size > 0, `order ${order.key} is nowhere else`);
    let held = 0;
    for (const order of this.#book.orders.values()) {
      assert(order.forwards.size === 0 || this.#orders.has(order), `order ${order.key} is elsewhere`);
      for (const forward of order.forwards.values()) held += forward.held;
    }
    assert(held === this.#remote.size, "leases elsewhere");
  }

  #forgetLeases(order: Order, node: string): void {
    for (const [lease, remote] of this.#remote) if (remote.order === order && remote.node === node) this.#remote.delete(lease);
  }

  #setAsked(order: Order, node: string, asked: number): void {
    const forward = order.forwards.get(node) ?? { asked: 0, held: 0 };
    forward.asked = asked;
    order.forwards.set(node, forward);
    this.#orders.add(order);
    const nodes = this.#untold.get(order);
    if (nodes === undefined) this.#untold.set(order, new Set([node]));
    else nodes.add(node);
    if (asked === 0 && forward.held === 0) order.forwards.delete(node);
    if (order.forwards.size === 0) this.#orders.delete(order);
    this.#book.settle(order);
  }
}
