// What waits and why, in words: for reports and for `explain`.

import type { EnvironmentGate } from "./environment-gate.ts";
import type { GroupTable } from "./group-table.ts";
import type { WaitingOrder } from "./lease-messages.ts";
import type { NodeChooser } from "./node-chooser.ts";
import { nameOf, type OrderBook, type Shape } from "./order-book.ts";
import type { QuotaGate } from "./quota-gate.ts";

const TEXTS = {
  infeasible: "no node can ever hold it",
  group: "its placement group is not placed yet",
  resources: "no node has room for it now",
  quota: "its job holds all of its quota",
  environment: "its runtimeEnv is being set up",
  worker: "waits for a worker process to start",
} as const;

export interface WaitingParts {
  readonly book: OrderBook;
  readonly groups: GroupTable;
  readonly chooser: NodeChooser;
  readonly quotas: QuotaGate;
  readonly environments: EnvironmentGate;
}

export function waitingReport(parts: WaitingParts, limit: number): WaitingOrder[] {
  const { book } = parts;
  const rows: WaitingOrder[] = [];
  for (const shape of book.waitingShapes()) {
    const reason = reasonOf(shape, parts);
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

function reasonOf(shape: Shape, { groups, chooser, quotas, environments }: WaitingParts): WaitingOrder["reason"] {
  if (shape.infeasible !== undefined) return "infeasible";
  if (shape.placement.kind === "group" && groups.nodesOf(shape.placement).length === 0) return "group";
  if (!chooser.mayTake(shape)) return "resources";
  if (quotas.blocks(shape)) return "quota";
  return environments.isReady(shape) ? "worker" : "environment";
}
