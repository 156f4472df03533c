// What the HTTP API sends and takes, as JSON Schemas.

import type { Schema } from "./schema-check.ts";

const text: Schema = { type: "string" };
const time: Schema = { type: "string", format: "date-time" };
const count: Schema = { type: "integer", minimum: 0 };
const bool: Schema = { type: "boolean" };
const texts: Schema = { type: "array", items: text };
const anything: Schema = {};
const record: Schema = { type: "object" };

export const ref = (name: keyof typeof SCHEMAS): Schema => ({ $ref: `#/components/schemas/${name}` });
const own = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });
const list = (name: string): Schema => ({ type: "array", items: own(name) });
const object = (properties: Readonly<Record<string, Schema>>, ...optional: readonly string[]): Schema => ({
  type: "object", properties, required: Object.keys(properties).filter((name) => !optional.includes(name)),
  additionalProperties: false,
});
const RUN_STATES = ["queued", "running", "success", "failed", "cancelled"];
const TASK_STATES = [
  "none", "scheduled", "queued", "running", "deferred", "upForRetry", "success", "failed", "skipped", "upstreamFailed", "removed",
];
export const runState: Schema = { type: "string", enum: RUN_STATES };
const taskState: Schema = { type: "string", enum: TASK_STATES };
const mapIndex: Schema = { anyOf: [{ type: "integer", minimum: 0 }, { type: "array", items: { type: "integer", minimum: 0 } }] };

const SERVED = { id: text, schedule: text, tags: texts, version: count, paused: bool, next: time, activeRuns: count };
const RUN = { id: text, dagId: text, type: text, state: runState, logicalDate: time, startedAt: time, endedAt: time };

export const SCHEMAS = {
  Error: object({ error: object({ code: text, message: text }) }),
  Standing: object(
    { state: runState, at: time, result: anything, error: object({ code: text, message: text }) }, "at", "result", "error",
  ),
  Health: object({ status: text, service: text }),
  Dag: object(SERVED, "next"),
  Dags: object({ dags: list("Dag") }),
  GraphTask: object({
    id: text, kind: text, mapped: bool, upstream: texts, downstream: texts, triggerRule: text, retries: count, pool: text,
    queue: text, doc: text,
  }, "pool", "queue", "doc"),
  DagDetail: object({
    ...SERVED, doc: text, params: record, catchup: bool, maxActiveRuns: count, warnings: texts, tasks: list("GraphTask"),
    mermaid: text,
  }, "next", "doc"),
  DagChange: object({ paused: bool }),
  Times: object({ times: { type: "array", items: time } }),
  Run: object(RUN, "startedAt", "endedAt"),
  RunDetail: object({
    ...RUN, dataInterval: object({ start: time, end: time }), params: record,
    tasks: { type: "object", additionalProperties: count },
  }, "startedAt", "endedAt"),
  Runs: object({ runs: list("Run") }),
  RunRequest: object({ params: record, logicalDate: time }, "params", "logicalDate"),
  Task: object({
    id: text, mapIndex, state: taskState, attempt: count, startedAt: time, endedAt: time, nodeId: text, workerPid: count,
    reason: text,
  }, "mapIndex", "startedAt", "endedAt", "nodeId", "workerPid", "reason"),
  Tasks: object({ tasks: list("Task") }),
  TaskChange: object({ state: { type: "string", enum: ["success", "failed", "skipped"] } }),
  Why: object({
    text, reasons: { type: "array", items: { type: "object", properties: { kind: text, text }, required: ["kind"] } },
  }),
  Event: object({
    seq: count, at: time, type: { type: "string", enum: ["run", "task", "metric", "log", "progress"] }, taskId: text, mapIndex,
    attempt: count, state: text, name: text, value: anything,
  }, "taskId", "mapIndex", "attempt", "state", "name", "value"),
  Events: object({ events: list("Event"), next: count, over: bool }),
  Logs: object({ logs: list("Event") }),
  Result: object({ result: anything }, "result"),
  ClearRequest: object({ task: { anyOf: [text, texts] }, downstream: bool }, "task", "downstream"),
} as const satisfies Readonly<Record<string, Schema>>;
