// The routes of the HTTP API: what each takes and gives. The OpenAPI document is made of this table, and so is the server.

import { NotFoundError } from "../../sdk/index.ts";
import { isOver, type RunState } from "../engine/states.ts";
import { taskOf } from "../engine/plan.ts";
import type { GraphDetail } from "../graph/describe.ts";
import type { DagEvent } from "../run/event-log.ts";
import type { RunBook, RunDetail, RunRow } from "../run/run-book.ts";
import type { ManualRun, ServedDag } from "../serve/dag-server.ts";
import type { Schema } from "./schema-check.ts";
import { Refused } from "./refused.ts";
import { ref, runState } from "./schemas.ts";

/** What is served: a `DagService`, or what the service itself has. */
export interface Served extends RunBook {
  readonly name: string;
  dags(): Promise<ServedDag[]>;
  describe(id: string): Promise<GraphDetail>;
  next(id: string, count?: number): Promise<Date[]>;
  pause(id: string): Promise<void>;
  unpause(id: string): Promise<void>;
  trigger(id: string, options?: ManualRun): Promise<string>;
}

export interface Asked {
  readonly path: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, never>>;
  readonly body: Readonly<Record<string, never>>;
  /** Aborts when nobody reads the answer any more. */
  readonly signal: AbortSignal;
}

export interface Route {
  readonly method: "GET" | "POST" | "PATCH";
  /** With `{name}` for what stands in the path. */
  readonly path: string;
  readonly id: string;
  readonly summary: string;
  readonly query?: Readonly<Record<string, Schema>>;
  readonly body?: Schema;
  readonly status?: number;
  readonly response: Schema;
  /** A line of NDJSON each, as they come. */
  readonly streams?: true;
  /** Answers without the token: it tells nothing. */
  readonly open?: true;
  /** Of a stream: its lines, once it is sure that there will be some. */
  readonly answer: (served: Served, asked: Asked) => Promise<unknown>;
}

const WAIT_MS = 20_000;
const PAGE = 1000;
const limit: Schema = { type: "integer", minimum: 1, maximum: 10_000, default: 100 };
const offset: Schema = { type: "integer", minimum: 0, default: 0 };
const timeoutMs: Schema = {
  type: "integer", minimum: 0, maximum: 86_400_000, description: "Ends after so long; default when the run is over",
};
const RUN = "/dags/{dagId}/runs/{runId}";

async function dagRow(served: Served, id: string): Promise<Omit<ServedDag, "runs">> {
  const found = (await served.dags()).find((dag) => dag.id === id);
  if (found === undefined) throw new NotFoundError(`dag ${id} is not served here`);
  const { runs: _runs, ...row } = found;
  return row;
}

/** A run by its id, if it is one of the graph. */
async function runOf(served: Served, { path: { dagId, runId } }: Asked): Promise<RunDetail> {
  const run = await served.run(runId);
  if (run.dagId === dagId) return run;
  throw new NotFoundError(`dag ${dagId} has no run ${runId}`);
}

async function resultOf(served: Served, asked: Asked): Promise<{ result: unknown }> {
  const { id, state } = await runOf(served, asked);
  if (isOver(state as RunState)) return { result: await served.result(id) };
  throw new Refused(409, "NOT_OVER", `run ${id} is ${state}: its result is not there yet; …/wait tells when it is`);
}

async function eventsOf(served: Served, asked: Asked): Promise<AsyncIterable<DagEvent>> {
  const { id } = await runOf(served, asked);
  const { from = 0 } = asked.query as { from?: number };
  return events(served, id, from, patienceOf(asked));
}

/** How long more to wait: asked anew before each wait. */
type Patience = () => number;

const PATIENT_NOT: Patience = () => 0;

function patienceOf({ query, signal }: Asked): Patience {
  const { timeoutMs: most = Infinity } = query as { timeoutMs?: number };
  const end = performance.now() + most;
  return () => (signal.aborted ? 0 : Math.ceil(Math.min(WAIT_MS, Math.max(0, end - performance.now()))));
}

