// Round-robin over the nodes that have room, in the order of their ids.
//
// The cursor is the id of the node chosen last, so nodes may come and go between two choices without anyone losing a turn.

import type { NodeView, Placement } from "../placement.ts";
import { resourcesFit } from "../resources.ts";

/** The next node after `cursor` with room now, or without room when none has; undefined when all are too small. */
export function chooseSpread(
  placement: Placement, nodes: readonly NodeView[], cursor: string,
): { readonly node: string; readonly available: boolean } | undefined {
  const fitting = nodes.filter((node) => resourcesFit(placement.resources, node.total));
  const free = nextAfter(cursor, fitting.filter((node) => resourcesFit(placement.resources, node.available)));
  if (free !== undefined) return { node: free, available: true };
  const busy = nextAfter(cursor, fitting);
  return busy === undefined ? undefined : { node: busy, available: false };
}

function nextAfter(cursor: string, nodes: readonly NodeView[]): string | undefined {
  let first: string | undefined;
  let next: string | undefined;
  for (const { id } of nodes) {
    if (first === undefined || id < first) first = id;
    if (id > cursor && (next === undefined || id < next)) next = id;
  }
  return next ?? first;
}
