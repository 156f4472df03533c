// A process with many actors: what goes wrong in the code of one of them ends that one.
//
// Errors that nobody caught, and process.exit, are the actor's whose code they come from, however late. Without such an actor
// they end the process, and all that live in it.

import type { Attempt } from "../owner/index.ts";
import { ActorFencedError } from "../errors.ts";

export interface SharedProcessParts {
  /** Whose code runs. */
  readonly current: () => Attempt | undefined;
  /** That actor's code went wrong; false when it is not one of this process any more. */
  readonly crashed: (attempt: Attempt, text: string, exitCode: number | undefined, error: unknown) => boolean;
}

export function shareProcess({ current, crashed }: SharedProcessParts): void {
  const exit = process.exit.bind(process);
  const failed = (error: unknown, attempt: Attempt | undefined) => {
    if (error instanceof ActorFencedError) return;
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stderr.write(`${text}\n`);
    if (attempt?.actorId === undefined) exit(1);
    else crashed(attempt, `nobody caught: ${error instanceof Error ? error.message : String(error)}`, undefined, error);
  };
  process.on("uncaughtException", (error) => failed(error, current()));
  process.on("unhandledRejection", (error) => failed(error, current()));
  attributeMicrotasks(current, failed);
  process.exit = (code) => {
    const attempt = current();
    if (attempt?.actorId === undefined) return exit(code);
    const exitCode = Number(code ?? process.exitCode ?? 0);
    crashed(attempt, `it called process.exit(${exitCode})`, exitCode, undefined);
    throw new ActorFencedError(`actor ${attempt.actorId} called process.exit`, { actorId: attempt.actorId });
  };
}

/** Before release 24 Node has forgotten whose microtask it was when it tells of the error. */
function attributeMicrotasks(
  current: SharedProcessParts["current"], failed: (error: unknown, attempt: Attempt | undefined) => void,
): void {
  const queue = globalThis.queueMicrotask;
  globalThis.queueMicrotask = (task) => {
    // What is no function is refused by Node itself.
    if (typeof task !== "function") return queue(task);
    const attempt = current();
    queue(() => {
      try {
        task();
      } catch (error) {
        failed(error, attempt);
      }
    });
  };
}
