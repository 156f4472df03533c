// Seats of actors that share a process: room is counted, no worker is taken, each order is served once.

import { expect, test } from "vitest";
import { nodeView, order, QueueHarness, units } from "./queue-harness.ts";

const seat = (actor: string, cpu = 0, more = {}) => (
  order({ origin: `actor:${actor}`, schedulingClass: 0, resources: units({ CPU: cpu }), seatOf: actor, forActor: true, ...more })
);

test("a seat takes no worker, holds what it asks for until its actor is gone, and is served once", () => {
  const harness = new QueueHarness({ CPU: 2 });
  harness.step(seat("a", 1.5), seat("b"), seat("c", 1));
  expect(harness.of("seat").map(({ origin }) => origin)).toEqual(["actor:a", "actor:b"]);
  expect(harness.of("startWorker")).toEqual([]);
  expect(harness.queue.backlog).toBe(1);
  harness.step({ kind: "actorGone", actor: "a" });
  expect(harness.of("seat").map(({ origin }) => origin)).toEqual(["actor:a", "actor:b", "actor:c"]);
  expect([harness.queue.backlog, harness.queue.pool.available]).toEqual([0, units({ CPU: 1 })]);
  for (const actor of ["b", "c"]) harness.step({ kind: "processGone", origin: `actor:${actor}` }, { kind: "actorGone", actor });
  expect(harness.queue.pool.available).toEqual(units({ CPU: 2 }));
});

test("goes where there is room, and waits for its environment", () => {
  const harness = new QueueHarness({ CPU: 1 });
  harness.step({ kind: "viewChanged", nodes: [nodeView("here", { CPU: 1 }), nodeView("there", { CPU: 4 })] });
  harness.step(seat("a", 2));
  expect(harness.of("forward")[0]).toMatchObject({ node: "there", request: { origin: "actor:a", wanted: 1 } });
  harness.step(seat("b", 0, { environment: "env" }));
  expect(harness.of("seat")).toEqual([]);
  harness.step({ kind: "environmentReady", jobId: "job", environment: "env" });
  expect(harness.of("seat")).toHaveLength(1);
});
