// What the command line shares with init(), and graphs with tasks: how a node is described, how a cluster is found, how options
// are checked.

export { RELEASE } from "../runtime/release.ts";
export { isClusterToken, openSealed, sealForCluster } from "./cluster-token.ts";
export { REDUCE_BRAND } from "../runtime/serialize/index.ts";
export { storageFolder } from "./kv.ts";
export { isObjectId, startOf } from "./explain.ts";
export { hearNotes, noteSender } from "./notes.ts";
export { nodeOf, systemSeams } from "./init.ts";
export { explainId, type Told } from "../runtime/owner/index.ts";
export {
  amount, bool, type Check, type Checks, checkOptions, describeValue, object, oneOf, text, whole,
} from "../runtime/option-checks.ts";
export { checkTaskOptions, retryExceptions, TASK_CHECKS } from "./options.ts";
export { checkFilters } from "./row-fields.ts";
export { shapeRow, type StateKind, type TaskRow } from "./rows.ts";
export { findTarget, readToken, type Target, type TargetOptions } from "./target.ts";
export { TIMELINE_TASKS_MAX, writeTimeline } from "./timeline.ts";
