// What drivers and workers embed: the session and its vocabulary.
export { Session, type SessionParts } from "./session.ts";
export { Link, processSocket, TEMPLATES_A_LINK, type ProcessAddress } from "./links.ts";
export {
  type DetachOptions, ObjectEntry, ObjectRef, entryOf, isRef, objectIdOf, setDetachCheck, type WaitOptions,
} from "./object-ref.ts";
export { anonymousNamespace, ANONYMOUS_BYTES, lastingNamespace } from "./namespaces.ts";
export {
  coreOf, factsOf, handleOf, HandleCore, isGenerator, isHandle, methodsOf, optionsOf, RETRY_ALL, setCallCheck, streamsOf,
  type CallOptions, type HandleFacts, type HandleOptions,
} from "./actor-handle.ts";
export { INLINE_TOTAL_BYTES } from "./values.ts";
export { cancelAll } from "./cancelling.ts";
export { StoreBuffer } from "./raw-buffers.ts";
export { heldRef } from "./borrowing.ts";
export { isStream, type Made, ObjectRefStream } from "./object-ref-stream.ts";
export { STREAM_AHEAD } from "./calling.ts";
export { AttemptEnding, type Attempt, type RunningAttempts } from "./context.ts";
export { NO_CHAIN } from "./limits.ts";
export type { CancelOptions } from "./abandoned.ts";
export { TaskRecord, type SchedulingClass, type TaskLease, type TaskTemplate } from "./task-record.ts";
export { type Ask, type Explanation, explainId, type Reason, type ReasonKind, type Told } from "./explanation.ts";
export { sendHeartbeat } from "./heartbeats.ts";
export { explainHere } from "./explain-here.ts";
export { type TaskStart, taskStart } from "./task-start.ts";
export type { RetryOn } from "./outcome.ts";
export type { WireValue } from "./wire-value.ts";
export type { Equipment, Finalizers } from "./equipment.ts";
export type { EnvironmentRequest, EnvironmentUse } from "./environments.ts";
export { metricDeltas } from "./metrics-report.ts";
export { join, type JoinOptions } from "./join.ts";
export {
  clearSession, currentSession, findSession, isInPlace, type Place, setAutoStart, setPlaces, setSession,
} from "./connection.ts";
export { systemEquipment } from "./equipment.ts";
