// What the lease queue is told and what it answers: its whole interface with the agent that carries it out.

import type { WantedBundle } from "./group-orders.ts";
import type { BundleName, GroupView } from "./group-table.ts";
import type { NodeView, Strategy } from "./placement.ts";
import type { QuotaReport, QuotaShare } from "./quota-book.ts";
import type { Resources } from "./resources.ts";

/** Names one standing order: a scheduling class of one process. */
export interface OrderName {
  readonly origin: string;
  readonly schedulingClass: number;
}

/**
 * A standing order: "for this class I want `wanted` leases in all". Repeating it changes nothing, a new number replaces the
 * old one, 0 withdraws it. Leases that are held count, wherever they were granted.
 */
export interface LeaseOrder extends OrderName {
  readonly resources: Resources;
  readonly wanted: number;
  readonly strategy: Strategy | undefined;
  readonly jobId: string;
  readonly environment: string;
  /** Of the function, for messages to people. */
  readonly name: string;
  /** 0 from the origin itself, 1 when its home agent passed it on: then it is served here or refused, not passed on again. */
  readonly hops: number;
  /** How long to hope for a node when none can ever serve it; Infinity hopes for ever. */
  readonly graceMs: number;
  /** The lease is for an actor: it may have a worker beyond the cap, since a waiting caller may need it to go on. */
  readonly forActor?: boolean;
  /** It is for this bundle of a placement group, and wants no worker. */
  readonly bundle?: BundleName;
  /** The actor that it is a seat for, in a process that others share: it needs room, and no worker. It is served once. */
  readonly seatOf?: string;
  /** Its job has a quota, as the agent that passed it on knew. */
  readonly limited?: boolean;
}

export type LeaseEvent =
  | ({ readonly kind: "requested" } & LeaseOrder)
  /** A worker process was started: for the oldest unanswered `startWorker`, else a blank one in advance. */
  | { readonly kind: "workerStarting"; readonly worker: string }
  /** It can be leased. Without a job it is blank and may be given to anyone; without an environment it can adopt any. */
  | { readonly kind: "workerReady"; readonly worker: string; readonly jobId?: string; readonly environment?: string }
  | { readonly kind: "workerDied"; readonly worker: string }
  /** By its owner, for a lease granted here or on a node the order was passed on to. */
  | { readonly kind: "leaseReturned"; readonly lease: string }
  /** By its worker, which was asked (`askIdle`) and has stood idle: its owner did not give it back. */
  | { readonly kind: "workerIdle"; readonly lease: string }
  | { readonly kind: "suspended"; readonly lease: string }
  | { readonly kind: "resumed"; readonly lease: string }
  /** All nodes of the cluster as last heard; this one's own entry is ignored. */
  | { readonly kind: "viewChanged"; readonly nodes: readonly NodeView[] }
  | { readonly kind: "processGone"; readonly origin: string }
  /** The lease became an actor: it now holds `lifetime` instead, and its order wants one less. */
  | { readonly kind: "actorPlaced"; readonly lease: string; readonly actor: string; readonly lifetime: Resources }
  | { readonly kind: "actorGone"; readonly actor: string }
  | ({ readonly kind: "graceElapsed" } & OrderName)
  | { readonly kind: "sliceElapsed" }
  | { readonly kind: "draining" }
  /** The node an order was passed on to granted a lease (the origin gets that unchanged), or refused the order (it does not). */
  | ({ readonly kind: "forwardGranted"; readonly node: string; readonly lease: string } & OrderName)
  /** With `setupFailure` no other node is asked: what the work needs could not be set up there, and it is told so. */
  | ({ readonly kind: "forwardRefused"; readonly node: string; readonly setupFailure?: string } & OrderName)
  /** Answers to `prepareEnvironment`; the second one also when workers can't start in it, at any time. */
  | { readonly kind: "environmentReady"; readonly jobId: string; readonly environment: string }
  | { readonly kind: "environmentFailed"; readonly jobId: string; readonly environment: string; readonly text: string }
  /** The head wants this node to hold a bundle: answered by `bundleHeld` or `refuse`, or taken back by news of the group. */
  | ({ readonly kind: "bundleWanted" } & WantedBundle)
  /** What the head tells of a group: asked for by `askGroup`, and again whenever it changes. */
  | { readonly kind: "groupChanged"; readonly group: GroupView }
  | { readonly kind: "groupUnanswered"; readonly group: string }
  /** Its environments are no longer held for it. */
  | { readonly kind: "jobEnded"; readonly jobId: string }
  /** What the head tells of a job: with a quota nothing is granted to it but of this node's share. */
  | { readonly kind: "jobBegun"; readonly jobId: string; readonly quota: Resources | undefined }
  | ({ readonly kind: "quotaShared" } & QuotaShare)
  /** The worker was idle for longer than it is kept. */
  | { readonly kind: "idleElapsed"; readonly worker: string };

