// The orders of a lease queue that have to do with placement groups: those of bundles, which want resources and no worker, and
// those of work that runs in a group.
//
// A bundle waits for its room like any other order, so it has its turn, may be kept room for, and brings idle leases back. It is
// never passed on, and ends when the head no longer wants it. Work in a removed group is refused, and what runs there is ended.

import type { BundleName, GroupTable, GroupView } from "./group-table.ts";
import type { LeaseEffect, RefusalCode } from "./lease-messages.ts";
import type { LeaseTable } from "./lease-table.ts";
import { nameOf, type Order, type OrderBook } from "./order-book.ts";
import type { Resources } from "./resources.ts";

/** A bundle that the head wants this node to hold. */
export interface WantedBundle extends BundleName {
  readonly resources: Resources;
  /** Whose turn it takes. */
  readonly jobId: string;
}

const BUNDLE_ORIGIN = "bundle:";

export interface GroupOrdersParts {
  readonly groups: GroupTable;
  readonly book: OrderBook;
  readonly table: LeaseTable;
  readonly refuse: (order: Order, code: RefusalCode, text: string) => void;
  readonly emit: (effect: LeaseEffect) => void;
}

export class GroupOrders {
  readonly #parts: GroupOrdersParts;

  constructor(parts: GroupOrdersParts) {
    this.#parts = parts;
  }

  wanted({ group, index, epoch, resources, jobId }: WantedBundle): void {
    const { book, groups, emit } = this.#parts;
    const bundle = { group, index, epoch };
    const origin = BUNDLE_ORIGIN + group;
    if (groups.isPast(bundle)) {
      const text = `bundle ${index} of placement group ${group} is no longer wanted`;
      return emit({ kind: "refuse", origin, schedulingClass: index, code: "PLACEMENT_GROUP_REMOVED", text });
    }
    const order = book.upsert({
      origin, schedulingClass: index, resources, wanted: 1, strategy: undefined, jobId, environment: "",
      name: `bundle ${index} of placement group ${group}`, hops: 1, graceMs: 0, bundle,
    });
    if (!("text" in order)) book.settle(order);
  }

  /** The order of a bundle has its turn. True when the bundle is held, now or before: the order is done. */
  hold(order: Order, bundle: BundleName): boolean {
    if (!this.#parts.groups.hold(bundle, order.shape.placement.resources, order.request.jobId)) return false;
    this.#withdraw(order);
    return true;
  }

  /** Groups that this node has to do with: it knows them, or is to hold a bundle. */
  known(): string[] {
    const { groups, book } = this.#parts;
    const wanted = [...book.orders.values()].flatMap(({ request: { bundle } }) => bundle?.group ?? []);
    return [...new Set([...groups.ids(), ...wanted])];
  }

  /** Of an order that has just come. */
  refuseRemoved(order: Order): void {
    const { group } = order.shape.placement;
    const view = group === "" ? undefined : this.#parts.groups.find(group);
    if (view !== undefined) this.#refuse(order, view);
  }

  changed(view: GroupView): void {
    if (!this.#parts.groups.changed(view)) return;
    for (const order of this.#parts.book.ofOrigin(BUNDLE_ORIGIN + view.id)) {
      const { bundle } = order.request;
      if (bundle !== undefined && (view.state === "REMOVED" || bundle.epoch < view.epoch)) this.#withdraw(order);
    }
    for (const order of [...this.#parts.book.orders.values()]) {
      if (order.shape.placement.group === view.id) this.#refuse(order, view);
    }
    if (view.state === "REMOVED") this.#endUsers(view);
  }

  #refuse(order: Order, view: GroupView): void {
    const { bundle } = order.shape.placement;
    if (view.state === "REMOVED") {
      const text = removedText(view.id, view.reason);
      this.#parts.refuse(order, "PLACEMENT_GROUP_REMOVED", `"${order.request.name}" was to run in a group that is gone: ${text}`);
    } else if (bundle >= view.bundles.length) {
      const text = `placement group ${view.id} has ${view.bundles.length} bundles and none of index ${bundle}`;
      this.#parts.refuse(order, "INVALID_ARGUMENT", text);
    }
  }

  #endUsers({ id, reason }: GroupView): void {
    const { table, emit } = this.#parts;
    const text = removedText(id, reason);
    for (const { id: user, placement, worker } of [...table.leases.values(), ...table.actors.values()]) {
      if (placement.group !== id) continue;
      emit(worker === undefined ? { kind: "unseat", actor: user, text } : { kind: "evict", worker: worker.id, text });
    }
  }

  #withdraw(order: Order): void {
    order.wanted = 0;
    this.#parts.book.settle(order);
  }
}

function removedText(group: string, reason: string): string {
  return `placement group ${group} was removed: ${reason}`;
}

/** What the order of a bundle is called. */
export function bundleOf({ origin, schedulingClass }: ReturnType<typeof nameOf>): { group: string; index: number } | undefined {
  if (!origin.startsWith(BUNDLE_ORIGIN)) return undefined;
  return { group: origin.slice(BUNDLE_ORIGIN.length), index: schedulingClass };
}
