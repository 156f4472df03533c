// The shell of the head's book of placement groups (scheduler/group-book.ts): takes the calls of agents, asks agents to hold
// bundles, and tells everybody who has to do with a group when it has changed.

import {
  ATTEMPT_MS, GROUP_STRATEGIES, GroupBook, type GroupEffect, type GroupEvent, type GroupNode, type GroupSpec as Spec,
  type GroupStrategy, type GroupView, INSIST_MS,
} from "../../scheduler/index.ts";
import {
  ConnectionError, failureOf, InvalidArgumentError, NameTakenError, NotFoundError, PlacementGroupRemovedError,
} from "../errors.ts";
import type { EventKind } from "./head-events.ts";
import type { Clock, Timer } from "../seams.ts";
import {
  type AnswerBody, type Caller, type Channel, type CreateGroup, type Draft, type FindGroup, fromBytes, GroupInfo,
  type RemoveGroup, type Strategy, toBytes,
} from "../transport/index.ts";
import { afterKept, type HeadRecords, type Kept, onceKept } from "./head-records.ts";

/** More than an agent may wait for room. */
const RESERVE_TIMEOUT_MS = INSIST_MS + 10 * ATTEMPT_MS;
/** Of a group that a head does not change so often. */
const EPOCHS_A_HEAD = 2 ** 32;

export interface HeadGroupsParts {
  readonly clock: Clock;
  readonly records: HeadRecords;
  readonly headEpoch: number;
  readonly caller: Caller;
  readonly channelOf: (node: string) => Channel | undefined;
  /** Those that live. */
  readonly nodes: () => GroupNode[];
  /** Whether that job runs, or that detached actor lives. */
  readonly isAlive: (holder: string) => boolean;
  /** It is whole, lost a bundle, or is gone. */
  readonly changed: (kind: EventKind, group: string, text: string) => void;
}

const EVENTS: Readonly<Record<string, EventKind | undefined>> = {
  CREATED: "group-created", RESCHEDULING: "group-rescheduling", REMOVED: "group-removed",
};

interface Waiter {
  readonly answer: () => void;
  readonly timer: Timer;
}

export class HeadGroups {
  readonly #parts: HeadGroupsParts;
  readonly #book = new GroupBook();
  /** Nodes that hold bundles of a group, or have asked for it. */
  readonly #concerned = new Map<string, Set<string>>();
  readonly #waiters = new Map<string, Set<Waiter>>();
  /** Of the last change. */
  #kept: Kept;

  constructor(parts: HeadGroupsParts) {
    this.#parts = parts;
    for (const [, bytes] of parts.records.all("group")) this.#restore(fromBytes(GroupInfo, bytes));
  }

