// The shell of the actor directory: answers who asks for an actor, and places actors of a dead node anew.

import { ActorDirectory } from "../core/index.ts";
import { ActorDiedError, failureOf, NameTakenError, NodeDiedError, NotFoundError } from "../errors.ts";
import type { Clock, Random, Timer } from "../seams.ts";
import {
  type ActorInfo, ActorReport, type ActorSpec, type AnswerBody, type Caller, type Channel, type Failure, fromBytes,
  type KillActor, type NodeInfo, type ResolveActor, type Strategy, toBytes,
} from "../transport/index.ts";
import { afterKept, type HeadRecords, type Kept } from "./head-records.ts";
import { placementOf, selectNode, type NodeView } from "../../scheduler/index.ts";

const CALL_TIMEOUT_MS = 30_000;
/** An actor nobody reported may be on its way: this long it is waited for, then it is unknown. */
const UNKNOWN_WAIT_MS = 2000;
const PLACE_AGAIN_MS = 100;
/** An actor that left a node and came to no other is not waited for any longer. */
const FOLLOW_MS = 10_000;
/** An actor that an earlier head knew and that no node tells of may be on its way from one to another. */
const UNSEEN_MS = 30_000;
/** Lives that an actor may have begun on a node while no head heard of it. */
const UNHEARD_LIVES = 1000;
/** Dead detached actors whose end is remembered by later heads. */
const DEAD_RECORDS_KEPT = 1000;

export interface HeadActorsParts {
  readonly clock: Clock;
  readonly records: HeadRecords;
  /** At once, unless nodes that an earlier head knew are not back yet. */
  readonly whole: <T>(then: () => T | Promise<T>) => T | Promise<T>;
  readonly random: Random;
  readonly caller: Caller;
  readonly channelOf: (node: string) => Channel | undefined;
  readonly nodes: () => NodeInfo[];
  /** Why it can be placed nowhere ever again. */
  readonly endOf: (strategy: Strategy | undefined) => Error | undefined;
  /** News of an actor, with its spec when that came along. */
  readonly changed: (info: ActorInfo, spec: ActorSpec | undefined) => void;
}

interface Waiter {
  readonly answer: (info: ActorInfo | undefined) => void;
  readonly timer: Timer;
}

export class HeadActors {
  readonly #parts: HeadActorsParts;
  readonly #directory = new ActorDirectory<ActorInfo>();
  /** Specs of actors that may be started again elsewhere. */
  readonly #specs = new Map<string, ActorSpec>();
  readonly #waiters = new Map<string, Waiter[]>();
  readonly #recorded = new Set<string>();
  readonly #deadRecords: string[] = [];
  /** Known by records alone: no node has told of them since this head began. */
  readonly #unseen = new Set<string>();

  constructor(parts: HeadActorsParts) {
    this.#parts = parts;
    for (const [, bytes] of parts.records.all("actor")) this.#restore(fromBytes(ActorReport, bytes));
  }

  /**
   * Takes the name of a new actor, or answers with its living holder (getIfExists), or refuses. A detached one is on the disk
   * from then on.
   */
  claim(spec: ActorSpec, asker: string): AnswerBody | Promise<AnswerBody> {
    const isKnown = this.#directory.find(spec.actor) ?? this.#directory.named(spec.namespace, spec.name);
    return isKnown === undefined ? this.#parts.whole(() => this.#claim(spec, asker)) : this.#claim(spec, asker);
  }

  #claim(spec: ActorSpec, asker: string): AnswerBody | Promise<AnswerBody> {
    const { actor, name, namespace } = spec;
    const info = { ...infoOf(spec, "PENDING"), node: asker };
    const holder = this.#directory.claimName(info);
    if (holder === undefined) {
      this.#unseen.delete(actor);
      if (spec.detached) this.#specs.set(actor, spec);
      const now = this.#directory.find(actor) ?? info;
      return afterKept(spec.detached ? this.#record(now) : undefined, () => ({ actor: now }));
    }
    if (spec.getIfExists) return { actor: holder };
    throw new NameTakenError(
      `an actor named "${name}" already lives in namespace "${namespace}" (${holder.className}, ${holder.actor}); ` +
        "choose another name, or create it with getIfExists",
      { name, namespace, actorId: holder.actor },
    );
  }

