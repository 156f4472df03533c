// What users import: `import { init, remote, get } from "troupe"`.

export { init, isClusterPrivate, isInitialized, shutdown, type InitOptions } from "./init.ts";
export type { Cluster } from "./cluster.ts";
export { ActorPool, type PoolCall } from "./actor-pool.ts";
export { jobs, type JobRequest, type SubmittedJob } from "./submitted-jobs.ts";
export { kv, type KvChange, type ScanOptions } from "./kv.ts";
export {
  blockOf, codeHash, decodeProgram, decodeValue, digestOf, encodeProgram, encodeValue, planValue,
} from "./durable-values.ts";
export { Queue, type QueueOptions } from "./queue.ts";
export { type AcquireOptions, type Permit, Semaphore, type SemaphoreOptions } from "./semaphore.ts";
export { submitCapacity } from "./submit-capacity.ts";
export { mapAll, type Mapped, type MapOptions } from "./map-all.ts";
export { perWorker, type PerWorker } from "./per-worker.ts";
export { explain } from "./explain.ts";
export type { Explanation, Reason, ReasonKind } from "../runtime/owner/index.ts";
export { list, summary, type ListOptions, type TaskSummary } from "./state.ts";
export type { ActorRow, EventRow, GroupRow, JobRow, LogRow, NodeRow, ObjectRow, StoreRow, TaskRow, WorkerRow } from "./rows.ts";
export { Counter, Gauge, Histogram, type HistogramOptions, type MetricOptions, type TagValues } from "./metrics.ts";
export { timeline } from "./timeline.ts";
export { remote } from "./remote.ts";
export { Secret, secret } from "./secret.ts";
export { asCompleted, cancel, first, get, getSettled, put, run, wait, type PutOptions } from "./objects.ts";
export { findObjects, free, getObject, type ObjectPlace, placeOfRef } from "./detached.ts";
export { scope, type Scope } from "./scopes.ts";
export { createBuffer, getRange } from "./buffers.ts";
export { actorState, exitActor, getActor, kill, ready } from "./actors.ts";
export type { RuntimeEnv } from "./runtime-env.ts";
export type { Logger } from "./logger.ts";
export { getRuntimeContext, type RuntimeContext } from "./runtime-context.ts";
export { inGroup, onNode, type GroupStrategy, type NodeStrategy, type SchedulingStrategy } from "./strategies.ts";
export { getPlacementGroup, placementGroup, type Bundle, type GroupOptions, type PlacementGroup } from "./placement-groups.ts";
export {
  type ActorOptions,
  type CallOptions,
  type MethodOptions,
  type RetryExceptions,
  type TaskOptions,
} from "./options.ts";
export type { ActorHandle, RefsOf, RemoteArgs, RemoteClass, RemoteFunction, RemoteMethod } from "./types.ts";
export { type DetachOptions, ObjectRef, ObjectRefStream, type StoreBuffer, type WaitOptions } from "../runtime/owner/index.ts";
export { type Encoded, registerSerializer } from "../runtime/serialize/index.ts";
export {
  ActorDeadlockError,
  ActorDiedError,
  ActorError,
  ActorFencedError,
  ActorUnavailableError,
  AlreadyInitializedError,
  AuthenticationError,
  CaptureError,
  CodeStoreFullError,
  CodeUnavailableError,
  ConnectionError,
  DagRunFailedError,
  DeadlineError,
  GetTimeoutError,
  GraphError,
  HeadUnavailableError,
  InfeasibleError,
  InvalidArgumentError,
  NameTakenError,
  NodeDiedError,
  NotFoundError,
  NotInitializedError,
  ObjectFetchTimeoutError,
  ObjectFreedError,
  ObjectLostError,
  ObjectStoreFullError,
  OutOfDiskError,
  OutOfMemoryError,
  OwnerDiedError,
  PendingCallsLimitExceededError,
  PermissionDeniedError,
  PlacementGroupRemovedError,
  QueueClosedError,
  ReconstructionFailedError,
  RefUsedAsValueError,
  RuntimeEnvSetupError,
  SerializationError,
  TaskCancelledError,
  TaskError,
  TaskTimeoutError,
  TroupeError,
  VersionMismatchError,
  WorkerCrashedError,
} from "../runtime/errors.ts";
