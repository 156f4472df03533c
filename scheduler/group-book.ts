// All placement groups of a cluster: the head's machine.
//
//   PENDING ── all bundles held ──▶ CREATED ── a node lost or drained ──▶ RESCHEDULING ── held again ──▶ CREATED
//        └───────────────────────────── removed, or its holder is gone ─────────────────────────────▶ REMOVED
//
// Bundles are reserved in two steps. An *attempt* asks the agents of a plan to hold them; when all do, the group is created and
// everybody concerned is told where its bundles lie, which is what commits them. An attempt that fails at one node is given up
// everywhere by a new epoch. So a group has all of its bundles or none, whatever dies in between, and every message may be
// repeated. What a head had decided the next one restores, in epochs above all that the earlier one may have used.
//
// Nobody starves: groups wait in their order. While what is free does not hold the first of them, it alone may insist: it asks
// nodes for what they will have when running leases come back, and waits there like any other work. Only one insists at a time,
// so no two groups hold half of what the other needs.

import type { GroupState, GroupView } from "./group-table.ts";
import type { NodeView } from "./placement.ts";
import { planBundles, type GroupStrategy } from "./policy/bundles.ts";
import {
  addResources, formatResources, NO_RESOURCES, plainResources, type Resources, subtractResources,
} from "./resources.ts";

export interface GroupSpec {
  readonly id: string;
  readonly name: string;
  readonly namespace: string;
  readonly strategy: GroupStrategy;
  readonly bundles: readonly Resources[];
  readonly jobId: string;
  /** The job or detached actor it ends with; "" for a detached group. */
  readonly holder: string;
}

/** `reclaimable`: what will be available when all leases have come back. */
export interface GroupNode extends NodeView {
  readonly reclaimable: Resources;
}

interface Attempt {
  readonly plan: ReadonlyMap<number, string>;
  readonly waiting: Set<string>;
  readonly insists: boolean;
}

interface Group {
  readonly spec: GroupSpec;
  state: GroupState;
  epoch: number;
  reason: string;
  /** Node of each bundle; "" while it lies nowhere. */
  readonly places: string[];
  attempt: Attempt | undefined;
  /** An attempt has failed: it is tried again at the next look. */
  resting: boolean;
}

export type GroupEvent =
  | { readonly kind: "created"; readonly spec: GroupSpec }
  /** By an earlier head. `epoch`: above what that one may have used. */
  | { readonly kind: "restored"; readonly spec: GroupSpec; readonly view: GroupView; readonly epoch: number }
  | { readonly kind: "removed"; readonly group: string; readonly reason: string }
  | { readonly kind: "holderGone"; readonly holder: string; readonly reason: string }
  /** It is dead, or leaves. */
  | { readonly kind: "nodeGone"; readonly node: string; readonly reason: string }
  | { readonly kind: "held"; readonly group: string; readonly epoch: number; readonly node: string }
  | { readonly kind: "refused"; readonly group: string; readonly epoch: number; readonly node: string; readonly text: string }
  | { readonly kind: "attemptElapsed"; readonly group: string; readonly epoch: number }
  /** Nodes have changed. */
  | { readonly kind: "viewChanged" }
  | { readonly kind: "look" };

export type GroupEffect =
  /** Answered by `held` or `refused`. */
  | {
    readonly kind: "reserve"; readonly node: string; readonly group: string; readonly epoch: number; readonly jobId: string;
    readonly bundles: readonly { readonly index: number; readonly resources: Resources }[];
  }
  /** Everybody who has to do with the group is told. */
  | { readonly kind: "changed"; readonly group: string }
  | { readonly kind: "armAttempt"; readonly group: string; readonly epoch: number; readonly ms: number }
  /** It is remembered no longer. */
  | { readonly kind: "forgotten"; readonly group: string }
  /** Answered by one `look` after that time. */
  | { readonly kind: "armLook"; readonly ms: number };

/** Idle leases come back at once when they are asked for; this is for the way. */
export const ATTEMPT_MS = 1000;
export const INSIST_MS = 30_000;
export const LOOK_MS = 100;
/** Groups that are planned for in one look; identical ones count once. */
export const PLANS_MAX = 32;
export const REMOVED_KEPT = 1000;

export class GroupBook {
  readonly #groups = new Map<string, Group>();
  readonly #names = new Map<string, string>();
  /** With bundles that lie nowhere, the longest wait first. */
  readonly #waiting = new Set<Group>();
  readonly #removed: string[] = [];
  #lookArmed = false;
  #effects: GroupEffect[] = [];

