// What is cancelled when a result is: the task or call that makes it, and what that submitted in its turn.

import { InvalidArgumentError, TaskCancelledError } from "../../errors.ts";
import type { CancelOptions } from "./abandoned.ts";
import type { Attempt } from "../context.ts";
import { objectIdOf } from "../objects/object-ref.ts";
import type { Session } from "../session.ts";

/** A result of this process, by its number. */
export function cancelOwn(session: Session, number: number, options: CancelOptions): void {
  const { submission, actors, parts } = session;
  const { force, recursive } = options;
  const task = submission.find(number);
  if (task !== undefined) {
    const taskId = objectIdOf(parts.identity.processId, task.number);
    const text = `task "${task.template.name}" was cancelled${force ? " by force" : ""}`;
    submission.cancel(task, withoutStack(() => new TaskCancelledError(text, { taskId, forced: force })), options);
    return;
  }
  const call = actors.find(number)?.call;
  if (call === undefined) return;
  const { name } = call.template;
  if (force) {
    throw new InvalidArgumentError(
      `cancel: call "${name}" can't be ended by force, its actor would end with it; use kill(handle)`,
    );
  }
  const taskId = objectIdOf(parts.identity.processId, call.number);
  actors.cancel(call, new TaskCancelledError(`call "${name}" was cancelled`, { taskId, forced: false }), recursive);
}

/** Everything that this process submitted and that has not ended; gives how many there were of each name. */
export function cancelAll({ submission, actors, parts }: Session, why: string): Map<string, number> {
  const found = new Map<string, number>();
  const errorOf = (what: string, name: string, number: number): TaskCancelledError => {
    found.set(name, (found.get(name) ?? 0) + 1);
    const taskId = objectIdOf(parts.identity.processId, number);
    return withoutStack(() => new TaskCancelledError(`${what} "${name}" was cancelled: ${why}`, { taskId, forced: false }));
  };
  for (const task of [...submission.pending()]) {
    submission.cancel(task, errorOf("task", task.template.name, task.number), { force: false, recursive: true });
  }
  for (const { call } of [...actors.pending()]) actors.cancel(call, errorOf("call", call.template.name, call.number), true);
  return found;
}

/** Everything that the attempt submitted and that has not ended. */
export function cancelChildren({ submission, actors }: Session, parent: Attempt, reason: Error): void {
  for (const task of [...submission.pending()]) {
    if (task.parent === parent) submission.cancel(task, reason, { force: false, recursive: true });
  }
  for (const { call } of [...actors.pending()]) if (call.caller === parent.caller) actors.cancel(call, reason, true);
}

/** An error that is told, and not thrown here: the stack would cost more than all the rest, of a hundred thousand tasks. */
function withoutStack<E>(make: () => E): E {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return make();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}
