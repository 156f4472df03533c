// One named node, or (soft) anywhere when that node cannot ever take it.
//
// A node that is merely busy is waited for, also when soft: who names a node wants its data or its hardware.

import { type NodeView, nodeEligible, type Placement } from "../placement.ts";
import { resourcesFit } from "../resources.ts";

/** The named node, "elsewhere" when soft applies, or undefined: hard and impossible. */
export function chooseNamed(
  placement: Placement, nodes: readonly NodeView[],
): { readonly node: string; readonly available: boolean } | "elsewhere" | undefined {
  const named = nodes.find((node) => node.id === placement.node);
  if (named !== undefined && nodeEligible(placement, named) && resourcesFit(placement.resources, named.total)) {
    return { node: named.id, available: resourcesFit(placement.resources, named.available) };
  }
  return placement.soft ? "elsewhere" : undefined;
}
