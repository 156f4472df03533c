// What the command line shares with init(): how a node is described, and how a cluster is found.

export { nodeOf, systemSeams } from "./init.ts";
export { explainId, type Told } from "../runtime/owner/index.ts";
export { shapeRow, type StateKind, type TaskRow } from "./rows.ts";
export { findTarget, readToken, type Target, type TargetOptions } from "./target.ts";
export { TIMELINE_TASKS_MAX, writeTimeline } from "./timeline.ts";
