// explain(): what an unfinished object waits for.

import { InvalidArgumentError } from "../runtime/errors.ts";
import {
  coreOf, currentSession, entryOf, explainHere, type Explanation, isHandle, isRef, isStream, type ObjectRef,
  type ObjectRefStream, type TaskStart, taskStart,
} from "../runtime/owner/index.ts";

/**
 * Says in words and as data what an object, stream, or actor waits for: what runs it, since when and where, what it stands
 * behind, what it lacks. It may be slow where a process that would have to tell does not answer.
 *
 * @param what a ref, a stream, an actor's handle, or the id of one.
 */
export async function explain(what: ObjectRef | ObjectRefStream | object | string): Promise<Explanation> {
  const entries = isRef(what) ? [entryOf(what)] : [];
  for (const { session } of entries) session.checkAlive();
  return explainHere(currentSession(), idOf(what), entries);
}

/** Since when and where the task runs that makes it: what this process knows by itself. Undefined while it does not run. */
export function startOf(ref: ObjectRef): TaskStart | undefined {
  return taskStart(currentSession(), ref.entry);
}

/** @internal Of a ref, a task, a stream or an actor. */
export function isObjectId(text: string): boolean {
  return /^[^.]+\.[0-9a-z]+$/.test(text);
}

function idOf(what: unknown): string {
  if (typeof what === "string" && isObjectId(what)) return what;
  if (isRef(what)) return what.id;
  if (isStream(what)) return what.entry.id;
  if (isHandle(what)) return coreOf(what).client.id;
  const got = String(what).slice(0, 60);
  throw new InvalidArgumentError(`explain: expected a ref, a stream, an actor's handle or an id, not ${got}`);
}
