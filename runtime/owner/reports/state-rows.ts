// What this process tells the state API of the tasks it submitted, the calls it made and the objects it owns.

import { isFree } from "../../core/index.ts";
import { InvalidArgumentError } from "../../errors.ts";
import type { ActorCallRecord } from "../actors/actor-call.ts";
import type { ActorClient } from "../actors/actor-client.ts";
import { type ObjectEntry, objectIdOf } from "../objects/object-ref.ts";
import type { Session } from "../session.ts";
import type { EndedTask } from "../tasks/task-history.ts";
import { tagOf, type TaskRecord } from "../tasks/task-record.ts";
import { waitRows } from "./wait-rows.ts";
import { isError } from "../values/wire-value.ts";

/** Names the process, and makes clock times wall times. */
interface StateView {
  readonly processId: string;
  readonly nodeId: string;
  readonly pid: number;
  readonly jobId: string;
  /** Milliseconds since 1970 of the clock's zero. */
  readonly epoch: number;
}

export interface RowsAsked {
  readonly kind: string;
  readonly filters: Readonly<Record<string, string>>;
}

export function* stateRows(
  session: Session, { kind, filters }: RowsAsked, live: () => ObjectEntry[] | undefined,
): Generator<object> {
  const { clock } = session.parts.seams;
  const { processId, nodeId } = session.parts.identity;
  const view: StateView = { processId, nodeId, pid: process.pid, jobId: session.jobId, epoch: clock.wallNow() - clock.now() };
  if (kind === "tasks") {
    for (const task of session.submission.pending()) yield pendingTaskRow(view, task);
    for (const { client, call } of session.actors.pending()) yield pendingCallRow(view, client, call);
    for (const task of session.history.all()) yield endedTaskRow(view, task);
  } else if (kind === "objects") {
    for (const entry of live() ?? session.borrowing.entries()) {
      const isOwn = entry.session === session && entry.owner === processId;
      // A handle that was released may itself live on.
      if (isOwn && !isFree(entry.count) && session.borrowing.isValue(entry) && !isKept(entry)) yield objectRow(view, entry);
    }
  } else if (kind === "waits") yield* waitRows(session, filters.id ?? "", live);
  else throw new InvalidArgumentError(`a process can't list ${kind}; it knows tasks and objects`);
}

/** Told of by the agents that keep it, or freed by them. */
function isKept({ state, value }: ObjectEntry): boolean {
  return Boolean(value?.lifetime) || state === "freed";
}

function pendingTaskRow(view: StateView, task: TaskRecord): object {
  const { processId, nodeId, pid, jobId, epoch } = view;
  const { lease, life } = task;
  // Pushed, and to nobody: this process runs it itself while the task that submitted it waits.
  const here = life.state === "pushed" && lease === undefined;
  return {
    id: objectIdOf(processId, task.number), name: task.template.name, state: taskState(task),
    attempt: life.attempt, nodeId: here ? nodeId : (lease?.node ?? ""), workerId: here ? processId : (lease?.worker ?? ""),
    workerPid: here ? pid : (lease?.link.channel.peer.pid ?? 0), actorId: "", errorCode: "", jobId, ownerId: processId,
    submittedAt: epoch + task.submittedAt, progress: task.heartbeat?.progress,
  };
}

/** How many that this process submitted are in which state, of those that have not ended. */
export function pendingStates(session: Session): Map<string, number> {
  const counts = new Map<string, number>();
  const count = (state: string) => counts.set(state, (counts.get(state) ?? 0) + 1);
  for (const task of session.submission.pending()) count(taskState(task));
  for (const { client, call } of session.actors.pending()) count(callState(client, call));
  return counts;
}

export function taskState(task: TaskRecord): string {
  const { life, lease, slot } = task;
  if (life.state === "waiting") return "WAITING_FOR_ARGUMENTS";
  if (life.state === "queued") return "QUEUED";
  if (life.state === "delayed") return "RETRYING";
  // This process runs it itself: see pendingTaskRow.
  if (lease === undefined) return "RUNNING";
  // Only the agent of another machine sees its claim pages; there what was pushed first runs first.
  const runs = lease.page?.isClaimed(slot, tagOf(task, lease)) ?? isFirst(lease.inFlight, task);
  return runs ? "RUNNING" : "SUBMITTED";
}

function isFirst<T>(set: ReadonlySet<T>, item: T): boolean {
  for (const first of set) return first === item;
  return false;
}

function pendingCallRow({ processId, jobId, epoch }: StateView, client: ActorClient, call: ActorCallRecord): object {
  const { link } = client;
  return {
    id: objectIdOf(processId, call.number), name: call.template.name,
    state: callState(client, call), attempt: call.attempt,
    nodeId: link?.node ?? "", workerId: link?.process ?? "", workerPid: link?.channel.peer.pid ?? 0, actorId: client.id,
    errorCode: "", jobId, ownerId: processId, submittedAt: epoch + call.submittedAt,
  };
}

function callState({ link }: ActorClient, { ready, order }: ActorCallRecord): string {
  if (!ready) return "WAITING_FOR_ARGUMENTS";
  return order > 0 && link !== undefined ? "SUBMITTED" : "QUEUED";
}

function endedTaskRow({ processId, jobId, epoch }: StateView, task: EndedTask): object {
  const { number, name, attempt, link, pid, actor, errorCode, micros, started } = task;
  return {
    id: objectIdOf(processId, number), name, state: errorCode === "" ? "FINISHED" : "FAILED", attempt, nodeId: link?.node ?? "",
    workerId: link?.process ?? "", workerPid: pid, actorId: actor, errorCode, jobId, ownerId: processId,
    submittedAt: epoch + task.submittedAt, endedAt: epoch + task.endedAt, runMs: micros / 1000,
    ...(started === 0 ? {} : { startedAt: started / 1000 }),
  };
}

function objectRow({ processId, epoch }: StateView, entry: ObjectEntry): object {
  const { value } = entry;
  const state = value === undefined ? "PENDING" : isError(value) ? "FAILED" : "READY";
  const stored = value?.stored;
  const { local, borrowers } = entry.count;
  return {
    id: entry.id, size: stored?.size ?? value?.value?.length ?? 0, state, ownerId: processId,
    locations: stored === undefined || stored === null ? [] : [stored.node], createdAt: epoch + entry.madeAt,
    localHandles: local, borrowers: borrowers?.size ?? 0, site: entry.site,
    heldBy: [...(local > 0 ? [processId] : []), ...borrowers?.keys() ?? []],
  };
}
