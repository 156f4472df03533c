// The actors of this worker: what is said to one of them reaches its runner.

import { type Attempt, type Link, objectIdOf } from "../owner/index.ts";
import { errorOf, type TroupeError } from "../errors.ts";
import { Recent, WINDOW } from "../core/index.ts";
import type { ActorCall, ActorSpec, CancelTask, ConstructActor, Failure } from "../transport/index.ts";
import { ActorRunner, type ActorRunnerParts } from "./actor-runner.ts";

export type ActorHostParts = Omit<ActorRunnerParts, "cancelled">;

export class ActorHost {
  readonly #parts: ActorRunnerParts;
  readonly #runners = new Map<string, ActorRunner>();

  constructor(parts: ActorHostParts) {
    // Of calls that ended as their cancellation was on its way nobody asks for theirs.
    this.#parts = { ...parts, cancelled: new Recent<string, TroupeError>(WINDOW) };
    parts.session.stuckCalls.listener = {
      stuck: (attempt, call) => this.#runnerOf(attempt)?.stuck(attempt, objectIdOf(call.process, call.task)),
      over: (attempt) => this.#runnerOf(attempt)?.unstuck(attempt),
    };
  }

  get isEmpty(): boolean {
    return this.#runners.size === 0;
  }

  /** A repeat is answered again and constructs nothing. */
  construct({ spec, incarnation }: ConstructActor): void {
    const { actor } = spec as ActorSpec;
    let runner = this.#runners.get(actor);
    if (runner === undefined) {
      runner = new ActorRunner(this.#parts, spec as ActorSpec, incarnation);
      this.#runners.set(actor, runner);
    }
    runner.construct();
  }

  call(call: ActorCall, link: Link): void {
    const runner = this.#runners.get(call.actor);
    if (runner?.incarnation === call.incarnation) return runner.call(call, link);
    // It ended, or this is for an earlier life: its agent knows more.
    link.channel.send("taskDone", { task: call.task, attempt: call.attempt, skipped: true });
  }

  /** A call that has not started fails in its turn, so that the order of its caller's calls stands; one that runs is told. */
  cancel({ task, attempt, failure, recursive }: CancelTask, link: Link): void {
    const { session, cancelled } = this.#parts;
    const taskId = objectIdOf(link.process, task);
    const reason = errorOf(failure as Failure);
    if (session.endAttempt(taskId, attempt, reason, recursive) === undefined) cancelled.set(`${taskId}/${attempt}`, reason);
  }

  callerGone(process: string): void {
    for (const runner of this.#runners.values()) runner.callerGone(process);
  }

  /** Ends all of them: running calls may end, then instances clean up. */
  async exit(): Promise<void> {
    await Promise.all([...this.#runners.values()].map((runner) => runner.exit()));
  }

  #runnerOf({ actorId }: Attempt): ActorRunner | undefined {
    return actorId === undefined ? undefined : this.#runners.get(actorId);
  }
}