  /** A repeat changes nothing. `asker`: the node whose process wants it. */
  create({ spec }: CreateGroup, asker: string): AnswerBody | Promise<AnswerBody> {
    const { group: id = "", name = "", namespace = "", strategy = "", jobId = "", holder = "", bundles = [] } = spec ?? {};
    if (this.#book.spec(id) === undefined) {
      const isKnown = GROUP_STRATEGIES.some((one) => one === strategy);
      if (id === "" || bundles.length === 0 || !isKnown) {
        throw new InvalidArgumentError("a placement group needs bundles and a strategy");
      }
      if (holder !== "" && !this.#parts.isAlive(holder)) {
        throw new NotFoundError(`placement group ${id} is for ${holder}, which has ended`);
      }
      this.#refuseTaken(namespace, name);
      const resources = bundles.map((bundle) => bundle.resources);
      this.#step({
        kind: "created",
        spec: { id, name, namespace, strategy: strategy as GroupStrategy, bundles: resources, jobId, holder },
      });
    }
    return afterKept(this.#kept, () => this.#answer(id, asker));
  }

  /** Waits up to waitMs until its bundles are placed, or it is removed. */
  find({ group, name, namespace, waitMs }: FindGroup, asker: string): AnswerBody | Promise<AnswerBody> {
    const id = group === "" ? this.#book.named(namespace, name)?.id : group;
    if (id === undefined) {
      throw new NotFoundError(`no placement group named "${name}" exists in namespace "${namespace}"`, { name, namespace });
    }
    if (this.#book.spec(id) === undefined) {
      throw new NotFoundError(`placement group ${id} is not known to this cluster`, { groupId: id });
    }
    if (waitMs === 0 || this.#isSettled(id)) return afterKept(this.#kept, () => this.#answer(id, asker));
    return new Promise((resolve, reject) => {
      const answer = () => {
        waiter.timer.cancel();
        this.#waiters.get(id)?.delete(waiter);
        if (this.#waiters.get(id)?.size === 0) this.#waiters.delete(id);
        if (this.#book.spec(id) === undefined) reject(new NotFoundError(`placement group ${id} is forgotten`, { groupId: id }));
        else resolve(this.#answer(id, asker));
      };
      const waiter: Waiter = { answer, timer: this.#parts.clock.after(waitMs, answer) };
      this.#waiters.set(id, (this.#waiters.get(id) ?? new Set()).add(waiter));
    });
  }

  remove({ group, reason }: RemoveGroup): AnswerBody | Promise<AnswerBody> {
    this.#step({ kind: "removed", group, reason });
    return afterKept(this.#kept, () => ({ done: {} }));
  }

  /** A node that has joined knows of these, from an earlier head: it hears how they stand. */
  knownAt(node: string, groups: readonly string[]): void {
    const channel = this.#parts.channelOf(node);
    for (const group of new Set([...groups, ...this.#with(node)])) {
      if (this.#book.spec(group) !== undefined) this.#concern(group, node);
      channel?.send("groupChanged", { group: this.#book.spec(group) === undefined ? forgotten(group) : this.#info(group) });
    }
  }

  holderGone(holder: string, reason: string): void {
    this.#step({ kind: "holderGone", holder, reason });
  }

  nodeGone(node: string, reason: string): void {
    this.#step({ kind: "nodeGone", node, reason });
  }

  viewChanged(): void {
    if (this.#book.isWaiting) this.#step({ kind: "viewChanged" });
  }

  /** Jobs and actors that groups end with. */
  holders(): Set<string> {
    return new Set(this.#book.all().map((id) => this.#book.spec(id)?.holder ?? "").filter((holder) => holder !== ""));
  }

  /** Why nothing that is to run in that group ever will; undefined while it may. */
  endOf(strategy: Strategy | undefined): PlacementGroupRemovedError | undefined {
    const group = strategy?.kind === "group" ? strategy.group : "";
    const view = group === "" ? undefined : this.#book.view(group);
    if (group === "" || (view !== undefined && view.state !== "REMOVED")) return undefined;
    const text = `placement group ${group} was removed: ${view?.reason ?? "long ago"}`;
    return new PlacementGroupRemovedError(text, { groupId: group });
  }

  /** For the state API. */
  rows(): object[] {
    return this.#book.all().map((id) => {
      const { name, namespace, strategy, jobId, holder } = this.#book.spec(id) as Spec;
      const { state, reason, bundles } = this.#book.view(id) as GroupView;
      return { id, name, namespace, state, strategy, bundles, lifetime: holder === "" ? "detached" : "job", jobId, reason };
    });
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #refuseTaken(namespace: string, name: string): void {
    const taken = name === "" ? undefined : this.#book.named(namespace, name);
    if (taken === undefined) return;
    const text = `a placement group named "${name}" already exists in namespace "${namespace}" (${taken.id}); ` +
      "choose another name, or find it with getPlacementGroup";
    throw new NameTakenError(text, { name, namespace });
  }

  #step(event: GroupEvent): void {
    const effects = this.#book.step(event, this.#parts.nodes);
    if (event.kind === "created") this.#keep(event.spec.id);
    for (const effect of effects) this.#do(effect);
  }

  #do(effect: GroupEffect): void {
    const { clock } = this.#parts;
    switch (effect.kind) {
      case "reserve":
        return this.#reserve(effect);
      case "changed":
        return this.#changed(effect.group);
      case "forgotten":
        this.#kept = this.#parts.records.keep("group", effect.group, undefined) ?? this.#kept;
        return;
      case "armAttempt": {
        const { group, epoch } = effect;
        clock.after(effect.ms, () => this.#step({ kind: "attemptElapsed", group, epoch }));
        return;
      }
      case "armLook":
        clock.after(effect.ms, () => this.#step({ kind: "look" }));
    }
  }

  /** No node hears of a group that the next head might not know. */
  #reserve({ node, group, epoch, jobId, bundles }: GroupEffect & { kind: "reserve" }): void {
    this.#concern(group, node);
    const body = { group, epoch, jobId, indexes: bundles.map(({ index }) => index), bundles: [...bundles] };
    const ask = async () => {
      await this.#kept;
      const channel = this.#parts.channelOf(node);
      if (channel === undefined) throw new ConnectionError("it is gone");
      await this.#parts.caller.call(channel, "reserveBundles", body, "done", { timeoutMs: RESERVE_TIMEOUT_MS });
    };
    ask().then(
      () => this.#step({ kind: "held", group, epoch, node }),
      (error: unknown) => this.#step({ kind: "refused", group, epoch, node, text: failureOf(error).text }),
    );
  }

  /** Nobody hears of what might be forgotten. */
  #changed(id: string): void {
    const group = this.#info(id);
    this.#keep(id);
    onceKept(this.#kept, () => this.#tell(id, group));
  }

  #tell(id: string, group: Draft<GroupInfo>): void {
    for (const node of this.#concerned.get(id) ?? []) {
      const channel = this.#parts.channelOf(node);
      if (channel === undefined) this.#concerned.get(id)?.delete(node);
      else channel.send("groupChanged", { group });
    }
    const kind = EVENTS[String(group.state)];
    if (kind !== undefined) this.#parts.changed(kind, id, group.reason || group.spec?.strategy || "");
    if (group.state === "REMOVED") this.#concerned.delete(id);
    if (this.#isSettled(id)) for (const waiter of [...(this.#waiters.get(id) ?? [])]) waiter.answer();
  }

  #keep(id: string): void {
    if (this.#parts.records.lasting) this.#kept = this.#parts.records.keep("group", id, toBytes(GroupInfo, this.#info(id)));
  }

  #restore({ spec, epoch, state, reason }: GroupInfo): void {
    const { group: id = "", name = "", namespace = "", strategy = "", jobId = "", holder = "", bundles = [] } = spec ?? {};
    const above = Math.max(epoch + 1, this.#parts.headEpoch * EPOCHS_A_HEAD);
    this.#step({
      kind: "restored", epoch: above, view: { id, epoch, state, reason, bundles },
      spec: {
        id, name, namespace, strategy: strategy as GroupStrategy, jobId, holder,
        bundles: bundles.map((bundle) => bundle.resources),
      },
    });
  }

  /** Groups with a bundle there. */
  #with(node: string): string[] {
    return this.#book.all().filter((id) => this.#book.view(id)?.bundles.some((bundle) => bundle.node === node));
  }

  #isSettled(id: string): boolean {
    const state = this.#book.view(id)?.state;
    return state === "CREATED" || state === "REMOVED";
  }

  #answer(id: string, asker: string): AnswerBody {
    this.#concern(id, asker);
    return { group: this.#info(id) };
  }

  #concern(id: string, node: string): void {
    if (this.#book.view(id)?.state === "REMOVED") return;
    this.#concerned.set(id, (this.#concerned.get(id) ?? new Set()).add(node));
  }

  #info(id: string): Draft<GroupInfo> {
    const { name, namespace, strategy, jobId, holder } = this.#book.spec(id) as Spec;
    const { epoch, state, reason, bundles } = this.#book.view(id) as GroupView;
    const spec = { group: id, name, namespace, strategy, bundles: [...bundles], jobId, holder, detached: holder === "" };
    return { spec, epoch, state, reason };
  }
}

/** Of a group that no head remembers. */
function forgotten(group: string): Draft<GroupInfo> {
  return { spec: { group }, epoch: Number.MAX_SAFE_INTEGER, state: "REMOVED", reason: "long ago" };
}
