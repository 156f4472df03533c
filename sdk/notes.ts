// What a task tells, while it runs, the process that submitted it.

import { currentSession, findSession, listenTo, type ObjectRef, sendNote } from "../runtime/owner/index.ts";

/** Hears the notes of the task of this process that makes the object. */
export function hearNotes(ref: ObjectRef, listener: (bytes: Uint8Array) => void): void {
  listenTo(currentSession(), ref.entry, listener);
}

/** For the code that runs: gives what sends its notes. They may be lost; at most a few a second, of at most 256 KiB each. */
export function noteSender(): (bytes: Uint8Array) => void {
  const session = findSession();
  const running = session?.attempts.current();
  return (bytes) => {
    if (session !== undefined && running !== undefined) sendNote(session, running, bytes);
  };
}
