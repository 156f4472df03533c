// The default policy: stay local until the node is half full, then go to one of the least used nodes.
//
// Nodes below the threshold count as equally empty, so work packs before it spreads. One of the best k is drawn with the given
// number instead of always the best, so that agents with the same old view do not all choose the same node. Constants and
// order of preference are Ray's (hybrid_scheduling_policy.cc).

import { type NodeView, nodeEligible, type Placement, utilisation } from "../placement.ts";
import { amountOf } from "../resources.ts";

export const UTILISATION_THRESHOLD = 0.5;
export const TOP_K_FRACTION = 0.2;

/** The chosen node and whether it has room now; undefined when even the empty nodes are too small. */
export interface HybridChoice {
  readonly node: string;
  readonly available: boolean;
}

type Need = readonly [name: string, units: number];

interface Scored {
  readonly id: string;
  readonly score: number;
}

/** How good a node is, best first: with room and no needless GPU, with room, large enough when it is empty. */
const PLAIN = 0;
const FREE = 1;
const BUSY = 2;
const TOO_SMALL = 3;

/** Among the eligible of `nodes`, in one pass: there may be thousands. `random` is in [0, 1). */
export function chooseHybrid(
  placement: Placement, nodes: readonly NodeView[], local: string | undefined, random: number,
): HybridChoice | undefined {
  const needs = Object.entries(placement.resources).filter(([, units]) => units > 0);
  let best = TOO_SMALL;
  let eligible = 0;
  let lowest = Infinity;
  const candidates: Scored[] = [];
  for (const node of nodes) {
    if (!nodeEligible(placement, node)) continue;
    eligible += 1;
    const rank = rankOf(needs, node);
    if (rank > best || rank === TOO_SMALL) continue;
    if (rank < best) {
      best = rank;
      lowest = Infinity;
      candidates.length = 0;
    }
    const score = scoreOf(node);
    lowest = Math.min(lowest, score);
    candidates.push({ id: node.id, score });
  }
  if (candidates.length === 0) return undefined;
  const available = best !== BUSY;
  const here = local === undefined ? undefined : candidates.find(({ id }) => id === local);
  if (here !== undefined && here.score <= lowest) return { node: here.id, available };
  const drawn = Math.min(Math.max(1, Math.floor(eligible * TOP_K_FRACTION)), candidates.length);
  return { node: nthBest(candidates, Math.floor(random * drawn)).id, available };
}

/** Machines with GPUs are kept for work that needs them while any other has room. */
function rankOf(needs: readonly Need[], { total, available }: NodeView): number {
  let needsGpu = false;
  let isFree = true;
  for (const [name, units] of needs) {
    if (units > amountOf(total, name)) return TOO_SMALL;
    isFree &&= units <= amountOf(available, name);
    needsGpu ||= name === "GPU";
  }
  if (!isFree) return BUSY;
  return needsGpu || amountOf(total, "GPU") === 0 ? PLAIN : FREE;
}

/** By score, then by id: quickselect, since only one of a thousand is wanted. */
function nthBest(candidates: Scored[], n: number): Scored {
  let from = 0;
  let to = candidates.length - 1;
  while (from < to) {
    const pivot = candidates[(from + to) >> 1];
    let low = from;
    let high = to;
    while (low <= high) {
      while (isBetter(candidates[low], pivot)) low += 1;
      while (isBetter(pivot, candidates[high])) high -= 1;
      if (low > high) break;
      [candidates[low], candidates[high]] = [candidates[high], candidates[low]];
      low += 1;
      high -= 1;
    }
    if (n <= high) to = high;
    else if (n >= low) from = low;
    else break;
  }
  return candidates[n];
}

function isBetter(left: Scored, right: Scored): boolean {
  return left.score < right.score || (left.score === right.score && left.id < right.id);
}

function scoreOf(node: NodeView): number {
  const used = utilisation(node);
  return used < UTILISATION_THRESHOLD ? 0 : used;
}
