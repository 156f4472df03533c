// Chooses a node for a request among the nodes as they are known: one strategy, then one of its policies.

import { type Choice, type NodeView, nodeEligible, type Placement, prefersNode } from "./placement.ts";
import { chooseHybrid } from "./policy/hybrid.ts";
import { formatSelectors, labelsMatch } from "./policy/labels.ts";
import { chooseNamed } from "./policy/node-affinity.ts";
import { chooseSpread } from "./policy/spread.ts";
import { formatResources, missingResources, plainResources } from "./resources.ts";

export interface Selection {
  readonly placement: Placement;
  readonly nodes: readonly NodeView[];
  /** The node that asks; undefined when none of `nodes` is preferred. */
  readonly local: string | undefined;
  /** In [0, 1). */
  readonly random: number;
  /** Node chosen last by "spread". */
  readonly cursor: string;
}

/** Nodes listed in the text of an infeasible request. */
const LISTED_MAX = 5;

export function selectNode(selection: Selection): Choice {
  const { placement, nodes, local, random, cursor } = selection;
  if (placement.kind === "node") {
    const named = chooseNamed(placement, nodes);
    if (named === undefined) return { kind: "infeasible", text: infeasibleText(placement, nodes) };
    if (named !== "elsewhere") return { kind: named.available ? "node" : "wait", node: named.node };
  }
  // Also when it has no room as far as is known: idle leases there come back when they are asked for.
  const near = prefersNode(placement) ? chooseNamed(placement, nodes) : undefined;
  if (near !== undefined && near !== "elsewhere") return { kind: near.available ? "node" : "wait", node: near.node };
  const chosen = placement.kind === "spread"
    ? chooseSpread(placement, nodes.filter((node) => nodeEligible(placement, node)), cursor)
    : chooseHybrid(placement, nodes, local, random);
  if (chosen === undefined) return { kind: "infeasible", text: infeasibleText(placement, nodes) };
  return { kind: chosen.available ? "node" : "wait", node: chosen.node };
}

/** What was asked, and what every node lacks. */
export function infeasibleText(placement: Placement, nodes: readonly NodeView[]): string {
  const asked = [formatResources(placement.asked)];
  if (placement.selectors.length > 0) asked.push(`labels ${formatSelectors(placement.selectors)}`);
  if (placement.kind === "node" && !placement.soft) asked.push(`node ${placement.node}`);
  const listed = nodes.slice(0, LISTED_MAX);
  const lines = listed.map((node) => {
    return `node ${node.id} ${formatResources(plainResources(node.total))}: ${reasonAgainst(placement, node)}`;
  });
  if (nodes.length > LISTED_MAX) lines.push(`and ${nodes.length - LISTED_MAX} more`);
  const exists = lines.length === 0 ? "There are no nodes" : `There are: ${lines.join("; ")}`;
  return `no node can ever hold ${asked.join(", ")}. ${exists}.`;
}

function reasonAgainst(placement: Placement, node: NodeView): string {
  if (node.state !== "ALIVE") return `is ${node.state.toLowerCase()}`;
  if (placement.kind === "node" && !placement.soft && node.id !== placement.node) return "is not the node asked for";
  if (!labelsMatch(placement.selectors, node.labels)) return `has labels ${formatLabels(node.labels)}`;
  const missing = missingResources(placement.resources, node.total);
  return missing.length === 0 ? "has refused" : `too little ${missing.join(", ")}`;
}

function formatLabels(labels: Readonly<Record<string, string>>): string {
  const parts = Object.keys(labels).map((label) => `${label}=${labels[label]}`);
  return parts.length === 0 ? "none" : parts.join(", ");
}
