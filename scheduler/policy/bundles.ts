// On which nodes the bundles of a placement group go, all of them or none.
//
//   PACK           as few nodes as it can be       STRICT_PACK    one node
//   SPREAD         as many nodes as it can be      STRICT_SPREAD  each on a node of its own
//
// Largest bundles first, each on the node it prefers; where that leads nowhere, the next best, for a bounded number of tries. For
// STRICT_SPREAD that is the matching of bundles to nodes, which is exact. Machines with GPUs are kept for bundles that need one.

import { type NodeView, utilisation } from "../placement.ts";
import {
  addResources, amountOf, NO_RESOURCES, type Resources, resourcesFit, resourcesKey, subtractResources,
} from "../resources.ts";

export const GROUP_STRATEGIES = ["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"] as const;
export type GroupStrategy = (typeof GROUP_STRATEGIES)[number];

export interface BundleRequest {
  readonly strategy: GroupStrategy;
  /** Those to be placed now. */
  readonly bundles: readonly Resources[];
  /** Nodes of the group's other bundles. */
  readonly taken: readonly string[];
}

/** Steps back before a search is given up, and nodes it may look at in all. */
const STEPS_BACK_MAX = 2000;
const LOOKS_MAX = 1_000_000;

/** A node for each bundle, in their order, so that all fit what is available together; undefined when there is no such plan. */
export function planBundles(request: BundleRequest, nodes: readonly NodeView[]): string[] | undefined {
  const alive = nodes.filter(({ state }) => state === "ALIVE");
  switch (request.strategy) {
    case "STRICT_PACK": return packOnOne(request, alive);
    case "STRICT_SPREAD": return matchEach(request, alive);
    default: return new Search(request, alive).run();
  }
}

function packOnOne({ bundles, taken }: BundleRequest, nodes: readonly NodeView[]): string[] | undefined {
  const sum = bundles.reduce(addResources, NO_RESOURCES);
  const candidates = nodes.filter(({ id, available }) => resourcesFit(sum, available) && taken.every((one) => one === id));
  const [best] = [...candidates].sort(fullestFirst(sum));
  return best === undefined ? undefined : bundles.map(() => best.id);
}

/** Augmenting paths: a bundle may push another off its node when that one has somewhere else to go. */
function matchEach({ bundles, taken }: BundleRequest, nodes: readonly NodeView[]): string[] | undefined {
  const free = nodes.filter(({ id }) => !taken.includes(id)).sort((left, right) => utilisation(left) - utilisation(right));
  const holder = new Map<string, number>();
  const settle = (bundle: number, seen: Set<string>): boolean => {
    const fitting = free.filter(({ id, available }) => !seen.has(id) && resourcesFit(bundles[bundle], available));
    const plain = fitting.sort((left, right) => Number(holder.has(left.id)) - Number(holder.has(right.id))
      || wasted(left, bundles[bundle]) - wasted(right, bundles[bundle]));
    for (const { id } of plain) {
      if (seen.has(id)) continue;
      seen.add(id);
      const other = holder.get(id);
      if (other !== undefined && !settle(other, seen)) continue;
      holder.set(id, bundle);
      return true;
    }
    return false;
  };
  for (const index of bundles.keys()) if (!settle(index, new Set())) return undefined;
  const plan = bundles.map(() => "");
  for (const [id, bundle] of holder) plan[bundle] = id;
  return plan;
}

interface Room {
  readonly node: NodeView;
  available: Resources;
  /** Bundles of the group there. */
  bundles: number;
}

class Search {
  readonly #request: BundleRequest;
  readonly #rooms: readonly Room[];
  /** Indexes of bundles, the largest first. */
  readonly #order: readonly number[];
  readonly #plan: string[];
  #stepsBack = 0;
  #looks = 0;

  constructor(request: BundleRequest, nodes: readonly NodeView[]) {
    const { bundles, taken } = request;
    this.#request = request;
    this.#rooms = nodes.map((node) => {
      return { node, available: node.available, bundles: taken.filter((id) => id === node.id).length };
    });
    const sizes = bundles.map((bundle) => Math.max(0, ...nodes.map(({ total }) => shareOf(bundle, total))));
    this.#order = [...bundles.keys()].sort((left, right) => sizes[right] - sizes[left] || left - right);
    this.#plan = bundles.map(() => "");
  }

  run(): string[] | undefined {
    const all = this.#rooms.map(({ available }) => available).reduce(addResources, NO_RESOURCES);
    const wanted = this.#request.bundles.reduce(addResources, NO_RESOURCES);
    return resourcesFit(wanted, all) && this.#place(0) ? this.#plan : undefined;
  }

  #place(at: number): boolean {
    if (at === this.#order.length) return true;
    const index = this.#order[at];
    const bundle = this.#request.bundles[index];
    const tried = new Set<string>();
    for (const room of this.#preferred(bundle)) {
      // Nodes that look the same lead to the same end.
      const looks = `${room.bundles > 0} ${resourcesKey(room.available)}`;
      if (tried.has(looks)) continue;
      tried.add(looks);
      if (this.#stepsBack > STEPS_BACK_MAX || this.#looks > LOOKS_MAX) return false;
      const before = room.available;
      room.available = subtractResources(before, bundle);
      room.bundles += 1;
      this.#plan[index] = room.node.id;
      if (this.#place(at + 1)) return true;
      this.#stepsBack += 1;
      room.available = before;
      room.bundles -= 1;
    }
    return false;
  }

  #preferred(bundle: Resources): Room[] {
    this.#looks += this.#rooms.length;
    const packs = this.#request.strategy === "PACK";
    const fitting = this.#rooms.filter(({ available }) => resourcesFit(bundle, available));
    return fitting.sort((left, right) => {
      const byGroup = packs ? Number(right.bundles > 0) - Number(left.bundles > 0) : left.bundles - right.bundles;
      if (byGroup !== 0) return byGroup;
      const byWaste = wasted(left.node, bundle) - wasted(right.node, bundle);
      if (byWaste !== 0) return byWaste;
      const byUse = usedOf(left) - usedOf(right);
      return (packs ? -byUse : byUse) || compare(left.node.id, right.node.id);
    });
  }
}

function fullestFirst(bundle: Resources): (left: NodeView, right: NodeView) => number {
  return (left, right) => wasted(left, bundle) - wasted(right, bundle)
    || utilisation(right) - utilisation(left) || compare(left.id, right.id);
}

/** 1 for a machine with GPUs that the bundle does not need. */
function wasted({ total }: NodeView, bundle: Resources): number {
  return amountOf(total, "GPU") > 0 && amountOf(bundle, "GPU") === 0 ? 1 : 0;
}

function usedOf({ node, available }: Room): number {
  return utilisation({ total: node.total, available });
}

/** Of the resource it takes the largest part of. */
function shareOf(bundle: Resources, total: Resources): number {
  let share = 0;
  for (const name in bundle) if (bundle[name] > 0) share = Math.max(share, bundle[name] / Math.max(1, amountOf(total, name)));
  return share;
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