async function* events(served: Served, id: string, first: number, patience: Patience): AsyncGenerator<DagEvent> {
  for (let from = first, over = false; !over;) {
    const waitMs = patience();
    const page = await served.events(id, { from, limit: PAGE, waitMs });
    yield* page.events;
    if (waitMs === 0 && page.events.length === 0) return;
    ({ next: from, over } = page);
  }
}

async function logsOf(served: Served, asked: Asked): Promise<{ logs: DagEvent[] }> {
  const { taskId } = asked.path;
  const { id } = await runOf(served, asked);
  if (taskId !== undefined) await tasksOf(served, asked);
  const { limit: most = PAGE * 10 } = asked.query as { limit?: number };
  const logs: DagEvent[] = [];
  for await (const event of events(served, id, 0, PATIENT_NOT)) {
    const isOf = taskId === undefined || event.taskId === taskId || taskOf(event.taskId ?? "") === taskId;
    if (event.type !== "run" && event.type !== "task" && isOf && logs.push(event) >= most) break;
  }
  return { logs };
}

async function tasksOf(served: Served, asked: Asked): Promise<{ tasks: unknown[] }> {
  const { id } = await runOf(served, asked);
  const { taskId } = asked.path;
  const tasks = await served.tasks(id);
  const found = taskId === undefined ? tasks : tasks.filter((row) => row.id === taskId || taskOf(row.id) === taskId);
  if (taskId !== undefined && found.length === 0) throw new NotFoundError(`run ${id} has no task ${taskId}`);
  return { tasks: found };
}

async function wait(served: Served, asked: Asked): Promise<AsyncIterable<unknown>> {
  return statesOf(served, (await runOf(served, asked)).id, patienceOf(asked));
}

/** One a line, and the last line with the result or the error; or with neither, when it is not over. */
async function* statesOf(served: Served, id: string, patience: Patience): AsyncGenerator<unknown> {
  for await (const { type, state, at } of events(served, id, 0, patience)) if (type === "run") yield { state, at };
  const { state } = await served.run(id);
  if (!isOver(state as RunState)) return yield { state };
  try {
    yield { state, result: await served.result(id) };
  } catch (error) {
    const { code = "FAILED", message } = error as { code?: string; message: string };
    yield { state, error: { code, message } };
  }
}

/** What is kept of a graph that is not served any more is told too. */
async function runsOf(served: Served, { path: { dagId }, query }: Asked): Promise<{ runs: RunRow[] }> {
  const runs = await served.runs({ dagId, ...(query as object) });
  if (runs.length === 0) await dagRow(served, dagId);
  return { runs };
}

const changed = (change: (served: Served, asked: Asked) => Promise<unknown>): Route["answer"] => (
  async (served, asked) => (await runOf(served, asked), change(served, asked))
);

