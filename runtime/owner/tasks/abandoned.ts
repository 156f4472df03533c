// Attempts that still run and whose outcome no longer counts: cancelled, or out of time. They occupy their lease until their code
// ends, which is told to. By force, or when it stays on after its time was over, its process is killed.

import { failureOf, TaskTimeoutError } from "../../errors.ts";
import type { Clock } from "../../seams.ts";
import type { TaskDone } from "../../transport/index.ts";
import type { Home } from "../home.ts";
import type { Link } from "../links.ts";
import { tagOf, type TaskLease, type TaskRecord } from "./task-record.ts";

export interface CancelOptions {
  /** Kill the process that runs it. */
  readonly force: boolean;
  /** What it submitted, too. */
  readonly recursive: boolean;
}

interface Abandoned {
  readonly task: TaskRecord;
  readonly lease: TaskLease;
}

/** An attempt that is out of time has this long to end by itself. */
const OVERTIME_MS = 5000;

export class AbandonedAttempts {
  readonly #clock: Clock;
  readonly #home: Home;
  /** By task and attempt. */
  readonly #attempts = new Map<string, Abandoned>();

  constructor(clock: Clock, home: Home) {
    this.#clock = clock;
    this.#home = home;
  }

  add(task: TaskRecord, lease: TaskLease, reason: Error, { force, recursive }: CancelOptions): void {
    const { number, template } = task;
    const { attempt } = task.life;
    const key = `${number}/${attempt}`;
    this.#attempts.set(key, { task, lease });
    lease.link.channel.send("cancelTask", { task: number, attempt, failure: failureOf(reason), recursive });
    if (force) this.#kill(lease, `task "${template.name}", which ran there, was cancelled by force`);
    else if (reason instanceof TaskTimeoutError) this.#killLater(key, lease, reason);
  }

  /** Whoever sets a limit wants its CPU back, also from code that never looks at its signal. */
  #killLater(key: string, lease: TaskLease, reason: TaskTimeoutError): void {
    this.#clock.after(OVERTIME_MS, () => {
      if (this.#attempts.get(key)?.lease !== lease) return;
      this.#kill(lease, `${reason.message}, and had not ended ${OVERTIME_MS} ms after that`);
    });
  }

  #kill(lease: TaskLease, reason: string): void {
    this.#home.agent.send("endLease", { lease: lease.id, node: lease.node, reason });
  }

  /** The attempt that this reply is of, when it is one. */
  take(done: TaskDone, link: Link): Abandoned | undefined {
    const key = `${done.task}/${done.attempt}`;
    const found = this.#attempts.get(key);
    if (found === undefined || found.lease.link !== link) return undefined;
    this.#attempts.delete(key);
    return found;
  }

  /** Tasks of those that ran on a lease that is gone. */
  takeAll(lease: TaskLease): TaskRecord[] {
    const tasks: TaskRecord[] = [];
    for (const [key, one] of this.#attempts) {
      if (one.lease !== lease) continue;
      this.#attempts.delete(key);
      tasks.push(one.task);
    }
    return tasks;
  }
}

/** Whether an attempt has started is looked at no more often than this. */
const LOOK_MS = 5;

/**
 * Calls `over` when the attempt that was just pushed has run for so long; time in the queue does not count. `since` tells from
 * when it is counted, given when it started.
 */
export function watchAttempt(
  clock: Clock, task: TaskRecord, lease: TaskLease, limitMs: number, since: (startedAt: number) => number, over: () => void,
): void {
  const { attempt } = task.life;
  const look = Math.min(limitMs, Math.max(LOOK_MS, limitMs / 8));
  let startedAt: number | undefined;
  const lookAgain = (before: number): void => void clock.after(look, () => {
    if (task.lease !== lease || task.life.attempt !== attempt) return;
    const now = clock.now();
    // Only the agent of another machine sees its claim page: there the time begins when it is sent.
    const started = lease.page === undefined || lease.page.isClaimed(task.slot, tagOf(task, lease));
    if (started) startedAt ??= before;
    if (startedAt !== undefined && now - since(startedAt) >= limitMs) over();
    else lookAgain(now);
  }, true);
  lookAgain(clock.now());
}
