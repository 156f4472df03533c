// The rows of the state API: what is told of each kind of thing in a cluster.

import { resourceAmounts } from "../scheduler/index.ts";

export interface NodeRow {
  readonly id: string;
  readonly state: "ALIVE" | "DRAINING" | "DEAD";
  readonly labels: Readonly<Record<string, string>>;
  /** What it has in all. */
  readonly resources: Readonly<Record<string, number>>;
  readonly available: Readonly<Record<string, number>>;
  readonly address: string;
  readonly host: string;
  /** Of its agent. */
  readonly pid: number;
  /** Its metrics are at `http://127.0.0.1:PORT/metrics` on its machine. */
  readonly metricsPort: number;
  readonly isHead: boolean;
  /** Why it is dead; "" while it is not. */
  readonly reason: string;
}

export interface ActorRow {
  readonly id: string;
  readonly name: string;
  readonly namespace: string;
  readonly className: string;
  readonly state: "PENDING" | "ALIVE" | "RESTARTING" | "DEAD";
  readonly pid: number;
  readonly nodeId: string;
  /** Its worker; "" while it has none. */
  readonly workerId: string;
  readonly restarts: number;
  readonly jobId: string;
}

export interface TaskRow {
  readonly id: string;
  readonly name: string;
  readonly state: "WAITING_FOR_ARGUMENTS" | "QUEUED" | "SUBMITTED" | "RUNNING" | "RETRYING" | "FINISHED" | "FAILED";
  /** 0 for the first. */
  readonly attempt: number;
  readonly nodeId: string;
  readonly workerId: string;
  readonly workerPid: number;
  /** Of the actor whose method it is; "" for a task. */
  readonly actorId: string;
  readonly errorCode: string;
  readonly jobId: string;
  /** The process that submitted it. */
  readonly ownerId: string;
  /** Milliseconds since 1970. */
  readonly submittedAt: number;
  /** When its code was called last, by the clock of that machine; told once it has ended. */
  readonly startedAt?: number;
  readonly endedAt?: number;
  /** Time in user code. */
  readonly runMs?: number;
  /** From 0 to 1, as its code told while it runs. */
  readonly progress?: number;
}

export interface ObjectRow {
  readonly id: string;
  /** Bytes as encoded. */
  readonly size: number;
  readonly state: "PENDING" | "READY" | "FAILED";
  readonly ownerId: string;
  /** Nodes that have it in their store; none for a small value, which its owner keeps. */
  readonly locations: readonly string[];
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /** Handles of its owner's process, values there that hold it, and tasks that were given it. */
  readonly localHandles: number;
  readonly borrowers: number;
  /** The processes that hold it: its owner, where it has handles, and those that borrow it. */
  readonly heldBy: readonly string[];
  /** Of one that agents keep, whatever becomes of who made it: its owner is the agent of the node that has it. */
  readonly lifetime?: "detached" | "scope" | undefined;
  /** The scopes that it is in. */
  readonly scopes?: readonly string[] | undefined;
  /** Of a detached object; "" for one without. */
  readonly name?: string | undefined;
  /** The line of code that made it, when its process runs with TROUPE_CALL_SITES=1. */
  readonly site?: string | undefined;
}

export interface WorkerRow {
  readonly id: string;
  readonly pid: number;
  readonly nodeId: string;
  readonly state: "STARTING" | "IDLE" | "LEASED" | "ACTOR";
  readonly jobId: string;
  /** The hash of its runtimeEnv; "" for one without. */
  readonly environment: string;
  /** The worker whose process it is a thread of; "" for one with a process of its own. */
  readonly threadOf: string;
}

export interface JobRow {
  readonly id: string;
  readonly name: string;
  readonly namespace: string;
  readonly state: "RUNNING" | "ENDED";
  readonly nodeId: string;
  readonly entry: string;
  readonly reason: string;
}

