// What waits and why, in words: for reports and for `explain`.

import type { WaitingOrder } from "./lease-messages.ts";
import { nameOf, type OrderBook, type Shape } from "./order-book.ts";

const TEXTS = {
  infeasible: "no node can ever hold it",
  group: "its placement group is not placed yet",
  resources: "no node has room for it now",
  environment: "its runtimeEnv is being set up",
  worker: "waits for a worker process to start",
} as const;

type ReasonOf = (shape: Shape) => WaitingOrder["reason"];

export function waitingReport(book: OrderBook, limit: number, reasonOf: ReasonOf): WaitingOrder[] {
  const rows: WaitingOrder[] = [];
  for (const shape of book.waitingShapes()) {
    const reason = reasonOf(shape);
    for (const order of shape.waiting) {
      if (rows.length >= limit) return rows;
      const { name, jobId } = order.request;
      const text = shape.infeasible ?? TEXTS[reason];
      const { asked: resources } = shape.placement;
      rows.push({ ...nameOf(order), name, jobId, resources, unmet: book.unmet(order), reason, text });
    }
  }
  return rows;
}
