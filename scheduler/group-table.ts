// Placement groups as one node knows them: where their bundles lie, and those that this node holds.
//
// A bundle comes in two steps. It is first *held*: its resources are taken, nobody can use them (prepare). When the head tells
// that all bundles of the group are held and where, it *offers* them (commit). News of a later epoch in which this node no longer
// has the bundle ends it: at once if it was only held, else as soon as nothing uses it any more. Every message may come again;
// what is older than what is known changes nothing.

import { assert } from "./assert.ts";
import { ANY_BUNDLE, bundleOffer } from "./group-resources.ts";
import type { LeaseEffect } from "./lease-messages.ts";
import type { LeaseTable } from "./lease-table.ts";
import type { Placement } from "./placement.ts";
import type { ResourcePool } from "./resource-pool.ts";
import { amountOf, type Resources } from "./resources.ts";

export type GroupState = "PENDING" | "CREATED" | "RESCHEDULING" | "REMOVED";

/** A group as the head tells of it. */
export interface GroupView {
  readonly id: string;
  /** Grows with every change of where bundles lie. */
  readonly epoch: number;
  /** A GroupState, as on the wire. */
  readonly state: string;
  /** `node` is "" while the bundle lies nowhere. */
  readonly bundles: readonly { readonly resources: Resources; readonly node: string }[];
  /** Why it is removed, or what it waits for. */
  readonly reason: string;
}

export interface BundleName {
  readonly group: string;
  readonly index: number;
  readonly epoch: number;
}

interface Held extends BundleName {
  readonly jobId: string;
  readonly resources: Resources;
  state: "held" | "offered" | "leaving";
}

/** Removed groups that are remembered: who asks for an older one learns it from the head. */
const REMOVED_KEPT = 10_000;

export class GroupTable {
  readonly #nodeId: string;
  readonly #pool: ResourcePool;
  readonly #table: LeaseTable;
  readonly #groups = new Map<string, GroupView>();
  readonly #removed: string[] = [];
  readonly #held = new Map<string, Map<number, Held>>();
  /** Groups with bundles that are to go. */
  readonly #leaving = new Set<string>();
  readonly #asked = new Set<string>();
  #effects: LeaseEffect[] = [];

  constructor(nodeId: string, pool: ResourcePool, table: LeaseTable) {
    this.#nodeId = nodeId;
    this.#pool = pool;
    this.#table = table;
  }

