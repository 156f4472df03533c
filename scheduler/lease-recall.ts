// Leases that their owners are asked to give back: because others wait, because the node leaves.
//
//   demand   as soon as it is idle; asked of everybody while something waits that leases here could serve.
//   share    after each slice of waiting, of those who hold more than their share (fair-share.ts).
//   drain    the node leaves.
//
// What waits for the quota of its job gets nothing from leases of others: only those of the job are asked.
//
// An owner whose loop is blocked, or whose process is stopped, gives nothing back. So a lease that was asked for in vain for
// IDLE_SLICES is asked of its worker instead: one that has stood idle for long lets go of it by itself (`workerIdle`).

import type { EnvironmentGate } from "./environment-gate.ts";
import type { LeaseEffect } from "./lease-messages.ts";
import type { Lease, LeaseTable } from "./lease-table.ts";
import { leasesToMove } from "./fair-share.ts";
import type { NodeChooser } from "./node-chooser.ts";
import { nameOf, type Order, type OrderBook, type Shape } from "./order-book.ts";
import type { QuotaGate } from "./quota-gate.ts";
import type { ResourcePool } from "./resource-pool.ts";
import { addResources, NO_RESOURCES, type Resources, resourcesFit } from "./resources.ts";
import type { WorkerRoster } from "./worker-roster.ts";

/** How long others may hold more than their share while something waits. */
export const SLICE_MS = 20;
/** So many slices of waiting until workers are asked whether they are idle, and again until each answer. */
export const IDLE_SLICES = 25;

export interface LeaseRecallParts {
  readonly pool: ResourcePool;
  readonly table: LeaseTable;
  readonly book: OrderBook;
  readonly chooser: NodeChooser;
  readonly roster: WorkerRoster;
  readonly environments: EnvironmentGate;
  readonly quotas: QuotaGate;
  readonly emit: (effect: LeaseEffect) => void;
}

export class LeaseRecall {
  readonly #parts: LeaseRecallParts;
  #sliceArmed = false;
  /** Slices of waiting since anything waits. */
  #slices = 0;

  constructor(parts: LeaseRecallParts) {
    this.#parts = parts;
  }

  /** After every step: everything idle is wanted while anything waits. */
  demand(): void {
    const leases = [...this.#othersOf(this.#contended()), ...this.#ofQuotas()];
    for (const lease of leases) if (lease.asked === undefined && !lease.suspended) this.ask(lease, "demand");
    if (leases.length === 0 || this.#sliceArmed) return;
    this.#sliceArmed = true;
    this.#parts.emit({ kind: "armSlice", ms: SLICE_MS });
  }

  sliceElapsed(): void {
    this.#sliceArmed = false;
    const waiting = this.#contended();
    const ofQuotas = this.#ofQuotas();
    if (waiting.length === 0 && ofQuotas.length === 0) {
      this.#slices = 0;
      return;
    }
    this.#shareQuotas();
    const { roster, chooser, table, pool } = this.#parts;
    const workersShort = roster.booting === 0 && waiting.every((shape) => chooser.mayTake(shape));
    const { available } = pool;
    const { reserved } = chooser;
    const moved = leasesToMove({ leases: table.leases.values(), waiting, available, reserved, workersShort });
    for (const lease of moved) this.ask(lease, "share");
    this.#slices += 1;
    if (this.#slices % IDLE_SLICES === 0) this.#askWorkers([...this.#othersOf(waiting), ...ofQuotas]);
  }

  /** Among the shapes of a job, and to the nodes that have less of its quota. */
  #shareQuotas(): void {
    const { quotas, table, pool } = this.#parts;
    for (const { jobId, blocked, over } of quotas.claims()) {
      const leases = [...table.leases.values()].filter((lease) => lease.order.request.jobId === jobId);
      const available = quotas.roomOf(jobId, pool.available);
      const moved = leasesToMove({ leases, waiting: blocked, available, reserved: undefined, workersShort: false });
      for (const lease of [...moved, ...leasesOver(leases, over)]) this.ask(lease, "share");
    }
  }

  ask(lease: Lease, reason: "demand" | "share" | "drain"): void {
    if (lease.orphaned || lease.order.request.forActor === true || lease.asked === reason || lease.asked === "drain") return;
    lease.asked = reason;
    this.#parts.emit({ kind: "askBack", ...nameOf(lease.order), lease: lease.id, reason });
  }

  #askWorkers(leases: readonly Lease[]): void {
    for (const { id, asked, suspended, orphaned, worker } of leases) {
      if (asked === undefined || suspended || orphaned) continue;
      this.#parts.emit({ kind: "askIdle", lease: id, worker: worker.id });
    }
  }

  /** Shapes that wait for something that leases here could free. */
  #contended(): Shape[] {
    const { table, book, chooser, environments, quotas } = this.#parts;
    if (table.leases.size === 0) return [];
    const isServable = (shape: Shape) => (
      shape.infeasible === undefined && environments.isReady(shape) && !quotas.blocks(shape)
    );
    return [...book.waitingShapes()].filter((shape) => isServable(shape) && chooser.couldServe(shape.placement));
  }

  /** Leases whose end would help somebody else than their own order. */
  #othersOf(waiting: readonly Shape[]): Lease[] {
    if (waiting.length === 0) return [];
    let only: Order | undefined;
    if (waiting.length === 1 && waiting[0].waiting.size === 1) [only] = waiting[0].waiting;
    return [...this.#parts.table.leases.values()].filter((lease) => lease.order !== only);
  }

  /** Leases of jobs whose quota others of the job wait for. */
  #ofQuotas(): Lease[] {
    const { quotas, table } = this.#parts;
    const claims = quotas.claims();
    if (claims.length === 0) return [];
    const jobs = new Set(claims.map(({ jobId }) => jobId));
    return [...table.leases.values()].filter(({ order }) => jobs.has(order.request.jobId));
  }
}

/** So many of them that what is too much comes back. */
function leasesOver(leases: readonly Lease[], over: Resources): Lease[] {
  const found: Lease[] = [];
  let coming = NO_RESOURCES;
  for (const lease of leases) {
    if (resourcesFit(over, coming)) return found;
    if (lease.suspended || lease.orphaned) continue;
    found.push(lease);
    coming = addResources(coming, lease.resources);
  }
  return found;
}
