// The actors that live on this node: the shell of core/actor-life.ts.
//
// An ordinary actor is created by the agent of its creator's node on a lease, like a task; when the scheduler sends the
// request to another node, that node's agent takes the actor over. The hosting agent restarts it in place after a crash and
// reports every change to the head; the head starts it elsewhere when the node dies.

import { actorTag, newActorLife, stepActor, type ActorEffect, type ActorEvent, type ActorLife } from "../../core/index.ts";
import { ActorDiedError, errorOf, failureOf, GROUP_REMOVED, NotFoundError, PlacementGroupRemovedError } from "../../errors.ts";
import type { Clock, Timer } from "../../seams.ts";
import type {
  ActorConstructed, ActorEnded, ActorExiting, ActorInfo, ActorSpec, AnswerBody, DeathCause, Draft, Failure, KillActor,
  ResolveActor,
} from "../../transport/index.ts";
import { HOST_DIED } from "./actor-threads.ts";
import type { PooledWorker } from "../workers/worker-pool.ts";

/** Of a graceful end: running calls and the clean-up get 30 s each in the worker, which may be stuck itself. */
export const GRACEFUL_END_MS = 65_000;

export interface AgentActorsParts {
  readonly clock: Clock;
  readonly nodeId: string;
  /** Asks the scheduler for a worker; `granted` or `refused` follows. Idempotent. */
  readonly place: (spec: ActorSpec) => void;
  /** There is room for an actor that shares a process: `granted` or `refused` follows. */
  readonly seat: (spec: ActorSpec) => void;
  /** Stops asking, or gives back what it got. */
  readonly unplace: (actor: string) => void;
  readonly workerOf: (process: string) => PooledWorker | undefined;
  readonly killWorker: (process: string, reason: string) => void;
  readonly report: (info: Draft<ActorInfo>, spec: ActorSpec | undefined) => void;
  readonly placed: (actor: string, worker: string, spec: ActorSpec) => void;
  /** It is dead: nothing of it is kept. */
  readonly forget: (actor: string) => void;
}

/** An actor, and how often it has started before. */
export interface ActorPlacement {
  readonly spec: ActorSpec;
  readonly incarnation: number;
  readonly restarts: number;
}

interface Hosted {
  readonly spec: ActorSpec;
  readonly life: ActorLife;
  worker: string;
  failure: Failure | undefined;
  waiters: { readonly answer: () => void; readonly timer: Timer }[];
  ending: Timer | undefined;
}

const ENDED_KEPT = 1000;
/** The isolation of actors that are many to a process. */
export const SHARED = "shared";

export class AgentActors {
  readonly #parts: AgentActorsParts;
  readonly #hosted = new Map<string, Hosted>();
  /** Dead ones, for who asks late; the head keeps more. */
  readonly #ended = new Map<string, Draft<ActorInfo>>();

  constructor(parts: AgentActorsParts) {
    this.#parts = parts;
  }

  has(actor: string): boolean {
    return this.#hosted.has(actor) || this.#ended.has(actor);
  }

