// Orchestration: `import { task, dag } from "troupe/dag"`.

export { dag, type Dag, type TestOptions } from "./dag.ts";
export { DagRunFailedError, GraphError } from "../sdk/index.ts";
export type { RunState, TaskState } from "./engine/states.ts";
export type { TriggerRule } from "./engine/trigger-rules.ts";
export { branch, type Branch, chain, cross, setup, shortCircuit, teardown, type TeardownOptions } from "./graph/control.ts";
export type { DagOptions, DagSchedule, ParamNodes, Result } from "./graph/dag.ts";
export type { GraphDetail, GraphTaskRow } from "./graph/describe.ts";
export type { Deadline, Retention } from "./graph/run-limits.ts";
export type { StandardSchema } from "./graph/schema.ts";
export { group, latestOnly, loop, type LoopOptions, noop, type ParametrisedGroup, zip } from "./graph/group.ts";
export type { Endpoint, In, Node } from "./graph/node.ts";
export type { Callback, CallbackInfo, Callbacks, DagTaskOptions } from "./graph/options.ts";
export { pool, type Pool } from "./graph/pool.ts";
export { task, type DagTask } from "./graph/task.ts";
export { connection, type Connection, setConnection, variable, type Variable } from "./operators/connection.ts";
export { type FileFormat, type ListInputs, listFiles, loadFile, type LoadInputs } from "./operators/files.ts";
export { http, type HttpInputs, type HttpResponse } from "./operators/http.ts";
export { type EmailOptions, type Notifier, notify, type SlackOptions, type WebhookOptions } from "./operators/notify.ts";
export { defineOperator, type Operator, type OperatorDefinition } from "./operators/operator.ts";
export { assetSensor, fileSensor, sensor, type SensorOptions, timeSensor } from "./operators/sensor.ts";
export { bash, sh, type ShellTag } from "./operators/shell.ts";
export { trigger, type TriggerOptions } from "./operators/trigger.ts";
export { sql, type SqlTag } from "./operators/sql.ts";
export type { Backfill, BackfillOptions, PlannedRun } from "./run/backfill.ts";
export { ctx, type RunSummary, type TaskContext } from "./run/context.ts";
export type { InstanceName } from "./engine/plan.ts";
export type { DagRun } from "./run/dag-run.ts";
export type { TaskInstanceRow } from "./run/rows.ts";
export type { DagEvent, EventPage } from "./run/event-log.ts";
export type { ClearWhat, EventsFrom, RunBook, RunDetail, RunFilter, RunRow } from "./run/run-book.ts";
export type { Reason, Why } from "./run/why.ts";
export {
  diff, type Difference, type InputProvenance, provenance, reproduce, type Reproduction, type RunDiff, type RunProvenance,
  type TaskProvenance,
} from "./run/provenance.ts";
export type { RunEnvironment } from "./journal/environment.ts";
export type { Origin } from "./journal/records.ts";
export { clear, getRun, mark, resume, type ResumeOptions } from "./run/run-registry.ts";
export { VirtualClock } from "./run/clock.ts";
export type { ServedDag, ManualRun } from "./serve/dag-server.ts";
export { type AnyDag, dagsIn, type FolderOfDags } from "./serve/folder.ts";
export { dagService, type DagService, serveDags, type ServeOptions } from "./serve/serve.ts";
export { defineStore, store, type StoreDefinition } from "./stores/define-store.ts";
export type { HttpPlace } from "./stores/http-store.ts";
export type { S3Place } from "./stores/s3-bucket.ts";
export type { ByteRange, Content, Store, StoredFile } from "./stores/store.ts";
export type { ApiPlace } from "./api/server.ts";
export { all, any, asset, type Asset, type AssetEvent, type AssetExpression } from "./time/assets.ts";
export { cron, type CronOptions, every, type Timetable } from "./time/timetable.ts";
