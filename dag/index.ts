// Orchestration: `import { task, dag } from "troupe/dag"`.

export { dag, type Dag, type TestOptions } from "./dag.ts";
export { DagRunFailedError, GraphError } from "../sdk/index.ts";
export type { RunState, TaskState } from "./engine/states.ts";
export type { TriggerRule } from "./engine/trigger-rules.ts";
export { branch, type Branch, chain, cross, setup, shortCircuit, teardown, type TeardownOptions } from "./graph/control.ts";
export type { DagOptions, DagSchedule, ParamNodes, Result, StandardSchema } from "./graph/dag.ts";
export { group, latestOnly, loop, type LoopOptions, noop, type ParametrisedGroup, zip } from "./graph/group.ts";
export type { Endpoint, In, Node } from "./graph/node.ts";
export type { Callback, CallbackInfo, Callbacks, DagTaskOptions } from "./graph/options.ts";
export { pool, type Pool } from "./graph/pool.ts";
export { task, type DagTask } from "./graph/task.ts";
export { connection, type Connection, setConnection, variable, type Variable } from "./operators/connection.ts";
export { http, type HttpInputs, type HttpResponse } from "./operators/http.ts";
export { notify } from "./operators/notify.ts";
export { defineOperator, type Operator, type OperatorDefinition } from "./operators/operator.ts";
export { fileSensor, sensor, type SensorOptions, timeSensor } from "./operators/sensor.ts";
export { bash, sh } from "./operators/shell.ts";
export type { Backfill, BackfillOptions, PlannedRun } from "./run/backfill.ts";
export { ctx, type RunSummary, type TaskContext } from "./run/context.ts";
export type { DagRun, TaskInstanceRow } from "./run/dag-run.ts";
export type { DagEvent } from "./run/event-log.ts";
export type { Reason, Why } from "./run/why.ts";
export { clear, mark, resume } from "./run/run-registry.ts";
export { all, any, asset, type Asset, type AssetEvent, type AssetExpression } from "./time/assets.ts";
export { cron, type CronOptions, every, type Timetable } from "./time/timetable.ts";