export type RefusalCode =
  | "INFEASIBLE" | "INVALID_ARGUMENT" | "WORKER_CRASHED" | "RUNTIME_ENV_SETUP" | "PLACEMENT_GROUP_REMOVED";

export type LeaseEffect =
  /** `adopt` is set when the worker is blank: it belongs to that job and environment from now on. */
  | ({
    readonly kind: "grant"; readonly lease: string; readonly worker: string;
    readonly adopt: { readonly jobId: string; readonly environment: string } | undefined;
    /** Numbers of the GPUs that it has. */
    readonly gpus: readonly number[];
  } & OrderName)
  /** An actor has its seat: it holds its resources until `actorGone`. */
  | ({ readonly kind: "seat" } & OrderName)
  /** Answered by `workerStarting` in the same turn, also when the start fails (then `workerDied` follows). */
  | { readonly kind: "startWorker"; readonly jobId: string; readonly environment: string }
  /** Workers for `origin` wait until this environment is made here. */
  | {
    readonly kind: "prepareEnvironment"; readonly jobId: string; readonly environment: string; readonly origin: string;
  }
  /** An idle worker makes room, or was idle for too long. It is given to nobody any more. */
  | { readonly kind: "stopWorker"; readonly worker: string }
  /** Upsert of an order at another node's agent. */
  | { readonly kind: "forward"; readonly node: string; readonly request: LeaseOrder }
  | ({ readonly kind: "refuse"; readonly code: RefusalCode; readonly text: string } & OrderName)
  /**
   * demand: back as soon as it is idle. share: finish what has started and send no more, others have waited too long.
   * drain: the same, the node leaves. idle: its worker has let go of it; what is wanted is to be asked for anew.
   */
  | ({ readonly kind: "askBack"; readonly lease: string; readonly reason: "demand" | "share" | "drain" | "idle" } & OrderName)
  /** Answered by `workerIdle` if the worker has had nothing to do for a while; else not at all. */
  | { readonly kind: "askIdle"; readonly lease: string; readonly worker: string }
  /** Its owner is gone: stop what runs there and report `leaseReturned` or `workerDied`. Resources stay taken until then. */
  | { readonly kind: "reclaim"; readonly lease: string; readonly worker: string }
  | ({ readonly kind: "bundleHeld" } & BundleName)
  /** Answered by `groupChanged` or `groupUnanswered`. */
  | { readonly kind: "askGroup"; readonly group: string }
  /** What runs there belongs to a group that is removed: it is ended, and its owner told why. */
  | { readonly kind: "evict"; readonly worker: string; readonly text: string }
  /** The same of an actor that has only a seat. */
  | { readonly kind: "unseat"; readonly actor: string; readonly text: string }
  /** What the head is to know of a job with a quota. */
  | ({ readonly kind: "tellQuota" } & QuotaReport)
  | ({ readonly kind: "armGrace"; readonly ms: number } & OrderName)
  /** Answered by one `sliceElapsed` after that time. */
  | { readonly kind: "armSlice"; readonly ms: number };

/** What waits, for reports and for `explain`. */
export interface WaitingOrder extends OrderName {
  readonly name: string;
  readonly jobId: string;
  readonly resources: Resources;
  readonly unmet: number;
  /**
   * infeasible: no node can ever; group: its placement group is not placed; resources: no node has room now;
   * quota: its job holds as much as it may; environment: it
   * is being set up; worker: a process is starting or the cap is reached.
   */
  readonly reason: "infeasible" | "group" | "resources" | "quota" | "environment" | "worker";
  readonly text: string;
}
