// The default policy: stay local until the node is half full, then go to one of the least used nodes.
//
// Nodes below the threshold count as equally empty, so work packs before it spreads. One of the best k is drawn with the given
// number instead of always the best, so that agents with the same old view do not all choose the same node. Constants and
// order of preference are Ray's (hybrid_scheduling_policy.cc).

import { type NodeView, type Placement, utilisation } from "../placement.ts";
import { amountOf, resourcesFit } from "../resources.ts";

export const UTILISATION_THRESHOLD = 0.5;
export const TOP_K_FRACTION = 0.2;

/** The chosen node and whether it has room now; undefined when even the empty nodes are too small. */
export interface HybridChoice {
  readonly node: string;
  readonly available: boolean;
}

interface Scored {
  readonly id: string;
  readonly score: number;
}

/** `nodes` are the eligible ones; `random` is in [0, 1). */
export function chooseHybrid(
  placement: Placement, nodes: readonly NodeView[], local: string | undefined, random: number,
): HybridChoice | undefined {
  const fitting = nodes.filter((node) => resourcesFit(placement.resources, node.total));
  const free = fitting.filter((node) => resourcesFit(placement.resources, node.available));
  if (amountOf(placement.resources, "GPU") === 0) {
    // Machines with GPUs are kept for work that needs them while any other has room.
    const plain = free.filter((node) => amountOf(node.total, "GPU") === 0);
    if (plain.length > 0) return { node: best(plain, nodes.length, local, random), available: true };
  }
  if (free.length > 0) return { node: best(free, nodes.length, local, random), available: true };
  if (fitting.length > 0) return { node: best(fitting, nodes.length, local, random), available: false };
  return undefined;
}

function best(candidates: readonly NodeView[], nodes: number, local: string | undefined, random: number): string {
  const scored: Scored[] = candidates.map((node) => ({ id: node.id, score: scoreOf(node) }));
  let lowest = scored[0].score;
  for (const { score } of scored) lowest = Math.min(lowest, score);
  const here = scored.find(({ id }) => id === local);
  if (here !== undefined && here.score <= lowest) return here.id;
  scored.sort((left, right) => left.score - right.score || (left.id < right.id ? -1 : 1));
  const drawn = Math.min(Math.max(1, Math.floor(nodes * TOP_K_FRACTION)), scored.length);
  return scored[Math.floor(random * drawn)].id;
}

function scoreOf(node: NodeView): number {
  const used = utilisation(node);
  return used < UTILISATION_THRESHOLD ? 0 : used;
}
