// Pure scheduling decisions: what fits where, and who is next. No clock, no randomness, no input or output.

export {
  addResources, amountOf, coverResources, emptyResources, formatResources, missingResources, NO_RESOURCES, type ParsedResources,
  plainResources, parseResources, resourceAmounts, type Resources, resourcesEqual, resourcesFit, resourcesKey,
  subtractResources, UNITS_PER_ONE, unitsPerOne, wholeCpus,
} from "./resources.ts";
export { ANY_BUNDLE } from "./group-resources.ts";
export type { BundleName, GroupState, GroupView } from "./group-table.ts";
export {
  ATTEMPT_MS, GroupBook, type GroupEffect, type GroupEvent, type GroupNode, type GroupSpec, INSIST_MS,
} from "./group-book.ts";
export { GROUP_STRATEGIES, type GroupStrategy, planBundles } from "./policy/bundles.ts";
export { bundleOf, type WantedBundle } from "./group-orders.ts";
export { QuotaBook, type QuotaEffect, type QuotaReport, type QuotaShare } from "./quota-book.ts";
export { ResourcePool } from "./resource-pool.ts";
export { type LabelSelector, labelsMatch, parseSelectors } from "./policy/labels.ts";
export {
  type Choice, type NodeView, nodeEligible, type Placement, placementOf, type Strategy, utilisation,
} from "./placement.ts";
export { infeasibleText, selectNode, type Selection } from "./select.ts";
export type { LeaseEffect, LeaseEvent, LeaseOrder, OrderName, RefusalCode, WaitingOrder } from "./lease-messages.ts";
export type { Lease, PlacedActor } from "./lease-table.ts";
export type { Worker, WorkerState } from "./worker-roster.ts";
export { LeaseQueue, type LeaseQueueOptions } from "./lease-queue.ts";