export const ROUTES: readonly Route[] = [
  {
    method: "GET", path: "/health", id: "health", summary: "Whether the service answers", response: ref("Health"), open: true,
    answer: async ({ name }) => ({ status: "ok", service: name }),
  },
  {
    method: "GET", path: "/dags", id: "listDags", summary: "The graphs that are served", response: ref("Dags"),
    answer: async (served) => ({ dags: (await served.dags()).map(({ runs: _runs, ...row }) => row) }),
  },
  {
    method: "GET", path: "/dags/{dagId}", id: "getDag", summary: "A graph: its tasks, options and warnings",
    response: ref("DagDetail"),
    answer: async (served, { path: { dagId } }) => ({ ...(await dagRow(served, dagId)), ...(await served.describe(dagId)) }),
  },
  {
    method: "PATCH", path: "/dags/{dagId}", id: "changeDag", summary: "Pauses it, or lets it go on", body: ref("DagChange"),
    response: ref("Dag"),
    answer: async (served, { path: { dagId }, body }) => {
      await (body.paused ? served.pause(dagId) : served.unpause(dagId));
      return dagRow(served, dagId);
    },
  },
  {
    method: "GET", path: "/dags/{dagId}/next", id: "nextTimes", summary: "When it is due next",
    query: { count: { type: "integer", minimum: 1, maximum: 1000, default: 1 } }, response: ref("Times"),
    answer: async (served, { path: { dagId }, query: { count } }) => ({ times: await served.next(dagId, count) }),
  },
  {
    method: "GET", path: "/runs", id: "listRuns", summary: "Runs of all graphs, the newest first",
    query: { state: runState, limit, offset }, response: ref("Runs"),
    answer: async (served, { query }) => ({ runs: await served.runs(query) }),
  },
  {
    method: "GET", path: "/dags/{dagId}/runs", id: "listRunsOfDag", summary: "Runs of a graph, the newest first",
    query: { state: runState, limit, offset }, response: ref("Runs"),
    answer: runsOf,
  },
  {
    method: "POST", path: "/dags/{dagId}/runs", id: "triggerRun", summary: "Starts a run", body: ref("RunRequest"), status: 201,
    response: ref("RunDetail"),
    answer: async (served, { path: { dagId }, body }) => served.run(await served.trigger(dagId, body)),
  },
  { method: "GET", path: RUN, id: "getRun", summary: "A run", response: ref("RunDetail"), answer: runOf },
  {
    method: "GET", path: `${RUN}/wait`, id: "waitForRun",
    summary: "Its states until it is over; the last line has its result, or why not",
    query: { timeoutMs }, response: ref("Standing"), streams: true, answer: wait,
  },
  {
    method: "GET", path: `${RUN}/events`, id: "streamEvents", summary: "Everything it has told and will tell",
    query: { from: offset, timeoutMs }, response: ref("Event"), streams: true, answer: eventsOf,
  },
  {
    method: "GET", path: `${RUN}/result`, id: "getResult", summary: "Its result, once it is there", response: ref("Result"),
    answer: resultOf,
  },
  {
    method: "GET", path: `${RUN}/tasks`, id: "listTasks", summary: "Its tasks and their instances", response: ref("Tasks"),
    answer: tasksOf,
  },
  {
    method: "GET", path: `${RUN}/tasks/{taskId}`, id: "getTask", summary: "A task with its instances, or one of them",
    response: ref("Tasks"), answer: tasksOf,
  },
  {
    method: "PATCH", path: `${RUN}/tasks/{taskId}`, id: "markTask", summary: "Gives it another end by hand",
    body: ref("TaskChange"), response: ref("Run"),
    answer: changed((served, { path: { runId, taskId }, body: { state } }) => served.mark(runId, taskId, state)),
  },
  {
    method: "GET", path: `${RUN}/tasks/{taskId}/why`, id: "whyTask", summary: "Why it is where it is", response: ref("Why"),
    answer: changed((served, { path: { runId, taskId } }) => served.why(runId, taskId)),
  },
  {
    method: "GET", path: `${RUN}/tasks/{taskId}/logs`, id: "logsOfTask",
    summary: "What it has told: logs, metrics, progress, errors", query: { limit }, response: ref("Logs"), answer: logsOf,
  },
  {
    method: "GET", path: `${RUN}/logs`, id: "logsOfRun", summary: "What its tasks have told", query: { limit },
    response: ref("Logs"), answer: logsOf,
  },
  {
    method: "POST", path: `${RUN}/clear`, id: "clearRun", summary: "Runs tasks again; those that failed, or those that are named",
    body: ref("ClearRequest"), response: ref("Run"),
    answer: changed((served, { path: { runId }, body }) => served.clear(runId, body)),
  },
  {
    method: "POST", path: `${RUN}/resume`, id: "resumeRun", summary: "Runs again what has not succeeded", response: ref("Run"),
    answer: changed((served, { path: { runId } }) => served.resume(runId)),
  },
  {
    method: "POST", path: `${RUN}/cancel`, id: "cancelRun", summary: "Ends it", response: ref("Run"),
    answer: changed((served, { path: { runId } }) => served.cancel(runId)),
  },
];
