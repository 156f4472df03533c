// The trace of tasks in Chrome's format: what ran on which track, what waited, and that no track has two things at once.

import { expect, test } from "vitest";
import type { TaskRow } from "../../../sdk/rows.ts";
import { type TraceEvent, traceOf } from "../../../sdk/trace.ts";

let count = 0;
function rowOf(given: Partial<TaskRow>): TaskRow {
  count += 1;
  return {
    id: `t${count}`, name: "work", state: "FINISHED", attempt: 0, nodeId: "n1", workerId: "w1", workerPid: 7, actorId: "",
    errorCode: "", jobId: "j", ownerId: "o", submittedAt: 1000, ...given,
  };
}
const ended = (from: number, runMs: number, given: Partial<TaskRow> = {}): TaskRow => (
  rowOf({ startedAt: from, runMs, endedAt: from + runMs + 1, ...given })
);
const trace = (rows: readonly TaskRow[], now = 5000): TraceEvent[] => [...traceOf(rows, now)];
const spans = (events: readonly TraceEvent[]): TraceEvent[] => events.filter(({ ph }) => ph === "X");

test("a task has its wait and its run, in microseconds since the first event", () => {
  const events = trace([ended(1250.5, 100)]);
  expect(spans(events)).toMatchObject([{ name: "work", cat: "task", ts: 250_500, dur: 100_000, args: { queuedMs: 250.5 } }]);
  const wait = events.filter(({ ph }) => ph === "b" || ph === "e");
  expect(wait.map(({ ph, ts, cat, id }) => [ph, ts, cat, id])).toEqual([["b", 0, "queue", "t1"], ["e", 250_500, "queue", "t1"]]);
});

test("nodes are processes, workers are tracks, and each says its name", () => {
  const events = trace([
    ended(1100, 10), ended(1200, 10, { workerId: "w2", workerPid: 8 }),
    ended(1200, 10, { nodeId: "n2", workerId: "w3", workerPid: 7 }),
  ]);
  const [one, two, three] = spans(events);
  expect(one.pid).toBe(two.pid);
  expect(one.tid).not.toBe(two.tid);
  expect(three.pid).not.toBe(one.pid);
  const names = events.filter(({ ph }) => ph === "M").map(({ args }) => args?.name);
  expect(names).toEqual(expect.arrayContaining(["node n1", "node n2", "worker 7", "worker 8"]));
});

test("calls that ran at the same time lie on tracks of their own; those that follow one another share one", () => {
  const rows = Array.from({ length: 200 }, (_, i) => (
    ended(1000 + i * 7.3331, (i % 5) * 9.777, { actorId: "a", workerId: `w${i % 3}` })
  ));
  const tracks = new Map<number, TraceEvent[]>();
  for (const span of spans(trace(rows))) tracks.set(span.tid, [...(tracks.get(span.tid) ?? []), span]);
  expect([...tracks.values()].flat()).toHaveLength(200);
  for (const track of tracks.values()) {
    track.sort((one, other) => (one.ts as number) - (other.ts as number));
    track.slice(1).forEach((span, i) => {
      const before = track[i];
      expect(span.ts).toBeGreaterThanOrEqual((before.ts as number) + (before.dur as number));
    });
  }
  const sequential = spans(trace(Array.from({ length: 50 }, (_, i) => ended(2000 + i, 1.001))));
  expect(new Set(sequential.map(({ tid }) => tid)).size).toBe(1);
});

test("what runs now ends now, after what its worker ran before; what never ran only waits", () => {
  const events = trace([
    ended(1100, 400), rowOf({ state: "RUNNING" }), rowOf({ state: "QUEUED", workerId: "", nodeId: "" }),
    rowOf({ state: "FAILED", endedAt: 1500, errorCode: "INFEASIBLE", workerId: "", nodeId: "" }),
  ]);
  expect(spans(events)).toHaveLength(2);
  expect(spans(events)[1]).toMatchObject({ ts: 500_000, dur: 3_500_000, args: { state: "RUNNING" } });
  const waits = events.filter(({ ph }) => ph === "e").map(({ ts }) => ts);
  expect(waits.sort((one, other) => (one ?? 0) - (other ?? 0))).toEqual([100_000, 500_000, 500_000, 4_000_000]);
});
