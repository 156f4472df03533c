// Actors that share a process: an order for one wants room on the node, and no worker of its own.

import type { EnvironmentGate } from "./environment-gate.ts";
import type { LeaseEffect } from "./lease-messages.ts";
import type { LeaseTable } from "./lease-table.ts";
import { nameOf, type Order, type OrderBook } from "./order-book.ts";

export interface SeatsParts {
  readonly table: LeaseTable;
  readonly book: OrderBook;
  readonly environments: EnvironmentGate;
  readonly emit: (effect: LeaseEffect) => void;
}

export class Seats {
  readonly #parts: SeatsParts;

  constructor(parts: SeatsParts) {
    this.#parts = parts;
  }

  /** Its turn, and there is room. False while its environment is made. */
  take(order: Order, actor: string): boolean {
    const { table, book, environments, emit } = this.#parts;
    if (!environments.readyOrAsk(order.request)) return false;
    if (!table.actors.has(actor)) table.seat(actor, order.request.jobId, order.shape.placement);
    book.served(order);
    order.wanted = 0;
    book.settle(order);
    emit({ kind: "seat", ...nameOf(order) });
    return true;
  }
}
