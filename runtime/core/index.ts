// The pure machines: events in, effects out, no clock, no input or output.
export { ActorCalls, type ActorCallLife, type ActorClientState } from "./actor-calls.ts";
export { ActorDirectory, type DirectoryInfo, type NodeLoss } from "./actor-directory.ts";
export { newActorLife, stepActor, type ActorEffect, type ActorEvent, type ActorLife, type ActorState } from "./actor-life.ts";
export { actorTag } from "./actor-tag.ts";
export { CallOrder, KEPT_BYTES, WINDOW, type Arrival, type KeptBytes } from "./call-order.ts";
export { CallSlots, type SlotCall, type SlotLimits } from "./call-slots.ts";
export { Deque } from "./deque.ts";
export { StreamIntake, StreamOutlet, type ItemArrival, type StreamPosition } from "./item-stream.ts";
export { HostBook, type Host, type HostLimits } from "./host-book.ts";
export { KeptBook, type Lifetime } from "./kept-book.ts";
export { LeasePool, STUCK_MS, type PooledLease, type PooledTask } from "./lease-pool.ts";
export { reliefOf, type MemoryHolder, WORTHWHILE_BYTES } from "./memory-relief.ts";
export {
  DEAD_NODES_KEPT, LOOK_EVERY_MS, Membership, NODE_FENCE_MS, NODE_SILENCE_MS, type MembershipEffect, type MembershipEvent,
} from "./membership.ts";
export { Lineage, type EndedTask, type Making, type Rerun, type Unmakeable } from "./lineage.ts";
export { endStory, objectEndOf, type ObjectEnd } from "./object-end.ts";
export { stepObject, type ObjectEffect, type ObjectEvent, type ObjectState } from "./object-life.ts";
export {
  addLocal, changeBorrower, dropLocal, forgetBorrower, isFree, newReferenceCount, type ReferenceCount,
} from "./reference-count.ts";
export { Replicas, type CopyOrder } from "./replicas.ts";
export { joinRows, selectRows, type StateQuery, type StateRowsFound } from "./state-query.ts";
export { Silence, type SilenceOptions } from "./silence.ts";
export {
  isEnded, newTaskLife, retryDelay, stepTask, type RetryDelays, type TaskEffect, type TaskEvent, type TaskLife,
} from "./task-life.ts";
export { CodeBook, type CodeDraft, type CodePlace, type KnownCode } from "./code-book.ts";
export { once } from "./once.ts";
export { Recent } from "./recent.ts";
export { Gate } from "./gate.ts";
export { MetricDeltas, type MetricChange, type MetricDefinition } from "./metric-deltas.ts";
export { metricText, MetricTotals, type Labels } from "./metric-totals.ts";
export { ChunkSet } from "./chunk-set.ts";
export { CopyDirectory, type CopySources } from "./copy-directory.ts";
export { Transfer, type ChunkAsk, type PartOf } from "./transfer.ts";
export { TransferQueue, TRANSFER_KINDS, type TransferKind, type TransferLimits } from "./transfer-queue.ts";
