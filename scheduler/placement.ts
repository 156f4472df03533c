// What a decision is about: the nodes as they are known, and what is to be placed on one of them.

import { ANY_BUNDLE, groupRequest } from "./group-resources.ts";
import { type LabelSelector, labelsMatch, parseSelectors } from "./policy/labels.ts";
import { amountOf, type Resources } from "./resources.ts";

/** A node as some agent last heard of it: `available` of others is as old as the last report, and may be below zero. */
export interface NodeView {
  readonly id: string;
  /** ALIVE | DRAINING | DEAD, as on the wire. Only an ALIVE node gets work. */
  readonly state: string;
  readonly total: Resources;
  readonly available: Resources;
  readonly labels: Readonly<Record<string, string>>;
  /** Leases that were asked for there and are not granted. */
  readonly backlog?: number;
}

/** The strategy as it travels: `kind` is checked when it becomes a Placement. */
export interface Strategy {
  /** default | spread | node | group */
  readonly kind: string;
  /** The node of kind "node"; of kind "default" the one that is asked first. */
  readonly node?: string;
  /** Only for kind "node": elsewhere when that node cannot take it. */
  readonly soft?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
  /** Only for kind "group": its id. */
  readonly group?: string;
  /** Of the group; ANY_BUNDLE for whichever has room. */
  readonly bundle?: number;
}

/** A request, checked and ready to be matched against nodes many times. */
export interface Placement {
  /** What it takes of a node: in a group, of what the group keeps there. */
  readonly resources: Resources;
  /** What the user asked for. */
  readonly asked: Resources;
  readonly kind: "default" | "spread" | "node" | "group";
  readonly node: string;
  readonly soft: boolean;
  readonly group: string;
  readonly bundle: number;
  readonly selectors: readonly LabelSelector[];
}

/** Where to go now; where to queue because nobody has room now; or that nobody ever can. */
export type Choice =
  | { readonly kind: "node"; readonly node: string }
  | { readonly kind: "wait"; readonly node: string }
  | { readonly kind: "infeasible"; readonly text: string };

export type ParsedPlacement = { readonly placement: Placement } | { readonly text: string };

export function placementOf(resources: Resources, strategy: Strategy | undefined): ParsedPlacement {
  const kind = strategy?.kind || "default";
  if (kind !== "default" && kind !== "spread" && kind !== "node" && kind !== "group") {
    return { text: `schedulingStrategy: ${JSON.stringify(kind)} is not one of default, spread, node and group` };
  }
  const { node = "", soft = false, group = "", bundle = ANY_BUNDLE } = strategy ?? {};
  if (kind === "node" && node === "") return { text: "schedulingStrategy: onNode needs the id of a node" };
  if (kind === "group" && group === "") return { text: "schedulingStrategy: inGroup needs a placement group" };
  const parsed = parseSelectors(strategy?.labels ?? {});
  if ("text" in parsed) return parsed;
  const asked = resources;
  if (kind === "group") resources = groupRequest(asked, group, bundle);
  return { placement: { resources, asked, kind, node, soft, group, bundle, selectors: parsed.selectors } };
}

/** Anywhere, but rather on one node: its arguments are there. */
export function prefersNode({ kind, node }: Placement): boolean {
  return kind === "default" && node !== "";
}

/** Alive, and with the labels that were asked for. */
export function nodeEligible(placement: Placement, node: NodeView): boolean {
  return node.state === "ALIVE" && labelsMatch(placement.selectors, node.labels);
}

/**
 * Share of the scarcest of CPU and memory that is taken. Custom resources do not count, as in Ray: a node whose one licence is
 * in use is not a busy node.
 */
export function utilisation(node: Pick<NodeView, "total" | "available">): number {
  let highest = 0;
  for (const name of CRITICAL) {
    const total = amountOf(node.total, name);
    if (total > 0) highest = Math.max(highest, (total - amountOf(node.available, name)) / total);
  }
  return highest;
}

const CRITICAL = ["CPU", "memory"] as const;