  reported({ info, spec }: Pick<ActorReport, "info" | "spec">): void {
    if (info === undefined) return;
    this.#unseen.delete(info.actor);
    if (spec !== undefined) this.#specs.set(info.actor, spec);
    if (!this.#directory.reported(info)) return this.#endStray(info);
    if (info.state === "DEAD") this.#specs.delete(info.actor);
    void this.#record(info);
    this.#parts.changed(info, spec);
    this.#answerWaiters(info);
  }

  isAlive(actor: string): boolean {
    const state = this.#directory.find(actor)?.state;
    return state !== undefined && state !== "DEAD";
  }

  /** True while a detached actor of that job lives: it goes on with what the job made, also when the job has ended. */
  outlive(jobId: string): boolean {
    return [...this.#directory.all()].some((info) => info.detached && info.jobId === jobId && info.state !== "DEAD");
  }

  /** By id or by name; waits up to waitMs while the actor is neither alive nor dead. */
  resolve({ actor, name, namespace, waitMs }: ResolveActor): AnswerBody | Promise<AnswerBody> {
    const found = actor === "" ? this.#directory.named(namespace, name) : this.#directory.find(actor);
    const isHere = found?.state === "DEAD" || this.#parts.channelOf(found?.node ?? "") !== undefined;
    if (found !== undefined && isHere) return this.#answer(found, actor, waitMs);
    return this.#parts.whole(() => {
      const info = actor === "" ? this.#directory.named(namespace, name) : this.#directory.find(actor);
      if (info !== undefined || actor !== "") return this.#answer(info, actor, waitMs);
      throw new NotFoundError(`no actor named "${name}" lives in namespace "${namespace}"`, { name, namespace });
    });
  }

