// The shell of the actor directory: answers who asks for an actor, and places actors of a dead node anew.

import { ActorDirectory } from "../core/index.ts";
import { ActorDiedError, failureOf, NameTakenError, NodeDiedError, NotFoundError } from "../errors.ts";
import type { Clock, Random, Timer } from "../seams.ts";
import type {
  ActorInfo, ActorReport, ActorSpec, AnswerBody, Caller, Channel, Failure, KillActor, NodeInfo, ResolveActor, Strategy,
} from "../transport/index.ts";
import { placementOf, selectNode, type NodeView } from "../../scheduler/index.ts";

const CALL_TIMEOUT_MS = 30_000;
/** An actor nobody reported may be on its way: this long it is waited for, then it is unknown. */
const UNKNOWN_WAIT_MS = 2000;
const PLACE_AGAIN_MS = 100;

export interface HeadActorsParts {
  readonly clock: Clock;
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

  constructor(parts: HeadActorsParts) {
    this.#parts = parts;
  }

  /** Takes the name of a new actor, or answers with its living holder (getIfExists), or refuses. */
  claim(spec: ActorSpec): AnswerBody {
    const { actor, name, namespace } = spec;
    const info = infoOf(spec, "PENDING");
    const holder = this.#directory.claimName(info);
    if (holder === undefined) return { actor: this.#directory.find(actor) ?? info };
    if (spec.getIfExists) return { actor: holder };
    throw new NameTakenError(
      `an actor named "${name}" already lives in namespace "${namespace}" (${holder.className}, ${holder.actor}); ` +
        "choose another name, or create it with getIfExists",
      { name, namespace, actorId: holder.actor },
    );
  }

  reported({ info, spec }: Pick<ActorReport, "info" | "spec">): void {
    if (info === undefined) return;
    if (spec !== undefined) this.#specs.set(info.actor, spec);
    if (!this.#directory.reported(info)) return;
    if (info.state === "DEAD") this.#specs.delete(info.actor);
    this.#parts.changed(info, spec);
    this.#answerWaiters(info);
  }

  isAlive(actor: string): boolean {
    const state = this.#directory.find(actor)?.state;
    return state !== undefined && state !== "DEAD";
  }

  /** By id or by name; waits up to waitMs while the actor is neither alive nor dead. */
  resolve({ actor, name, namespace, waitMs }: ResolveActor): AnswerBody | Promise<AnswerBody> {
    const info = actor === "" ? this.#directory.named(namespace, name) : this.#directory.find(actor);
    if (info === undefined && actor === "") {
      throw new NotFoundError(`no actor named "${name}" lives in namespace "${namespace}"`, { name, namespace });
    }
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

  async kill(body: KillActor): Promise<AnswerBody> {
    const info = this.#directory.find(body.actor);
    if (info === undefined) throw new NotFoundError(`actor ${body.actor} is not known to this cluster`, { actorId: body.actor });
    if (info.state === "DEAD") return { done: {} };
    const channel = this.#parts.channelOf(info.node);
    if (channel === undefined) throw new NodeDiedError(`the node of actor ${body.actor} is gone`, { nodeId: info.node });
    await this.#parts.caller.call(channel, "killActor", body, "done", { timeoutMs: CALL_TIMEOUT_MS });
    return { done: {} };
  }

  nodeDied(node: string, reason: string): void {
    const failure = failureOf(new NodeDiedError(`node ${node} died: ${reason}`, { nodeId: node })) as Failure;
    for (const loss of this.#directory.nodeDied(node)) {
      const spec = this.#specs.get(loss.info.actor);
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
        incarnation: loss.incarnation,
        restarts: loss.restarts,
      } as ActorInfo;
      this.reported({ info, spec: undefined });
      this.#place(spec, info);
    }
  }

  /** For the state API. */
  rows(): object[] {
    return [...this.#directory.all()].map(({ actor, name, namespace, className, state, pid, node, worker, restarts, jobId }) => (
      { id: actor, name, namespace, className, state, pid, nodeId: node, workerId: worker, restarts, jobId }
    ));
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #declareDead(info: ActorInfo, cause: Failure): void {
    const error = new ActorDiedError(`actor ${info.className} (${info.actor}) died: ${cause.text}`, { actorId: info.actor });
    this.reported({
      info: { ...info, state: "DEAD", failure: { ...(failureOf(error) as Failure), cause } } as ActorInfo,
      spec: undefined,
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

/** What is known of an actor from its spec alone. */
export function infoOf(spec: ActorSpec, state: string): ActorInfo {
  return {
    actor: spec.actor, state, node: "", worker: "", socket: "", incarnation: 0, restarts: 0, failure: undefined, name: spec.name,
    namespace: spec.namespace, className: spec.className, pid: 0, jobId: spec.jobId, owner: spec.owner, options: spec.options,
    detached: spec.detached, maxRestarts: spec.maxRestarts,
  };
}

