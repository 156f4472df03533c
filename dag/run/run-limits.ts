// The limits of a run in time: how long it may take, and when it has to be over.

import type { Callbacks } from "../graph/options.ts";
import { deadlineOf } from "../graph/run-limits.ts";
import type { RunOptions } from "../journal/programs.ts";
import type { Clock, Timer } from "./clock.ts";

interface Times {
  readonly clock: Clock;
  readonly startedAt: number;
  readonly logicalDate: Date;
}

interface Limited {
  keep(name: string, timer: Timer): void;
  /** It has taken too long. */
  late(reason: string): void;
  missed(text: string, onMiss: Callbacks | undefined): void;
}

export function watchLimits({ timeoutMs, deadline }: RunOptions, { clock, startedAt, logicalDate }: Times, run: Limited): void {
  if (deadline !== undefined) {
    const due = deadlineOf(deadline, startedAt, logicalDate);
    const text = `the run was not over at its deadline, ${new Date(due).toISOString()}`;
    run.keep("deadline", clock.at(due, () => run.missed(text, typeof deadline === "object" ? deadline.onMiss : undefined)));
  }
  if (timeoutMs !== undefined) {
    const reason = `the run took longer than ${timeoutMs} ms`;
    run.keep("run", clock.at(startedAt + timeoutMs, () => run.late(reason)));
  }
}