  #answer(info: ActorInfo | undefined, actor: string, waitMs: number): AnswerBody | Promise<AnswerBody> {
    if (info !== undefined && (isSettled(info) || waitMs === 0)) return { actor: info };
    const id = info?.actor ?? actor;
    return new Promise((resolve, reject) => {
      const answer = (found: ActorInfo | undefined) => {
        if (found !== undefined) resolve({ actor: found });
        else reject(new NotFoundError(`actor ${id} is not known to this cluster`, { actorId: id }));
      };
      const wait = info === undefined ? Math.max(UNKNOWN_WAIT_MS, Math.min(waitMs, UNKNOWN_WAIT_MS)) : waitMs;
      const timer = this.#parts.clock.after(wait, () => this.#giveUp(id, waiter));
      const waiter: Waiter = { answer, timer };
      this.#waiters.set(id, [...(this.#waiters.get(id) ?? []), waiter]);
    });
  }

  /** Wherever it is: one that goes from one node to another is waited for. */
  async kill(body: KillActor): Promise<AnswerBody> {
    const { clock, caller, channelOf, whole } = this.#parts;
    const { actor, noRestart, reason } = body;
    for (const until = clock.now() + FOLLOW_MS; ;) {
      if (channelOf(this.#directory.find(actor)?.node ?? "") === undefined) await whole(() => {});
      const info = this.#directory.find(actor);
      if (info === undefined) throw new NotFoundError(`actor ${actor} is not known to this cluster`, { actorId: actor });
      if (info.state === "DEAD") return { done: {} };
      const channel = channelOf(info.node);
      if (channel === undefined && info.node === "") {
        // Between two lives, and this head looks for a node for the next one.
        if (noRestart) this.#ended(info, failureOf(new ActorDiedError(endText(info, reason), { actorId: actor })) as Failure);
        return { done: {} };
      }
      if (channel === undefined) throw new NodeDiedError(`the node of actor ${actor} is gone`, { nodeId: info.node });
      try {
        return { done: await caller.call(channel, "killActor", body, "done", { timeoutMs: CALL_TIMEOUT_MS }) };
      } catch (error) {
        if (!(error instanceof NotFoundError) || clock.now() >= until) throw error;
      }
      await new Promise<void>((resolve) => void clock.after(PLACE_AGAIN_MS, resolve));
    }
  }

  nodeDied(node: string, reason: string): void {
    const failure = failureOf(new NodeDiedError(`node ${node} died: ${reason}`, { nodeId: node })) as Failure;
    for (const loss of this.#directory.nodeDied(node)) {
      const spec = this.#specs.get(loss.info.actor);
      const isUnseen = this.#unseen.has(loss.info.actor);
      if (loss.kind === "dead" || spec === undefined) {
        this.#declareDead(loss.info, failure);
        continue;
      }
      const info = {
        ...loss.info,
        state: "RESTARTING",
        node: "",
        worker: "",
        failure,
        incarnation: loss.incarnation + (isUnseen ? UNHEARD_LIVES : 0),
        restarts: loss.restarts,
      } as ActorInfo;
      this.reported({ info, spec: undefined });
      this.#place(spec, info);
    }
  }

  /** A node has told of all that lives there: what an earlier head knew to, and it did not tell of, does not. */
  synced(node: string): void {
    for (const actor of [...this.#unseen]) {
      const info = this.#directory.find(actor);
      if (info?.node !== node || info.state !== "ALIVE") continue;
      this.#declareDead(info, failureOf(new NotFoundError("it ended while the cluster had no head")) as Failure);
    }
  }

  /** Every node that an earlier head knew is back, or dead: what nobody tells of is placed anew, or was never begun. */
  allSynced(): void {
    for (const actor of [...this.#unseen]) {
      const info = this.#directory.find(actor);
      const spec = this.#specs.get(actor);
      if (info === undefined || info.state === "DEAD") continue;
      if (info.node === "" && spec !== undefined) {
        this.#place(spec, info);
        continue;
      }
      this.#parts.clock.after(UNSEEN_MS, () => {
        if (!this.#unseen.has(actor)) return;
        const error = new NotFoundError("its creation did not go on after the cluster had had no head");
        this.#declareDead(info, failureOf(error) as Failure);
      });
    }
  }

  /** For the state API. */
  rows(): object[] {
    return [...this.#directory.all()].map(({ actor, name, namespace, className, state, pid, node, worker, restarts, jobId }) => (
      { id: actor, name, namespace, className, state, pid, nodeId: node, workerId: worker, restarts, jobId }
    ));
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #restore({ info, spec }: ActorReport): void {
    if (info === undefined) return;
    this.#recorded.add(info.actor);
    if (info.state === "DEAD") this.#deadRecords.push(info.actor);
    else this.#unseen.add(info.actor);
    if (spec !== undefined) this.#specs.set(info.actor, spec);
    this.#directory.reported(info);
  }

  /** Those that may be started again, and detached ones also when they are dead. */
  #record(info: ActorInfo): Kept {
    const { records } = this.#parts;
    const { actor, state, detached } = info;
    const spec = this.#specs.get(actor);
    if (!records.lasting || (spec === undefined && !this.#recorded.has(actor))) return undefined;
    if (state === "DEAD" && !detached) {
      this.#recorded.delete(actor);
      return records.keep("actor", actor, undefined);
    }
    this.#recorded.add(actor);
    if (state === "DEAD") this.#deadRecords.push(actor);
    const oldest = this.#deadRecords.length > DEAD_RECORDS_KEPT ? this.#deadRecords.shift() : undefined;
    if (oldest !== undefined) {
      this.#recorded.delete(oldest);
      void records.keep("actor", oldest, undefined);
    }
    return records.keep("actor", actor, toBytes(ActorReport, { info, spec }));
  }

  #declareDead(info: ActorInfo, cause: Failure): void {
    const error = new ActorDiedError(`actor ${info.className} (${info.actor}) died: ${cause.text}`, { actorId: info.actor });
    this.#ended(info, { ...(failureOf(error) as Failure), cause });
  }

  #ended(info: ActorInfo, failure: Failure): void {
    this.reported({ info: { ...info, state: "DEAD", failure } as ActorInfo, spec: undefined });
  }

  /** A node took it when it had been ended already, and nobody knows of that life. */
  #endStray(info: ActorInfo): void {
    const { actor, node, state } = info;
    const { channelOf, caller, clock } = this.#parts;
    const channel = channelOf(node);
    if (state === "DEAD" || this.#directory.find(actor)?.state !== "DEAD" || channel === undefined) return;
    const body = { actor, noRestart: true, reason: "it had been ended before it was there" };
    caller.call(channel, "killActor", body, "done", { timeoutMs: CALL_TIMEOUT_MS }).catch((error: unknown) => {
      if (!(error instanceof NotFoundError)) clock.after(PLACE_AGAIN_MS, () => this.#endStray(info));
    });
  }

  /** Asks nodes that can hold it, one after the other, until one takes it. */
  #place(spec: ActorSpec, info: ActorInfo): void {
    const parsed = placementOf(spec.placement, spec.strategy);
    if ("text" in parsed) return this.#declareDead(info, failureOf(new NotFoundError(parsed.text)) as Failure);
    const end = this.#parts.endOf(spec.strategy);
    if (end !== undefined) return this.#declareDead(info, failureOf(end) as Failure);
    const nodes = this.#parts.nodes() as NodeView[];
    const choice = selectNode({
      placement: parsed.placement,
      nodes,
      local: undefined,
      random: this.#parts.random.next(),
      cursor: "",
    });
    const channel = choice.kind === "infeasible" ? undefined : this.#parts.channelOf(choice.node);
    const again = () => {
      const now = this.#directory.find(spec.actor);
      if (now?.state === "RESTARTING" && now.incarnation === info.incarnation) this.#place(spec, info);
    };
    if (channel === undefined) {
      this.#parts.clock.after(PLACE_AGAIN_MS, again);
      return;
    }
    const body = { spec, incarnation: info.incarnation, restarts: info.restarts };
    this.#parts.caller
      .call(channel, "placeActor", body, "done", { timeoutMs: CALL_TIMEOUT_MS })
      .catch(() => void this.#parts.clock.after(PLACE_AGAIN_MS, again));
  }

  #giveUp(actor: string, waiter: Waiter): void {
    const left = (this.#waiters.get(actor) ?? []).filter((one) => one !== waiter);
    if (left.length === 0) this.#waiters.delete(actor);
    else this.#waiters.set(actor, left);
    waiter.answer(this.#directory.find(actor));
  }

  #answerWaiters(info: ActorInfo): void {
    if (!isSettled(info)) return;
    const waiters = this.#waiters.get(info.actor) ?? [];
    this.#waiters.delete(info.actor);
    for (const waiter of waiters) {
      waiter.timer.cancel();
      waiter.answer(info);
    }
  }
}

function isSettled(info: ActorInfo): boolean {
  return info.state === "ALIVE" || info.state === "DEAD";
}

function endText({ className, actor }: ActorInfo, reason: string): string {
  return `actor ${className} (${actor}) ended: ${reason}`;
}

/** What is known of an actor from its spec alone. */
export function infoOf(spec: ActorSpec, state: string): ActorInfo {
  return {
    actor: spec.actor, state, node: "", worker: "", socket: "", incarnation: 0, restarts: 0, failure: undefined, name: spec.name,
    namespace: spec.namespace, className: spec.className, pid: 0, jobId: spec.jobId, owner: spec.owner, options: spec.options,
    detached: spec.detached, maxRestarts: spec.maxRestarts,
  };
}

