// What running code tells, while it runs, who listens to its task at its owner. A note may be lost with either of the two: what
// must arrive is a part of the result.

import type { Draft, Note } from "../../transport/index.ts";
import type { Attempt } from "../context.ts";
import type { ObjectEntry } from "../objects/object-ref.ts";
import type { Session } from "../session.ts";

/** To the task that makes the object, of any attempt of it. Nothing is heard of tasks of other processes, or that have ended. */
export function listenTo(session: Session, { owner, number }: ObjectEntry, listener: (bytes: Uint8Array) => void): void {
  const task = owner === session.parts.identity.processId ? session.submission.find(number) : undefined;
  if (task !== undefined) task.onNote = listener;
}

export function noteHeard({ submission }: Session, { task: number, attempt, bytes }: Note): void {
  const task = submission.find(number);
  if (task?.life.attempt === attempt) task.onNote?.(bytes);
}

/** From the code of an attempt. Over a socket it leaves at once, also when that code goes on without ever giving way. */
export function sendNote(session: Session, { submitter, attempt }: Attempt, bytes: Uint8Array): void {
  const { process, number } = submitter;
  const note = { task: number, attempt, bytes };
  if (process === session.parts.identity.processId) return noteHeard(session, note);
  // The owner sent the task over a channel of its own: without one it is gone, and wants nothing any more.
  const channel = session.links.find(process)?.channel;
  if (channel?.open !== true) return;
  channel.send("note", note satisfies Draft<Note>);
  channel.flush();
}
