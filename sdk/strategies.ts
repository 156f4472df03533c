// Where work is to run: on a node, in a placement group, spread; and how that travels.

import { InvalidArgumentError } from "../runtime/errors.ts";
import { bool, type Checks, checkOptions } from "../runtime/option-checks.ts";
import type { Session } from "../runtime/owner/index.ts";
import type { Strategy } from "../runtime/transport/index.ts";
import { ANY_BUNDLE, formatResources, type Resources, resourcesFit } from "../scheduler/index.ts";
import type { PlacementGroup } from "./placement-groups.ts";

export interface NodeStrategy {
  readonly kind: "node";
  readonly node: string;
  readonly soft: boolean;
}

export interface GroupStrategy {
  readonly kind: "group";
  readonly group: string;
  /** -1: any. */
  readonly bundle: number;
  readonly capture: boolean;
  /** @internal Fixed point. */
  readonly bundles: readonly Resources[];
}

export type SchedulingStrategy = "default" | "spread" | NodeStrategy | GroupStrategy;

/** Runs it on one node; with `soft` elsewhere when that node is gone or can't hold it. */
export function onNode(nodeId: string, options: { readonly soft?: boolean | undefined } = {}): NodeStrategy {
  if (typeof nodeId !== "string" || nodeId === "")
    throw new InvalidArgumentError("onNode: the node's id must be a non-empty string");
  const { soft = false } = checkOptions("onNode", options, { soft: bool });
  return { kind: "node", node: nodeId, soft };
}

/**
 * Runs it in a placement group, in one of its bundles or in the one of that index. With `captureChildTasks` what it submits runs
 * in the group too, unless it has a strategy of its own.
 */
export function inGroup(
  group: PlacementGroup, options: { bundleIndex?: number | undefined; captureChildTasks?: boolean | undefined } = {},
): GroupStrategy {
  const shape = (group as Partial<PlacementGroup> | undefined)?.shape;
  if (shape === undefined) throw new InvalidArgumentError("inGroup: expected a placement group, as placementGroup() returns it");
  const { bundleIndex = ANY_BUNDLE, captureChildTasks = false } = checkOptions("inGroup", options, GROUP_CHECKS);
  const count = shape.length;
  if (!Number.isSafeInteger(bundleIndex) || bundleIndex < ANY_BUNDLE || bundleIndex >= count) {
    const allowed = `a whole number from 0 to ${count - 1}, or -1 for any bundle`;
    throw new InvalidArgumentError(`inGroup: bundleIndex must be ${allowed}, not ${String(bundleIndex)}`);
  }
  return { kind: "group", group: group.id, bundle: bundleIndex, capture: captureChildTasks, bundles: shape };
}

/** The index depends on the group. */
const GROUP_CHECKS: Checks = { bundleIndex: () => undefined, captureChildTasks: bool };

/** What is to run in a group must fit one of its bundles, or the one that it names. */
export function checkFits(strategy: SchedulingStrategy | undefined, resources: Resources): void {
  if (typeof strategy !== "object" || strategy.kind !== "group") return;
  const { group, bundle, bundles } = strategy;
  const candidates = bundle === ANY_BUNDLE ? bundles : [bundles[bundle]];
  if (candidates.some((one) => resourcesFit(resources, one))) return;
  const where = bundle === ANY_BUNDLE ? "no bundle" : `not bundle ${bundle}`;
  const have = candidates.map(formatResources).join(" ");
  throw new InvalidArgumentError(`${formatResources(resources)} fits ${where} of placement group ${group}, which has ${have}`);
}

/** What the running task hands down to work without a strategy of its own: its group, when it was told to. */
export function handedDown(session: Session): Strategy | undefined {
  const strategy = session.attempts.current()?.strategy;
  return strategy?.capture ? strategy : undefined;
}

/** As it travels. */
export function strategyOf(
  strategy: SchedulingStrategy | undefined, labelSelector: Readonly<Record<string, string>> = {}, inherited: Strategy | undefined,
): Strategy {
  const labels = { ...labelSelector };
  if (strategy === undefined && inherited !== undefined) return { ...inherited, bundle: ANY_BUNDLE, labels };
  const none = { kind: "default", node: "", soft: false, labels, group: "", bundle: 0, capture: false, bundles: [] };
  if (strategy === undefined || typeof strategy === "string") return { ...none, kind: strategy ?? "default" };
  if (strategy.kind === "node") return { ...none, ...strategy };
  return { ...none, ...strategy, bundles: strategy.bundles.map((resources) => ({ resources: { ...resources }, node: "" })) };
}
