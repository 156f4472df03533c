// What drivers and workers embed: the session and its vocabulary.
export { Session, type SessionParts } from "./session.ts";
export { Link, processSocket, TEMPLATES_A_LINK, type ProcessAddress } from "./links.ts";
export {
  type DetachOptions, ObjectEntry, ObjectRef, entryOf, heldRef, isRef, objectIdOf, setDetachCheck, type WaitOptions,
} from "./objects/object-ref.ts";
export { anonymousNamespace, ANONYMOUS_BYTES, lastingNamespace } from "./namespaces.ts";
export {
  coreOf, factsOf, handleOf, HandleCore, isGenerator, isHandle, methodsOf, optionsOf, RETRY_ALL, setCallCheck, streamsOf,
  type CallOptions, type HandleFacts, type HandleOptions,
} from "./actors/actor-handle.ts";
export { INLINE_TOTAL_BYTES } from "./values/values.ts";
export { cancelAll } from "./tasks/cancelling.ts";
export { StoreBuffer } from "./objects/raw-buffers.ts";
export { isStream, type Made, ObjectRefStream } from "./streams/object-ref-stream.ts";
export { STREAM_AHEAD } from "./tasks/calling.ts";
export { AttemptEnding, type Attempt, type RunningAttempts } from "./context.ts";
export { NO_CHAIN } from "./tasks/limits.ts";
export type { CancelOptions } from "./tasks/abandoned.ts";
export { TaskRecord, type SchedulingClass, type TaskLease, type TaskTemplate } from "./tasks/task-record.ts";
export { type Ask, type Explanation, explainId, type Reason, type ReasonKind, type Told } from "./reports/explanation.ts";
export { sendHeartbeat } from "./tasks/heartbeats.ts";
export { listenTo, sendNote } from "./tasks/notes.ts";
export { explainHere } from "./reports/explain-here.ts";
export { type TaskStart, taskStart } from "./tasks/task-start.ts";
export type { RetryOn } from "./tasks/outcome.ts";
export { thrownIn, type WireValue } from "./values/wire-value.ts";
export type { Equipment, Finalizers } from "./equipment.ts";
export type { EnvironmentRequest, EnvironmentUse } from "./environments.ts";
export { metricDeltas } from "./reports/metrics-report.ts";
export { join, type JoinOptions } from "./join.ts";
export {
  clearSession, currentSession, findSession, isInPlace, type Place, setAutoStart, setPlaces, setSession,
} from "./connection.ts";
export { systemEquipment } from "./equipment.ts";
