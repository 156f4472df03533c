// What this process can tell of one object's wait, for `explain`: as its owner, and as who runs the code that makes it.

import { type ObjectEntry, objectIdOf } from "../objects/object-ref.ts";
import type { ActorCallRecord } from "../actors/actor-call.ts";
import type { ActorClient } from "../actors/actor-client.ts";
import type { Session } from "../session.ts";
import { taskState } from "./state-rows.ts";
import type { TaskRecord } from "../tasks/task-record.ts";
import { codeOf, isError } from "../values/wire-value.ts";

export type WaitRow = Readonly<Record<string, unknown>> & { readonly id: string };

/** Gives objects that only handles reach. */
type Handled = () => readonly ObjectEntry[] | undefined;

/** All rows have that id: of the task, call or object, and of its running attempt or its place in an actor's queue. */
export function* waitRows(session: Session, id: string, handled: Handled): Generator<WaitRow> {
  const at = id.lastIndexOf(".");
  if (id.slice(0, at) === session.parts.identity.processId) {
    yield* ownRows(session, id, Number.parseInt(id.slice(at + 1), 36), handled);
  }
  const received = session.received?.(id);
  if (received !== undefined) yield { id, as: "received", ...received };
  for (const attempt of session.attempts.live()) {
    if (attempt.taskId !== id) continue;
    const waitsFor = session.reading.awaited(attempt).map((entry) => entry.id);
    yield { id, as: "attempt", name: attempt.name, attempt: attempt.attempt, waitsFor };
  }
}

function* ownRows(session: Session, id: string, number: number, handled: Handled): Generator<WaitRow> {
  for (const task of session.submission.pending()) {
    if (task.results.some((entry) => entry.number === number)) return yield { id, ...taskRow(session, task) };
  }
  for (const { client, call } of session.actors.pending()) {
    if (call.results.some((entry) => entry.number === number)) return yield { id, ...callRow(session, client, call) };
  }
  const entry = session.borrowing.find(number) ?? handled()?.find((one) => one.session === session && one.id === id);
  if (entry !== undefined) yield { id, ...objectRow(entry) };
}

function taskRow(session: Session, task: TaskRecord): object {
  const { life, lease, scheduling, template } = task;
  const { processId, nodeId } = session.parts.identity;
  const now = session.parts.seams.clock.now();
  const here = life.state === "pushed" && lease === undefined;
  return {
    as: "task", taskId: objectIdOf(processId, task.number), name: template.name, state: here ? "RUNNING" : taskState(task),
    attempt: life.attempt, ageMs: now - task.submittedAt, waitsFor: unresolved(task.bound), resources: scheduling.resources,
    orderId: `${processId}/${scheduling.id}`, queued: scheduling.pool.queued, leases: scheduling.pool.leases.size,
    joined: session.parts.home.ready, environmentReady: scheduling.environment.id !== undefined,
    retryInMs: life.state === "delayed" ? Math.max(0, task.retryAt - now) : undefined,
    nodeId: here ? nodeId : lease?.node, workerId: here ? processId : lease?.worker,
    workerPid: here ? process.pid : lease?.link.channel.peer.pid,
    // Of what is alone in its pipeline; else of the task before it that ended last.
    runningMs: lease === undefined ? undefined : now - lease.movedAt,
    progress: task.heartbeat?.progress,
    heartbeatMs: task.heartbeat && now - task.heartbeat.at, stream: streamOf(session, task.number, template.streamAhead),
  };
}

function callRow(session: Session, { id, className, calls, link }: ActorClient, call: ActorCallRecord): object {
  return {
    as: "call", taskId: objectIdOf(session.parts.identity.processId, call.number), name: call.template.name,
    actorId: id, className, actorState: calls.state, isSent: call.order > 0 && link !== undefined,
    waitsFor: unresolved(call.bound),
    nodeId: link?.node, workerId: link?.process, workerPid: link?.channel.peer.pid,
    ageMs: session.parts.seams.clock.now() - call.results[0].madeAt,
    stream: streamOf(session, call.number, call.template.streamAhead),
  };
}

/** A generator stands still while this many of its items are not taken. */
function streamOf(session: Session, number: number, ahead: number): object | undefined {
  const position = ahead === 0 ? undefined : session.streams.position(number);
  return position && { received: position.received, taken: position.taken, isFull: position.received - position.taken >= ahead };
}

function objectRow({ value }: ObjectEntry): object {
  if (value === undefined) return { as: "object", state: "PENDING" };
  if (isError(value)) return { as: "object", state: "FAILED", errorCode: codeOf(value), text: value.failure?.text };
  const { stored } = value;
  const place = stored ? `${stored.node}/${stored.slot ?? 0}/${stored.generation ?? 0}` : undefined;
  return { as: "object", state: "READY", size: stored?.size ?? value.value?.length ?? 0, place, nodeId: stored?.node };
}

function unresolved(bound: TaskRecord["bound"]): string[] {
  return bound.filter(({ value }) => value === undefined).map(({ owner, object }) => objectIdOf(owner, object));
}
