// The actors of this worker: one, or many that share it. What is said to one of them reaches its runner.

import { type Attempt, type Link, objectIdOf } from "../owner/index.ts";
import { ActorDiedError, ActorFencedError, errorOf, failureOf, type TroupeError } from "../errors.ts";
import { Recent, WINDOW } from "../core/index.ts";
import type { ActorCall, ActorSpec, CancelTask, ConstructActor, EndActor, Failure } from "../transport/index.ts";
import { ActorRunner, type ActorRunnerParts } from "./actor-runner.ts";
import type { SharedProcessParts } from "./shared-process.ts";

export interface ActorHostParts extends Omit<ActorRunnerParts, "cancelled" | "exiting"> {
  /** See Surroundings. */
  readonly share: (parts: SharedProcessParts) => void;
  /** The only actor of this process ends by itself. */
  readonly exiting: () => void;
}

export class ActorHost {
  readonly #parts: ActorHostParts;
  readonly #cancelled = new Recent<string, TroupeError>(WINDOW);
  readonly #runners = new Map<string, ActorRunner>();
  #isShared = false;

  constructor(parts: ActorHostParts) {
    this.#parts = parts;
    parts.session.stuckCalls.listener = {
      stuck: (attempt, call) => this.#runnerOf(attempt)?.stuck(attempt, objectIdOf(call.process, call.task)),
      over: (attempt) => this.#runnerOf(attempt)?.unstuck(attempt),
    };
    parts.session.received = (id) => {
      for (const runner of this.#runners.values()) {
        const place = runner.placeOf(id);
        if (place !== undefined) return place;
      }
      return undefined;
    };
  }

  get isEmpty(): boolean {
    return this.#runners.size === 0;
  }

  /** A repeat is answered again and constructs nothing. */
  construct({ spec, incarnation }: ConstructActor): void {
    const { actor, isolation } = spec as ActorSpec;
    if (isolation === "shared") this.#share();
    let runner = this.#runners.get(actor);
    if (runner === undefined || runner.incarnation < incarnation) {
      if (runner !== undefined) this.#close(runner, actor, "it lives again");
      const exiting = () => this.#exiting(actor, incarnation);
      // Of calls that ended as their cancellation was on its way nobody asks for theirs.
      runner = new ActorRunner({ ...this.#parts, exiting, cancelled: this.#cancelled }, spec as ActorSpec, incarnation);
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
    const taskId = objectIdOf(link.process, task);
    const reason = errorOf(failure as Failure);
    if (this.#parts.session.endAttempt(taskId, attempt, reason, recursive) !== undefined) return;
    this.#cancelled.set(`${taskId}/${attempt}`, reason);
  }

  callerGone(process: string): void {
    for (const runner of this.#runners.values()) runner.callerGone(process);
  }

  /** One of several is to end. */
  end({ actor, graceful, reason }: EndActor): void {
    const runner = this.#runners.get(actor);
    if (runner === undefined) return;
    if (graceful) return void this.#endGracefully(actor, runner);
    this.#runners.delete(actor);
    this.#close(runner, actor, reason);
  }

  /** Ends all of them: running calls may end, then instances clean up. */
  async exit(): Promise<void> {
    await Promise.all([...this.#runners.values()].map((runner) => runner.exit()));
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #runnerOf({ actorId }: Attempt): ActorRunner | undefined {
    return actorId === undefined ? undefined : this.#runners.get(actorId);
  }

  #share(): void {
    if (this.#isShared) return;
    this.#isShared = true;
    const { attempts } = this.#parts.session;
    attempts.attribute();
    this.#parts.share({
      current: () => attempts.current(),
      crashed: (attempt, ...how) => this.#crashed(attempt, ...how),
    });
  }

  /** What it has put ends with it. */
  #close(runner: ActorRunner, actor: string, why: string): void {
    runner.close(new ActorFencedError(`actor ${actor} ended in this process: ${why}`, { actorId: actor }));
    this.#parts.session.makers.ended(actor, why);
  }

  #exiting(actor: string, incarnation: number): void {
    this.#parts.agent.send("actorExiting", { actor, incarnation });
    if (!this.#isShared) return this.#parts.exiting();
    void this.#endGracefully(actor, this.#runners.get(actor) as ActorRunner);
  }

  async #endGracefully(actor: string, runner: ActorRunner): Promise<void> {
    await runner.exit();
    if (this.#runners.get(actor) !== runner) return;
    this.#runners.delete(actor);
    this.#close(runner, actor, "it ended");
    this.#parts.agent.send("actorEnded", { actor, incarnation: runner.incarnation });
  }

  #crashed(attempt: Attempt, text: string, exitCode: number | undefined, error: unknown): boolean {
    const actorId = attempt.actorId as string;
    const runner = this.#runners.get(actorId);
    if (runner === undefined || attempt.ending.fenced !== undefined) return false;
    this.#runners.delete(actorId);
    this.#close(runner, actorId, text);
    const cause = error instanceof Error ? error : undefined;
    const died = new ActorDiedError(`${runner.description} died: ${text}`, { actorId, exitCode, reason: "exited" }, cause);
    this.#parts.agent.send("actorEnded", {
      actor: actorId, incarnation: runner.incarnation, failure: failureOf(died) as Failure,
    });
    return true;
  }
}