  /** Takes a new actor, or one whose earlier life was lost with its node. A repeat changes nothing. */
  create({ spec, incarnation, restarts }: ActorPlacement): AnswerBody {
    const known = this.#hosted.get(spec.actor);
    if (known !== undefined) return { actor: this.#info(known) };
    const ended = this.#ended.get(spec.actor);
    if (ended !== undefined && (ended.incarnation ?? 0) >= incarnation) return { actor: ended };
    const left = spec.maxRestarts < 0 ? -1 : Math.max(0, spec.maxRestarts - restarts);
    const life = newActorLife(left, incarnation, restarts, spec.maxRestarts !== 0);
    const hosted: Hosted = { spec, life, worker: "", failure: undefined, waiters: [], ending: undefined };
    this.#hosted.set(spec.actor, hosted);
    this.#parts.report(this.#info(hosted), kept(spec));
    this.#parts.place(spec);
    return { actor: this.#info(hosted) };
  }

  /** The scheduler sent the request to another node: that agent goes on with this life. */
  handedOver(actor: string): ActorPlacement | undefined {
    const hosted = this.#hosted.get(actor);
    if (hosted === undefined) return undefined;
    this.#hosted.delete(actor);
    this.#answerWaiters(hosted);
    const { spec, life: { incarnation, restarts } } = hosted;
    return { spec, incarnation, restarts };
  }

  seated(actor: string): void {
    const hosted = this.#hosted.get(actor);
    if (hosted === undefined) return this.#parts.unplace(actor);
    this.#parts.seat(hosted.spec);
  }

  /** Its placement group is gone, and the actor with it. */
  unseated(actor: string, text: string): void {
    const hosted = this.#hosted.get(actor);
    if (hosted === undefined) return;
    hosted.failure = this.#death(hosted, text, new PlacementGroupRemovedError(text));
    this.#step(hosted, { kind: "end" });
  }

  granted(actor: string, worker: string): void {
    const hosted = this.#hosted.get(actor);
    if (hosted === undefined) return this.#parts.unplace(actor);
    hosted.worker = worker;
    this.#step(hosted, { kind: "placed", incarnation: hosted.life.incarnation });
  }

  refused(actor: string, error: Error): void {
    const hosted = this.#hosted.get(actor);
    if (hosted === undefined) return;
    if (error instanceof PlacementGroupRemovedError) hosted.failure = this.#death(hosted, error.message, error);
    else {
      error.message = `actor ${hosted.spec.className}: ${error.message}`;
      hosted.failure = failureOf(Object.assign(error, { actorId: actor })) as Failure;
    }
    this.#step(hosted, { kind: "refused" });
  }

  constructed(message: ActorConstructed): void {
    const hosted = this.#hosted.get(message.actor);
    if (hosted === undefined || hosted.life.incarnation !== message.incarnation) return;
    if (message.failure === undefined) return this.#step(hosted, { kind: "constructed", incarnation: message.incarnation });
    const { className, actor } = hosted.spec;
    const text = `the constructor of actor ${className} (${actor}) threw: ${message.text}`;
    const error = new ActorDiedError(text, { actorId: actor }, errorOf(message.failure));
    hosted.failure = { ...(failureOf(error) as Failure), cause: message.failure };
    this.#step(hosted, { kind: "constructorThrew", incarnation: message.incarnation });
  }

  /** `lastRan`: tag of the actor whose code ran then; 0 when that is not known. */
  workerDied(process: string, cause: DeathCause, lastRan: number): void {
    const culprit = lastRan === 0 ? undefined : this.#culpritIn(process, lastRan);
    for (const hosted of this.#hosted.values()) {
      if (hosted.worker !== process) continue;
      hosted.worker = "";
      const { className, actor, isolation } = hosted.spec;
      const { incarnation } = hosted.life;
      if (cause.reason === GROUP_REMOVED) {
        this.unseated(actor, cause.text);
        continue;
      }
      if (hosted.ending !== undefined) {
        this.#step(hosted, { kind: "end" });
        continue;
      }
      const isShared = isolation === SHARED || cause.reason === HOST_DIED;
      const fields = {
        actorId: actor, exitCode: cause.signal === "" ? cause.exitCode : undefined, signal: cause.signal || undefined,
        stderrTail: cause.stderrTail, reason: isShared ? HOST_DIED : cause.reason, culprit: culprit?.spec.actor,
      };
      const who = culprit === undefined ? "" : `, in the code of actor ${culprit.spec.className} (${culprit.spec.actor})`;
      const what = isShared ? `the process that it shared with other actors ended${who}: ${cause.text}` : cause.text;
      hosted.failure = failureOf(new ActorDiedError(`actor ${className} (${actor}) died: ${what}`, fields)) as Failure;
      if (isShared) this.#step(hosted, { kind: "hostDied", incarnation, charged: hosted === culprit });
      else this.#step(hosted, { kind: "workerDied", incarnation });
    }
  }

  /** Alone, in a process that lives on: as it was told to, or it crashed. */
  ended({ actor, incarnation, failure }: ActorEnded): void {
    const hosted = this.#hosted.get(actor);
    if (hosted === undefined || hosted.life.incarnation !== incarnation) return;
    hosted.worker = "";
    if (failure === undefined || hosted.ending !== undefined) return this.#step(hosted, { kind: "end" });
    hosted.failure = failure;
    this.#step(hosted, { kind: "workerDied", incarnation });
  }

  /** It called exitActor(): its worker ends, and the actor with it. */
  exiting({ actor, incarnation }: ActorExiting): void {
    const hosted = this.#hosted.get(actor);
    if (hosted === undefined || hosted.life.incarnation !== incarnation || hosted.ending !== undefined) return;
    hosted.failure = this.#death(hosted, "it called exitActor()");
    this.#awaitEnd(hosted);
  }

  kill({ actor, noRestart, graceful, reason }: KillActor): AnswerBody {
    const hosted = this.#hosted.get(actor);
    if (hosted === undefined) {
      if (this.#ended.has(actor)) return { done: {} };
      // On its way to another node, which will tell the head of it.
      throw new NotFoundError(`actor ${actor} is not at node ${this.#parts.nodeId}`, { actorId: actor });
    }
    if (graceful) {
      this.#endGracefully(hosted, reason);
      return { done: {} };
    }
    const { worker, spec } = hosted;
    hosted.failure = this.#death(hosted, reason || "it was killed");
    this.#step(hosted, { kind: "kill", restart: !noRestart });
    return { done: { process: spec.isolation === SHARED ? "" : worker } };
  }

  /** Its creator or its job is gone. */
  endWhere(ends: (spec: ActorSpec) => boolean, reason: string): void {
    for (const hosted of [...this.#hosted.values()]) {
      if (hosted.spec.detached || !ends(hosted.spec)) continue;
      hosted.failure = this.#death(hosted, reason);
      this.#step(hosted, { kind: "end" });
    }
  }

  /** Only for actors this agent hosts or has seen end. */
  resolve({ actor, waitMs }: ResolveActor): AnswerBody | Promise<AnswerBody> {
    const hosted = this.#hosted.get(actor);
    if (hosted === undefined) return { actor: this.#ended.get(actor) as Draft<ActorInfo> };
    if (hosted.life.state === "alive" || waitMs === 0) return { actor: this.#info(hosted) };
    return new Promise((resolve) => {
      const answer = () => {
        waiter.timer.cancel();
        hosted.waiters = hosted.waiters.filter((one) => one !== waiter);
        resolve({ actor: this.#ended.get(actor) ?? this.#info(hosted) });
      };
      const waiter = { answer, timer: this.#parts.clock.after(waitMs, answer) };
      hosted.waiters.push(waiter);
    });
  }

  /** Everything the head should know of them: those that live, and those that have died lately. */
  *reports(): IterableIterator<{ info: Draft<ActorInfo>; spec: ActorSpec | undefined }> {
    for (const info of this.#ended.values()) yield { info, spec: undefined };
    for (const hosted of this.#hosted.values()) yield { info: this.#info(hosted), spec: kept(hosted.spec) };
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #step(hosted: Hosted, event: ActorEvent): void {
    for (const effect of stepActor(hosted.life, event)) this.#do(hosted, effect);
  }

  #do(hosted: Hosted, effect: ActorEffect): void {
    const { spec, life } = hosted;
    switch (effect) {
      case "construct": {
        this.#parts.placed(spec.actor, hosted.worker, spec);
        const worker = this.#parts.workerOf(hosted.worker);
        worker?.channel?.send("constructActor", { spec, incarnation: life.incarnation, gpus: [...worker.gpus] });
        return;
      }
      case "place":
        return this.#parts.place(spec);
      case "endWorker": {
        const { worker } = hosted;
        hosted.worker = "";
        if (spec.isolation === SHARED) return this.#tellEnd(worker, spec.actor, false, "it ended");
        return this.#parts.killWorker(worker, hosted.failure?.text ?? "its actor ended");
      }
      case "release":
        return this.#parts.unplace(spec.actor);
      case "announce":
        return this.#announce(hosted);
    }
  }

  #announce(hosted: Hosted): void {
    const info = this.#info(hosted);
    if (hosted.life.state === "dead") {
      hosted.ending?.cancel();
      this.#parts.unplace(hosted.spec.actor);
      this.#hosted.delete(hosted.spec.actor);
      this.#parts.forget(hosted.spec.actor);
      this.#ended.set(hosted.spec.actor, info);
      if (this.#ended.size > ENDED_KEPT) this.#ended.delete(this.#ended.keys().next().value as string);
    }
    this.#parts.report(info, undefined);
    if (hosted.life.state !== "restarting") this.#answerWaiters(hosted);
  }

  #culpritIn(process: string, tag: number): Hosted | undefined {
    return [...this.#hosted.values()].find(({ worker, spec }) => worker === process && actorTag(spec.actor) === tag);
  }

  #answerWaiters(hosted: Hosted): void {
    for (const waiter of [...hosted.waiters]) waiter.answer();
  }

  #endGracefully(hosted: Hosted, reason: string): void {
    hosted.failure = this.#death(hosted, reason);
    const worker = hosted.worker === "" ? undefined : this.#parts.workerOf(hosted.worker);
    if (worker?.channel === undefined || hosted.life.state !== "alive") return this.#step(hosted, { kind: "end" });
    if (hosted.ending !== undefined) return;
    if (hosted.spec.isolation === SHARED) this.#tellEnd(hosted.worker, hosted.spec.actor, true, reason);
    else worker.channel.send("exit", { reason });
    this.#awaitEnd(hosted);
  }

  #tellEnd(worker: string, actor: string, graceful: boolean, reason: string): void {
    this.#parts.workerOf(worker)?.channel?.send("endActor", { actor, graceful, reason });
  }

  #awaitEnd(hosted: Hosted): void {
    hosted.ending = this.#parts.clock.after(GRACEFUL_END_MS, () => this.#step(hosted, { kind: "end" }));
  }

  #death(hosted: Hosted, reason: string, why?: Error): Failure {
    const { className, actor } = hosted.spec;
    return failureOf(new ActorDiedError(`actor ${className} (${actor}) ended: ${reason}`, { actorId: actor }, why)) as Failure;
  }

  #info({ spec, life, worker, failure }: Hosted): Draft<ActorInfo> {
    return {
      actor: spec.actor, state: STATES[life.state], node: this.#parts.nodeId, worker, incarnation: life.incarnation,
      restarts: life.restarts, failure, name: spec.name, namespace: spec.namespace, className: spec.className,
      pid: this.#parts.workerOf(worker)?.child.pid ?? 0, jobId: spec.jobId, owner: spec.owner, options: spec.options,
      detached: spec.detached, maxRestarts: spec.maxRestarts,
    };
  }
}

/** The head keeps the specs of those that it may have to start again. */
function kept(spec: ActorSpec): ActorSpec | undefined {
  return spec.maxRestarts === 0 && !spec.detached ? undefined : spec;
}

const STATES = { pending: "PENDING", starting: "PENDING", alive: "ALIVE", restarting: "RESTARTING", dead: "DEAD" } as const;
