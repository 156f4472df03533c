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
  const failed = (error: unknown) => {
    if (error instanceof ActorFencedError) return;
    const attempt = current();
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stderr.write(`${text}\n`);
    if (attempt?.actorId === undefined) exit(1);
    else crashed(attempt, `nobody caught: ${error instanceof Error ? error.message : String(error)}`, undefined, error);
  };
  process.on("uncaughtException", failed);
  process.on("unhandledRejection", failed);
  process.exit = (code) => {
    const attempt = current();
    if (attempt?.actorId === undefined) return exit(code);
    const exitCode = Number(code ?? process.exitCode ?? 0);
    crashed(attempt, `it called process.exit(${exitCode})`, exitCode, undefined);
    throw new ActorFencedError(`actor ${attempt.actorId} called process.exit`, { actorId: attempt.actorId });
  };
}