  /** `nodes` is asked only when there is something to plan: there may be thousands. */
  step(event: GroupEvent, nodes: () => readonly GroupNode[]): GroupEffect[] {
    this.#apply(event);
    if (this.#isPlannable) this.#plan(nodes());
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  get #isPlannable(): boolean {
    for (const { attempt, resting } of this.#waiting) if (attempt === undefined && !resting) return true;
    return false;
  }

  get isWaiting(): boolean {
    return this.#waiting.size > 0;
  }

  spec(id: string): GroupSpec | undefined {
    return this.#groups.get(id)?.spec;
  }

  named(namespace: string, name: string): GroupSpec | undefined {
    const id = this.#names.get(nameKey(namespace, name));
    return id === undefined ? undefined : this.spec(id);
  }

  view(id: string): GroupView | undefined {
    const group = this.#groups.get(id);
    if (group === undefined) return undefined;
    const { spec, epoch, state, reason, places } = group;
    return { id, epoch, state, reason, bundles: spec.bundles.map((resources, index) => ({ resources, node: places[index] })) };
  }

  all(): string[] {
    return [...this.#groups.keys()];
  }

  #apply(event: GroupEvent): void {
    switch (event.kind) {
      case "created": return this.#created(event.spec);
      case "restored": return this.#restored(event.spec, event.view, event.epoch);
      case "removed": return this.#remove(this.#groups.get(event.group), event.reason);
      case "holderGone": {
        for (const group of [...this.#groups.values()]) {
          if (group.spec.holder === event.holder) this.#remove(group, event.reason);
        }
        return;
      }
      case "nodeGone": {
        for (const group of this.#groups.values()) this.#lose(group, event.node, event.reason);
        return;
      }
      case "held": return this.#held(event.group, event.epoch, event.node);
      case "refused": return this.#failed(event.group, event.epoch, `node ${event.node}: ${event.text}`);
      case "attemptElapsed": return this.#failed(event.group, event.epoch, "no room became free in time");
      case "viewChanged": return;
      case "look": {
        this.#lookArmed = false;
        for (const group of this.#waiting) group.resting = false;
      }
    }
  }

  #created(spec: GroupSpec): void {
    if (this.#groups.has(spec.id)) return;
    const places = spec.bundles.map(() => "");
    const reason = "it was asked for just now";
    const group: Group = { spec, state: "PENDING", epoch: 1, reason, places, attempt: undefined, resting: false };
    this.#groups.set(spec.id, group);
    if (spec.name !== "") this.#names.set(nameKey(spec.namespace, spec.name), spec.id);
    this.#waiting.add(group);
  }

  #restored(spec: GroupSpec, view: GroupView, epoch: number): void {
    const places = view.bundles.map(({ node }) => node);
    const { state, reason } = view as GroupView & { state: GroupState };
    const group: Group = { spec, state, epoch, reason, places, attempt: undefined, resting: false };
    this.#groups.set(spec.id, group);
    if (state === "REMOVED") return this.#bury(spec.id);
    if (spec.name !== "") this.#names.set(nameKey(spec.namespace, spec.name), spec.id);
    if (places.includes("")) this.#waiting.add(group);
  }

  #remove(group: Group | undefined, reason: string): void {
    if (group === undefined || group.state === "REMOVED") return;
    const { id, name, namespace } = group.spec;
    group.state = "REMOVED";
    group.reason = reason;
    group.epoch += 1;
    group.attempt = undefined;
    group.places.fill("");
    this.#waiting.delete(group);
    if (name !== "") this.#names.delete(nameKey(namespace, name));
    this.#effects.push({ kind: "changed", group: id });
    this.#bury(id);
  }

  #bury(id: string): void {
    this.#removed.push(id);
    if (this.#removed.length <= REMOVED_KEPT) return;
    const oldest = this.#removed.shift() as string;
    this.#groups.delete(oldest);
    this.#effects.push({ kind: "forgotten", group: oldest });
  }

  #lose(group: Group, node: string, reason: string): void {
    const loses = group.places.includes(node);
    if (!loses && ![...(group.attempt?.plan.values() ?? [])].includes(node)) return;
    if (loses) {
      group.state = "RESCHEDULING";
      for (const index of group.places.keys()) if (group.places[index] === node) group.places[index] = "";
      // Who had a place goes before those who never had one.
      const others = [...this.#waiting].filter((one) => one !== group);
      this.#waiting.clear();
      for (const one of [group, ...others]) this.#waiting.add(one);
    }
    group.reason = `node ${node}: ${reason}`;
    group.attempt = undefined;
    group.epoch += 1;
    this.#effects.push({ kind: "changed", group: group.spec.id });
  }

  #held(id: string, epoch: number, node: string): void {
    const group = this.#groups.get(id);
    if (group?.attempt === undefined || group.epoch !== epoch) return;
    group.attempt.waiting.delete(node);
    if (group.attempt.waiting.size > 0) return;
    for (const [index, place] of group.attempt.plan) group.places[index] = place;
    group.attempt = undefined;
    group.state = "CREATED";
    group.reason = "";
    this.#waiting.delete(group);
    this.#effects.push({ kind: "changed", group: id });
  }

  #failed(id: string, epoch: number, reason: string): void {
    const group = this.#groups.get(id);
    if (group?.attempt === undefined || group.epoch !== epoch) return;
    if (group.attempt.insists) {
      this.#waiting.delete(group);
      this.#waiting.add(group);
    }
    group.reason = reason;
    group.attempt = undefined;
    group.epoch += 1;
    group.resting = true;
    this.#armLook();
    this.#effects.push({ kind: "changed", group: id });
  }

  // -- planning ----------------------------------------------------------------------------------------------------

  #plan(nodes: readonly GroupNode[]): void {
    const hopeless = new Set<string>();
    let insists = [...this.#waiting].some(({ attempt }) => attempt?.insists);
    let plans = 0;
    for (const group of [...this.#waiting]) {
      if (group.attempt !== undefined || group.resting) continue;
      const alike = JSON.stringify([group.spec.strategy, group.spec.bundles, group.places]);
      if (hopeless.has(alike)) continue;
      plans += 1;
      if (plans > PLANS_MAX) return;
      const now = this.#placesFor(group, this.#roomOf(nodes, "available"));
      const places = now ?? (insists ? undefined : this.#placesFor(group, this.#roomOf(nodes, "reclaimable")));
      if (places === undefined) {
        hopeless.add(alike);
        group.reason = this.#whyNot(group, nodes);
        continue;
      }
      insists ||= now === undefined;
      this.#begin(group, places, now === undefined);
    }
  }

  /** Nodes with what is left beside the attempts that are under way. */
  #roomOf(nodes: readonly GroupNode[], which: "available" | "reclaimable"): NodeView[] {
    const booked = new Map<string, Resources>();
    for (const { attempt, spec } of this.#waiting) {
      for (const [index, node] of attempt?.plan ?? []) {
        booked.set(node, addResources(booked.get(node) ?? NO_RESOURCES, spec.bundles[index]));
      }
    }
    return nodes.map((node) => {
      const { id, state, total, labels } = node;
      return { id, state, total, labels, available: subtractResources(node[which], booked.get(id) ?? NO_RESOURCES) };
    });
  }

  #placesFor({ spec, places }: Group, nodes: readonly NodeView[]): Map<number, string> | undefined {
    const missing = [...places.keys()].filter((index) => places[index] === "");
    const taken = places.filter((node) => node !== "");
    const bundles = missing.map((index) => spec.bundles[index]);
    const plan = planBundles({ strategy: spec.strategy, bundles, taken }, nodes);
    return plan === undefined ? undefined : new Map(missing.map((index, at) => [index, plan[at]]));
  }

  #begin(group: Group, plan: ReadonlyMap<number, string>, insists: boolean): void {
    const { id, bundles, jobId } = group.spec;
    group.epoch += 1;
    const { epoch } = group;
    group.attempt = { plan, waiting: new Set(plan.values()), insists };
    group.reason = insists ? "it waits for running work to end" : "its bundles are being reserved";
    this.#effects.push({ kind: "armAttempt", group: id, epoch, ms: insists ? INSIST_MS : ATTEMPT_MS });
    for (const node of group.attempt.waiting) {
      const there = [...plan].filter(([, place]) => place === node).map(([index]) => ({ index, resources: bundles[index] }));
      this.#effects.push({ kind: "reserve", node, group: id, epoch, jobId, bundles: there });
    }
  }

