// What an actor still does when it ends: each part within its bound, and nothing that goes wrong there keeps it from ending.

import type { Clock } from "../seams.ts";

/** Calls that run, and then the instance's own clean-up, get so long each. */
export const ENDING_MS = 30_000;

/** Resolves when `work` has ended, or its time is over; says on stderr what went wrong. `actor` and `what` name it. */
export function lastWork(clock: Clock, actor: string, what: string, work: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const over = (text: string | undefined) => {
      timer.cancel();
      if (text !== undefined) process.stderr.write(`${actor}: ${what} ${text}\n`);
      resolve();
    };
    const timer = clock.after(ENDING_MS, () => over(`did not end within ${ENDING_MS} ms`));
    work.then(
      () => over(undefined),
      (error: unknown) => over(`failed: ${(error as Error)?.stack ?? String(error)}`),
    );
  });
}
