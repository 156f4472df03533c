// Reasons put together from what the parts of a cluster tell; states that are over too soon to be met in a real one.

import { expect, test } from "vitest";
import { type Ask, explainId, type ReasonKind } from "../../runtime/owner/reports/explanation.ts";

type Rows = Readonly<Record<string, readonly object[]>>;

/** `rows` by kind and id; `silent` processes do not answer. */
async function kinds(rows: Rows, silent: readonly string[] = [], id = "p.1"): Promise<ReasonKind[]> {
  const ask: Ask = async (kind, about, process = "") => ({
    rows: silent.includes(process) ? [] : (rows[`${kind} ${about}${process === "w" ? " w" : ""}`] ?? []) as never,
    missing: silent.includes(process) ? [`process ${process}: no answer`] : [],
  });
  const { text, reasons } = await explainId(id, ask);
  expect(text).toBe(reasons.map((reason) => reason.text).join("\n"));
  for (const reason of reasons) expect(reason.text).not.toMatch(/undefined|NaN|\[object/);
  return reasons.map(({ kind }) => kind);
}

const task = {
  id: "p.1", as: "task", taskId: "p.1", name: "f", attempt: 0, ageMs: 5, waitsFor: [], resources: { CPU: 10_000 }, orderId: "p/1",
  queued: 2, leases: 0, joined: true, environmentReady: true,
};
const pushed = { ...task, state: "SUBMITTED", workerId: "w", workerPid: 7, nodeId: "n", runningMs: 3 };
const call = {
  id: "p.1", as: "call", taskId: "p.1", name: "A.f", actorId: "p.2", className: "A", actorState: "alive", isSent: true,
  waitsFor: [], nodeId: "n", workerId: "w", workerPid: 7, ageMs: 5,
};

test("a queued task: joining, its environment, every reason of an agent, a lease", async () => {
  const queued = { ...task, state: "QUEUED" };
  expect(await kinds({ "waits p.1": [{ ...queued, joined: false }] })).toEqual(["joining"]);
  expect(await kinds({ "waits p.1": [{ ...queued, environmentReady: false }] })).toEqual(["environment"]);
  expect(await kinds({ "waits p.1": [queued] })).toEqual(["lease"]);
  expect(await kinds({ "waits p.1": [{ ...queued, leases: 1 }] })).toEqual(["lease"]);
  for (const reason of ["infeasible", "group", "resources", "environment", "worker"]) {
    const order = { reason, text: "why", nodeId: "n", resources: { CPU: 1 }, isKept: false };
    expect(await kinds({ "waits p.1": [queued], "orders p/1": [order] })).toEqual([reason]);
  }
});

test("a task at its worker: behind another, running, waiting, blocked", async () => {
  expect(await kinds({ "waits p.1": [pushed] })).toEqual(["pipeline"]);
  const attempt = { as: "attempt", waitsFor: ["p.9"] };
  expect(await kinds({ "waits p.1": [pushed], "waits p.1 w": [attempt] })).toEqual(["running", "waiting", "unknown"]);
  expect(await kinds({ "waits p.1": [pushed] }, ["w"])).toEqual(["running", "blocked"]);
});

test("cycles end: a task that waits for one that waits for it", async () => {
  const waiting = (id: string, other: string) => ({ ...task, id, taskId: id, state: "WAITING_FOR_ARGUMENTS", waitsFor: [other] });
  expect(await kinds({ "waits p.1": [waiting("p.1", "p.2")], "waits p.2": [waiting("p.2", "p.1")] }))
    .toEqual(["arguments", "arguments"]);
});

test("a call: on its way, in the queue, before the constructor has run, arguments fetched, actor lost", async () => {
  const received = { as: "received", isRunning: false, hasArguments: true, isConstructed: true, ahead: 2, running: ["A.g"] };
  expect(await kinds({ "waits p.1": [call] })).toEqual(["actor-queue"]);
  expect(await kinds({ "waits p.1": [call], "waits p.1 w": [received] })).toEqual(["actor-queue"]);
  expect(await kinds({ "waits p.1": [call], "waits p.1 w": [{ ...received, isConstructed: false }] }))
    .toEqual(["actor-constructing"]);
  expect(await kinds({ "waits p.1": [call], "waits p.1 w": [{ ...received, hasArguments: false }] })).toEqual(["fetching"]);
  expect(await kinds({ "waits p.1": [call] }, ["w"])).toEqual(["blocked"]);
  expect(await kinds({ "waits p.1": [{ ...call, actorState: "lost" }] })).toEqual(["actor-lost"]);
  const actor = { id: "p.2", className: "A", state: "RESTARTING", nodeId: "", restarts: 1 };
  expect(await kinds({ "waits p.1": [{ ...call, isSent: false }], "actors p.2": [actor] }))
    .toEqual(["actor-queue", "actor-restarting"]);
});

test("an object: on its way to another node, being put, of an owner that is silent or gone", async () => {
  const stored = { as: "object", state: "READY", size: 9, place: "n/1/2", nodeId: "n" };
  const copy = { id: "n/1/2", nodeId: "m", source: "n" };
  expect(await kinds({ "waits p.1": [stored], "copies n/1/2": [copy] })).toEqual(["fetching"]);
  expect(await kinds({ "waits p.1": [stored] })).toEqual(["ready"]);
  expect(await kinds({ "waits p.1": [{ as: "object", state: "PENDING" }] })).toEqual(["unsettled"]);
  expect(await kinds({}, ["p"])).toEqual(["owner-blocked"]);
  expect(await kinds({})).toEqual(["unknown"]);
});
