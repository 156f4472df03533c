// Orders that are told no: at once, or when a node that could serve them has not come in time. What they hold stays.

import type { LeaseEffect, OrderName, RefusalCode } from "./lease-messages.ts";
import { away, nameOf, type Order, type OrderBook, type Shape } from "./order-book.ts";

export interface RefusalsParts {
  readonly book: OrderBook;
  readonly emit: (effect: LeaseEffect) => void;
}

export class Refusals {
  readonly #parts: RefusalsParts;

  constructor(parts: RefusalsParts) {
    this.#parts = parts;
  }

  /** What is not served by now never will be. */
  refuse(order: Order, code: RefusalCode, text: string): void {
    order.wanted = Math.min(order.wanted, order.held + away(order));
    this.#parts.book.settle(order);
    this.#parts.emit({ kind: "refuse", ...nameOf(order), code, text });
  }

  /** All that wait for such. */
  where(waits: (shape: Shape) => boolean, code: RefusalCode, text: string): void {
    const orders = this.#parts.book.turns().flat().filter(waits).flatMap((shape) => [...shape.waiting]);
    for (const order of orders) this.refuse(order, code, text);
  }

  /** `text`: why no node there is can ever serve it. */
  setInfeasible(shape: Shape, text: string | undefined): void {
    const before = shape.infeasible;
    shape.infeasible = text;
    if (before === undefined && text !== undefined) for (const order of [...shape.waiting]) this.hopeOrRefuse(order);
  }

  hopeOrRefuse(order: Order): void {
    const { graceMs } = order.request;
    if (graceMs <= 0) return this.refuse(order, "INFEASIBLE", order.shape.infeasible as string);
    if (order.graceArmed || graceMs === Infinity) return;
    order.graceArmed = true;
    this.#parts.emit({ kind: "armGrace", ...nameOf(order), ms: graceMs });
  }

  graceElapsed(name: OrderName): void {
    const { book } = this.#parts;
    const order = book.find(name);
    if (order === undefined || !order.graceArmed) return;
    order.graceArmed = false;
    const { infeasible } = order.shape;
    if (infeasible !== undefined && book.unmet(order) > 0) this.refuse(order, "INFEASIBLE", infeasible);
  }
}
