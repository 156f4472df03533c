// Placement groups at one node: between the head, which says what bundles it shall hold and where groups lie, and the node's
// lease queue, which has the resources (scheduler/group-table.ts).

import { failureOf, NotFoundError, PlacementGroupRemovedError } from "../errors.ts";
import type { Clock } from "../seams.ts";
import type { AnswerBody, CallOf, Draft, GroupInfo, ReserveBundles } from "../transport/index.ts";
import type { BundleName, GroupView, LeaseEvent } from "../../scheduler/index.ts";
import type { HeadLink } from "./head/head-link.ts";

/** A head that did not answer is asked again for as long as somebody waits for the group. */
const ASK_AGAIN_MS = 1000;

export interface AgentGroupsParts {
  readonly clock: Clock;
  readonly head: () => HeadLink;
  readonly step: (...events: LeaseEvent[]) => void;
}

/** What the head asked this node to hold, until it does. */
interface Reserving {
  readonly epoch: number;
  readonly missing: Set<number>;
  readonly answer: (error?: Error) => void;
}

export class AgentGroups {
  readonly #parts: AgentGroupsParts;
  readonly #reserving = new Map<string, Reserving>();

  constructor(parts: AgentGroupsParts) {
    this.#parts = parts;
  }

  /** For a process of this node; the answer is news for the node too: what runs in the group is next. */
  async call(name: "createGroup" | "findGroup", body: Draft<CallOf<typeof name>>, waitMs = 0): Promise<AnswerBody> {
    const group = await this.#parts.head().ask(name, body, "group", waitMs);
    this.changed(group);
    return { group };
  }

  /** Answered when all of them are held. A newer epoch takes its place. */
  reserve({ group, epoch, indexes, bundles, jobId }: ReserveBundles): Promise<AnswerBody> {
    this.#endBefore(group, epoch, "its bundles are reserved anew");
    return new Promise((resolve, reject) => {
      const answer = (error?: Error) => {
        this.#reserving.delete(group);
        if (error === undefined) resolve({ done: {} });
        else reject(error);
      };
      this.#reserving.set(group, { epoch, missing: new Set(indexes), answer });
      this.#parts.step(...bundles.map(({ resources }, at): LeaseEvent => {
        return { kind: "bundleWanted", group, index: indexes[at], epoch, resources, jobId };
      }));
    });
  }

  /** By the head: the state of a group that this node has to do with. */
  changed({ spec, epoch, state, reason }: GroupInfo): void {
    if (spec === undefined) return;
    const group: GroupView = { id: spec.group, epoch, state, reason, bundles: spec.bundles };
    this.#endBefore(group.id, epoch, reason);
    this.#parts.step({ kind: "groupChanged", group });
  }

  /** By the queue. */
  held({ group, index, epoch }: BundleName): void {
    const reserving = this.#reserving.get(group);
    if (reserving?.epoch !== epoch) return;
    reserving.missing.delete(index);
    if (reserving.missing.size === 0) reserving.answer();
  }

  refused(group: string, error: Error): void {
    this.#reserving.get(group)?.answer(error);
  }

  /** Somebody is to run in a group that was not heard of yet. */
  ask(id: string): void {
    this.#parts.head().ask("findGroup", { group: id }, "group").then(
      (info) => this.changed(info),
      (error: unknown) => {
        if (!(error instanceof NotFoundError)) {
          this.#parts.clock.after(ASK_AGAIN_MS, () => this.#parts.step({ kind: "groupUnanswered", group: id }));
          return;
        }
        const gone = { id, epoch: Number.MAX_SAFE_INTEGER, state: "REMOVED", bundles: [], reason: failureOf(error).text };
        this.#parts.step({ kind: "groupChanged", group: gone });
      },
    );
  }

  /** What was to be held for an older epoch is wanted no more. */
  #endBefore(group: string, epoch: number, reason: string): void {
    const reserving = this.#reserving.get(group);
    if (reserving === undefined || reserving.epoch >= epoch) return;
    reserving.answer(new PlacementGroupRemovedError(`placement group ${group} is in epoch ${epoch}: ${reason}`));
  }
}
