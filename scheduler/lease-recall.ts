// Leases that their owners are asked to give back: because others wait, because the node leaves.
//
//   demand   as soon as it is idle; asked of everybody while something waits that leases here could serve.
//   share    after each slice of waiting, of those who hold more than their share (fair-share.ts).
//   drain    the node leaves.
//
// An owner whose loop is blocked, or whose process is stopped, gives nothing back. So a lease that was asked for in vain for
// IDLE_SLICES is asked of its worker instead: one that has stood idle for long lets go of it by itself (`workerIdle`).

import type { EnvironmentGate } from "./environment-gate.ts";
import type { LeaseEffect } from "./lease-messages.ts";
import type { Lease, LeaseTable } from "./lease-table.ts";
import { leasesToMove } from "./fair-share.ts";
import type { NodeChooser } from "./node-chooser.ts";
import { nameOf, type Order, type OrderBook, type Shape } from "./order-book.ts";
import type { ResourcePool } from "./resource-pool.ts";
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
    const leases = this.#othersOf(this.#contended());
    for (const lease of leases) if (lease.asked === undefined && !lease.suspended) this.ask(lease, "demand");
    if (leases.length === 0 || this.#sliceArmed) return;
    this.#sliceArmed = true;
    this.#parts.emit({ kind: "armSlice", ms: SLICE_MS });
  }

  sliceElapsed(): void {
    this.#sliceArmed = false;
    const waiting = this.#contended();
    if (waiting.length === 0) {
      this.#slices = 0;
      return;
    }
    const { roster, chooser, table, pool } = this.#parts;
    const workersShort = roster.booting === 0 && waiting.every((shape) => chooser.mayTake(shape));
    const { available } = pool;
    const { reserved } = chooser;
    const moved = leasesToMove({ leases: table.leases.values(), waiting, available, reserved, workersShort });
    for (const lease of moved) this.ask(lease, "share");
    this.#slices += 1;
    if (this.#slices % IDLE_SLICES === 0) this.#askWorkers(this.#othersOf(waiting));
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
    const { table, book, chooser, environments } = this.#parts;
    if (table.leases.size === 0) return [];
    const isServable = (shape: Shape) => shape.infeasible === undefined && environments.isReady(shape);
    return [...book.waitingShapes()].filter((shape) => isServable(shape) && chooser.couldServe(shape.placement));
  }

  /** Leases whose end would help somebody else than their own order. */
  #othersOf(waiting: readonly Shape[]): Lease[] {
    if (waiting.length === 0) return [];
    let only: Order | undefined;
    if (waiting.length === 1 && waiting[0].waiting.size === 1) [only] = waiting[0].waiting;
    return [...this.#parts.table.leases.values()].filter((lease) => lease.order !== only);
  }
}
