// One call of an actor, or its constructor, as an attempt that runs. Made for each call, so what few of them need is made when it
// is asked for.

import { type Attempt, AttemptEnding, NO_CHAIN } from "../owner/index.ts";
import type { ActorSpec, Chain } from "../transport/index.ts";
import type { Invocation } from "./execution.ts";
import { newCaller } from "./task-runner.ts";

/** Actors that a call tells it was made within. */
const CHAIN_MAX = 32;

export interface AttemptOwner {
  readonly spec: ActorSpec;
  readonly incarnation: number;
  readonly now: () => number;
  readonly exit: (call: Invocation) => Error;
}

export class ActorAttempt implements Attempt {
  readonly caller = newCaller();
  readonly ending = new AttemptEnding();
  readonly taskId: string;
  readonly deadline: number | undefined;
  lastHeartbeat: Uint8Array | undefined;
  taken: ((count: number) => void) | undefined = undefined;
  readonly #owner: AttemptOwner;
  readonly #call: Invocation;
  readonly #within: Chain;
  #chain: Chain | undefined = undefined;

  /** `within`: the calls that this one was made within. */
  constructor(owner: AttemptOwner, call: Invocation, within: Chain | undefined) {
    this.#owner = owner;
    this.#call = call;
    this.#within = within ?? NO_CHAIN;
    this.taskId = call.taskId;
    this.deadline = this.#within.remainingMs === 0 ? undefined : owner.now() + this.#within.remainingMs;
    this.lastHeartbeat = call.lastHeartbeat;
  }

  get name(): string {
    return this.#call.name;
  }

  get attempt(): number {
    return this.#call.attempt;
  }

  get actorId(): string {
    return this.#owner.spec.actor;
  }

  get jobId(): string {
    return this.#owner.spec.jobId;
  }

  get resources(): Attempt["resources"] {
    return this.#call.resources;
  }

  get strategy(): Attempt["strategy"] {
    return this.#call.strategy;
  }

  get chain(): Chain {
    const { depth, actors, calls } = this.#within;
    this.#chain ??= {
      depth, remainingMs: 0,
      actors: actors.slice(1 - CHAIN_MAX).concat(this.actorId), calls: calls.slice(1 - CHAIN_MAX).concat(this.taskId),
    };
    return this.#chain;
  }

  get submitter(): Attempt["submitter"] {
    return { ...this.#call.caller, number: this.#call.task };
  }

  get restarted(): boolean {
    return this.#owner.incarnation > 0;
  }

  get fencingToken(): number {
    return this.#owner.incarnation + 1;
  }

  get exitActor(): () => Error {
    return () => this.#owner.exit(this.#call);
  }

  /** An actor keeps what it holds while it waits. */
  suspend(): void {}

  resume(): void {}
}