  /** Undefined until the head has told; it is asked once. */
  find(id: string): GroupView | undefined {
    const known = this.#groups.get(id);
    if (known !== undefined || this.#asked.has(id)) return known;
    this.#asked.add(id);
    this.#effects.push({ kind: "askGroup", group: id });
    return undefined;
  }

  /** Groups that live, as far as is known, and that have to do with this node. */
  ids(): string[] {
    const living = [...this.#groups.values()].filter(({ state }) => state !== "REMOVED").map(({ id }) => id);
    return [...new Set([...living, ...this.#held.keys()])];
  }

  /** What is known is newer: nobody wants that bundle here any more. */
  isPast({ group, epoch }: BundleName): boolean {
    const known = this.#groups.get(group);
    return known !== undefined && (known.state === "REMOVED" || known.epoch > epoch);
  }

  /** Nodes where work of this placement may run, once each; [] while the bundle lies nowhere or nothing is known. */
  nodesOf({ group, bundle }: Placement): string[] {
    const bundles = this.find(group)?.bundles ?? [];
    const nodes = bundles.filter((_, index) => bundle === ANY_BUNDLE || bundle === index).map(({ node }) => node);
    return [...new Set(nodes)].filter((node) => node !== "");
  }

  /** Whether a bundle that the work may use is on this node, offered or about to be. */
  isHere({ group, bundle }: Placement): boolean {
    const held = this.#held.get(group);
    if (held === undefined) return false;
    return [...held.values()].some(({ index, state }) => state !== "leaving" && (bundle === ANY_BUNDLE || bundle === index));
  }

  /** The same, and empty it could hold the work. */
  offers(placement: Placement): boolean {
    return this.isHere(placement) && this.#pool.feasible(placement.resources);
  }

  /** False: there is no room. A bundle that is held already stays as it is. */
  hold(name: BundleName, resources: Resources, jobId: string): boolean {
    const { group, index } = name;
    const known = this.#held.get(group)?.get(index);
    if (known === undefined) {
      if (!this.#table.holdBundle(resources, jobId)) return false;
      let held = this.#held.get(group);
      if (held === undefined) this.#held.set(group, (held = new Map()));
      held.set(index, { ...name, jobId, resources, state: "held" });
    } else if (known.state !== "held") return known.state === "offered";
    else this.#held.get(group)?.set(index, { ...known, epoch: name.epoch });
    this.#effects.push({ kind: "bundleHeld", ...name });
    return true;
  }

  /** False when it is no news. */
  changed(view: GroupView): boolean {
    this.#asked.delete(view.id);
    const known = this.#groups.get(view.id);
    if (known?.state === "REMOVED" || (known !== undefined && known.epoch > view.epoch)) return false;
    this.#groups.set(view.id, view);
    if (view.state === "REMOVED") this.#bury(view.id);
    for (const held of [...(this.#held.get(view.id)?.values() ?? [])]) this.#follow(held, view);
    return true;
  }

  /** The head did not answer: who needs the group asks again. */
  unanswered(id: string): void {
    this.#asked.delete(id);
  }

  /** After every step: bundles that are to go and that nothing uses any more. */
  dissolve(): void {
    for (const group of [...this.#leaving]) {
      const leaving = [...(this.#held.get(group)?.values() ?? [])].filter(({ state }) => state === "leaving");
      if (!leaving.every((bundle) => this.#isUnused(bundle))) continue;
      this.#leaving.delete(group);
      for (const { index, resources } of leaving) {
        this.#pool.retract(bundleOffer(resources, group, index));
        this.#drop(group, index);
      }
    }
  }

  takeEffects(): LeaseEffect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  validate(): void {
    for (const [group, bundles] of this.#held) {
      assert(bundles.size > 0, `group ${group} holds nothing and is in the table`);
      for (const { index, resources, state } of bundles.values()) {
        const [name] = Object.keys(bundleOffer(resources, group, index)).filter((one) => one.includes("#"));
        assert((amountOf(this.#pool.total, name) > 0) === (state !== "held"), `bundle ${index} of ${group} is ${state}`);
      }
    }
  }

  #follow(held: Held, view: GroupView): void {
    const isHere = view.state !== "REMOVED" && view.bundles[held.index]?.node === this.#nodeId;
    if (isHere) {
      if (held.state !== "held") return;
      held.state = "offered";
      this.#pool.extend(bundleOffer(held.resources, held.group, held.index));
      return;
    }
    if (view.state !== "REMOVED" && view.epoch <= held.epoch) return;
    if (held.state === "held") this.#drop(held.group, held.index);
    else {
      held.state = "leaving";
      this.#leaving.add(held.group);
    }
  }

  #isUnused({ group, index, resources }: Held): boolean {
    const offer = bundleOffer(resources, group, index);
    return Object.keys(offer).every((name) => amountOf(this.#pool.available, name) === amountOf(this.#pool.total, name));
  }

  #drop(group: string, index: number): void {
    const bundles = this.#held.get(group);
    const held = bundles?.get(index);
    if (bundles === undefined || held === undefined) return;
    bundles.delete(index);
    if (bundles.size === 0) this.#held.delete(group);
    this.#table.endBundle(held.resources, held.jobId);
  }

  #bury(id: string): void {
    this.#removed.push(id);
    if (this.#removed.length > REMOVED_KEPT) this.#groups.delete(this.#removed.shift() as string);
  }
}