  #whyNot(group: Group, nodes: readonly GroupNode[]): string {
    const { strategy, bundles } = group.spec;
    const empty = nodes.map((node) => ({ ...node, available: node.total }));
    const isPossible = this.#placesFor(group, empty) !== undefined;
    const exists = nodes.slice(0, LISTED_MAX).map(({ id, state, total, available }) => {
      const there = formatResources(plainResources(isPossible ? available : total));
      return `node ${id} ${there}${state === "ALIVE" ? "" : ` (${state.toLowerCase()})`}`;
    });
    if (nodes.length > LISTED_MAX) exists.push(`and ${nodes.length - LISTED_MAX} more`);
    const asked = `${strategy} of ${bundles.map(formatResources).join(" ")}`;
    return isPossible
      ? `no room now for ${asked}. Free is: ${exists.join("; ")}`
      : `no nodes can ever hold ${asked}. There are: ${exists.join("; ") || "none"}`;
  }

  #armLook(): void {
    if (this.#lookArmed) return;
    this.#lookArmed = true;
    this.#effects.push({ kind: "armLook", ms: LOOK_MS });
  }
}

/** Nodes listed in a reason. */
const LISTED_MAX = 5;

function nameKey(namespace: string, name: string): string {
  return `${namespace}\n${name}`;
}