/** A node's object store. */
export interface StoreRow {
  readonly nodeId: string;
  /** Bytes. */
  readonly capacity: number;
  readonly used: number;
  readonly objects: number;
  /** Since the node started: objects that were made, and their bytes. */
  readonly made: number;
  readonly madeBytes: number;
  /** Objects of other nodes whose copying began, bytes of them that came, and chunks that came damaged and were fetched again. */
  readonly transfers: number;
  readonly copiedBytes: number;
  readonly damagedChunks: number;
  /** Bytes that went to other nodes, of objects that were made here and of copies. */
  readonly servedBytes: number;
  /** Bytes asked of other nodes that are not here yet. */
  readonly inFlightBytes: number;
  /** Objects whose bytes are on disk only, and bytes of the spill file. */
  readonly evicted: number;
  readonly spillFileBytes?: number | undefined;
  /** Since the node started. */
  readonly spilledBytes?: number | undefined;
  readonly restoredBytes?: number | undefined;
  /** Requests for room that wait now. */
  readonly waiting: number;
  /** Who made what is in the memory, and who reads it; those with the most bytes first. `process` is "" for those that ended. */
  readonly holders: readonly {
    readonly process: string; readonly pid: number;
    readonly objects: number; readonly bytes: number; readonly pinnedObjects: number; readonly pinnedBytes: number;
  }[];
}

export interface GroupRow {
  readonly id: string;
  readonly name: string;
  readonly namespace: string;
  readonly state: "PENDING" | "CREATED" | "RESCHEDULING" | "REMOVED";
  readonly strategy: string;
  /** `nodeId` is "" while the bundle lies nowhere. */
  readonly bundles: readonly { readonly resources: Readonly<Record<string, number>>; readonly nodeId: string }[];
  readonly lifetime: "job" | "detached";
  readonly jobId: string;
  /** What it waits for, or why it was removed. */
  readonly reason: string;
}

/** What a worker printed, as its node keeps it. */
export interface LogRow {
  /** Of the worker. */
  readonly id: string;
  readonly nodeId: string;
  /** 0 for one that has ended. */
  readonly pid: number;
  /** Printed since it started; the first of them may no longer be kept. */
  readonly bytes: number;
  readonly state: "OPEN" | "ENDED";
}

/** What has happened in the cluster. */
export interface EventRow {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly kind:
    | "node-joined" | "node-draining" | "node-died" | "job-started" | "job-ended" | "actor-restarting" | "actor-died"
    | "group-created" | "group-rescheduling" | "group-removed";
  /** Of the node, job, actor or group. */
  readonly id: string;
  readonly text: string;
}

export interface StateRows {
  readonly events: EventRow;
  readonly groups: GroupRow;
  readonly nodes: NodeRow;
  readonly actors: ActorRow;
  readonly jobs: JobRow;
  readonly tasks: TaskRow;
  readonly objects: ObjectRow;
  readonly workers: WorkerRow;
  readonly stores: StoreRow;
  readonly logs: LogRow;
}
export type StateKind = keyof StateRows;
export type StateRowOf<K extends StateKind> = StateRows[K];

/** A row as users see it. Nodes have their amounts in fixed point on the way. */
export function shapeRow<K extends StateKind>(kind: K, row: object): StateRowOf<K> {
  if (kind === "groups") return groupRow(row as ToldGroup) as StateRowOf<K>;
  if (kind !== "nodes") return row as StateRowOf<K>;
  const { total, available, ...rest } = row as Omit<NodeRow, "resources"> & { total: Record<string, number> };
  return { ...rest, resources: resourceAmounts(total), available: resourceAmounts(available) } as StateRowOf<K>;
}

type ToldGroup = Omit<GroupRow, "bundles"> & { bundles: readonly { resources: Record<string, number>; node: string }[] };

function groupRow({ bundles, ...about }: ToldGroup): GroupRow {
  return { ...about, bundles: bundles.map(({ resources, node }) => ({ resources: resourceAmounts(resources), nodeId: node })) };
}
