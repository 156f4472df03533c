// Tasks and actor calls as a trace in Chrome's format, which https://ui.perfetto.dev opens: a process for each node, in it a
// track for each worker with what it ran, and when each of them waited.
//
// Times are microseconds since the first event. Clocks of machines are taken as they are.

import type { TaskRow } from "./rows.ts";

export interface TraceEvent {
  /** X: a span. b, e: begin and end of one that may overlap others. M: a name. */
  readonly ph: "X" | "b" | "e" | "M";
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  readonly cat?: string;
  readonly id?: string;
  readonly args?: Readonly<Record<string, unknown>>;
}

/** A call of user code. */
interface Run {
  readonly row: TaskRow;
  readonly from: number;
  readonly to: number;
}

/** Two that follow one another may seem to overlap by what rounding takes. */
const OVERLAP_MICROS = 2;
/** Of tasks that no worker ran. */
const NOWHERE = 0;

/** `now`: milliseconds since 1970, the end of what has not ended. */
export function* traceOf(rows: readonly TaskRow[], now: number): Generator<TraceEvent> {
  const zero = rows.reduce((first, row) => Math.min(first, row.submittedAt, row.startedAt ?? first), now);
  const micros = (ms: number): number => Math.max(0, Math.round((ms - zero) * 1000));
  const nodes = new Map<string, number>();
  yield* named("process_name", NOWHERE, 0, "not started");
  const byWorker = new Map<string, TaskRow[]>();
  for (const row of rows) {
    if (!nodes.has(row.nodeId) && row.nodeId !== "") {
      nodes.set(row.nodeId, nodes.size + 1);
      yield* named("process_name", nodes.size, 0, `node ${row.nodeId}`);
    }
    if (!hasRun(row)) {
      yield* waiting(row, nodes.get(row.nodeId) ?? NOWHERE, micros(row.submittedAt), micros(row.endedAt ?? now));
      continue;
    }
    const ofWorker = byWorker.get(row.workerId);
    if (ofWorker === undefined) byWorker.set(row.workerId, [row]);
    else ofWorker.push(row);
  }
  let track = 1;
  for (const ofWorker of byWorker.values()) {
    const pid = nodes.get(ofWorker[0].nodeId) ?? NOWHERE;
    const lanes = lanesOf(runsOf(ofWorker, micros, micros(now)));
    for (const [lane, runs] of lanes.entries()) {
      const suffix = lane === 0 ? "" : ` · ${lane + 1}`;
      yield* named("thread_name", pid, track, `worker ${ofWorker[0].workerPid}${suffix}`);
      for (const run of runs) yield* ran(run, pid, track, micros(run.row.submittedAt));
      track += 1;
    }
  }
}

function hasRun({ workerId, startedAt, state }: TaskRow): boolean {
  return workerId !== "" && (startedAt !== undefined || state === "RUNNING");
}

function* named(name: string, pid: number, tid: number, given: string): Generator<TraceEvent> {
  yield { ph: "M", name, pid, tid, args: { name: given } };
}

function* waiting(row: TaskRow, pid: number, from: number, to: number): Generator<TraceEvent> {
  const common = { name: `${row.name} (queued)`, cat: "queue", id: row.id, pid, tid: 0 };
  yield { ph: "b", ...common, ts: from, args: { state: row.state } };
  yield { ph: "e", ...common, ts: Math.max(from, to) };
}

function* ran({ row, from, to }: Run, pid: number, tid: number, submitted: number): Generator<TraceEvent> {
  const { id, name, actorId, attempt, state, errorCode, ownerId, jobId } = row;
  yield* waiting(row, pid, submitted, from);
  yield {
    ph: "X", name, cat: actorId === "" ? "task" : "actor call", pid, tid, ts: from, dur: to - from,
    args: { id, attempt, state, ownerId, jobId, queuedMs: Math.max(0, from - submitted) / 1000, ...(errorCode && { errorCode }) },
  };
}

/** In the order of their starts. When those started that have not ended is not known: after what the worker ran before. */
function runsOf(rows: readonly TaskRow[], micros: (ms: number) => number, now: number): Run[] {
  const ended = rows.filter(({ startedAt }) => startedAt !== undefined).map((row) => {
    const from = micros(row.startedAt as number);
    return { row, from, to: from + Math.round((row.runMs ?? 0) * 1000) };
  });
  const last = ended.reduce((latest, { to }) => Math.max(latest, to), 0);
  const running = rows.filter(({ state }) => state === "RUNNING").map((row) => {
    const from = Math.max(micros(row.submittedAt), last);
    return { row, from, to: Math.max(from, now) };
  });
  return [...ended, ...running].sort((one, other) => one.from - other.from);
}

/** Calls that ran at the same time lie side by side. */
function lanesOf(runs: readonly Run[]): Run[][] {
  const lanes: Run[][] = [];
  for (const run of runs) {
    const lane = lanes.find((one) => (one.at(-1) as Run).to <= run.from + OVERLAP_MICROS);
    if (lane === undefined) {
      lanes.push([run]);
    } else {
      const from = Math.max(run.from, (lane.at(-1) as Run).to);
      lane.push({ ...run, from, to: Math.max(from, run.to) });
    }
  }
  return lanes;
}
