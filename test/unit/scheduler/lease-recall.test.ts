// Leases of owners that do not answer: their workers are asked, and what the owners wanted is kept for nobody.

import { describe, expect, test } from "vitest";
import { IDLE_SLICES } from "../../../scheduler/lease-recall.ts";
import { nodeView, order, QueueHarness, units } from "./queue-harness.ts";

/** As many slices as it takes until workers are asked. */
function waitLong(node: QueueHarness) {
  const effects = [];
  for (let slice = 0; slice < IDLE_SLICES; slice += 1) effects.push(...node.step({ kind: "sliceElapsed" }));
  return node.of("askIdle", effects);
}

/** A node whose CPUs are leased to `blocked`, which wants more, while `other` waits. */
function starved(): QueueHarness {
  const node = new QueueHarness({ CPU: 2 });
  node.step(order({ origin: "blocked", wanted: 9 }));
  node.step(order({ origin: "other", wanted: 1 }));
  return node;
}

describe("leases whose owner does not give them back", () => {
  test("are asked of their workers after a while, again and again", () => {
    const node = starved();
    const asked = [{ lease: "L1", worker: "w1" }, { lease: "L2", worker: "w2" }];
    expect(waitLong(node)).toMatchObject(asked);
    expect(waitLong(node)).toMatchObject(asked);
  });

  test("are not while nobody else waits, nor while their worker waits in a task", () => {
    const alone = new QueueHarness({ CPU: 2 });
    alone.step(order({ origin: "blocked", wanted: 9 }));
    expect(waitLong(alone)).toEqual([]);
    const node = starved();
    node.step({ kind: "suspended", lease: "L1" });
    expect(waitLong(node).some(({ lease }) => lease === "L1")).toBe(false);
  });

  test("serve others when their worker lets go; the owner is told, and gets nothing before it asks anew", () => {
    const node = starved();
    waitLong(node);
    const effects = node.step({ kind: "workerIdle", lease: "L1" });
    expect(effects).toMatchObject([
      { kind: "askBack", origin: "blocked", lease: "L1", reason: "idle" },
      { kind: "grant", origin: "other" },
    ]);
    expect(node.step({ kind: "workerIdle", lease: "L2" })).toMatchObject([{ kind: "askBack", lease: "L2", reason: "idle" }]);
    expect(node.queue.waiting(9)).toEqual([]);
    // It reads what it was told: it gives back what it thought it had, and asks for what it still wants.
    expect(node.step({ kind: "leaseReturned", lease: "L1" }, { kind: "leaseReturned", lease: "L2" })).toEqual([]);
    expect(node.of("grant", node.step(order({ origin: "blocked", wanted: 7 })))).toHaveLength(1);
  });

  test("serve it again at once when it had asked for more before it could know", () => {
    const node = starved();
    node.step({ kind: "workerIdle", lease: "L1" }, order({ origin: "blocked", wanted: 3 }));
    expect(node.queue.waiting(9)).toMatchObject([{ origin: "blocked", unmet: 2 }]);
  });

  test("that were granted to another node's order count one less in that order, as they will when it gives them back", () => {
    const node = new QueueHarness({ CPU: 2 });
    node.step(order({ origin: "far", hops: 1, wanted: 2 }));
    node.step(order({ origin: "other", wanted: 1 }));
    expect(node.of("grant", node.step({ kind: "workerIdle", lease: "L1" }))).toMatchObject([{ origin: "other" }]);
    expect(node.queue.waiting(9)).toEqual([]);
    expect(node.step({ kind: "leaseReturned", lease: "L1" }, order({ origin: "far", hops: 1, wanted: 1 }))).toEqual([]);
  });

  test("leave what other nodes were asked for as it is", () => {
    const node = new QueueHarness({ CPU: 1 });
    node.step({ kind: "viewChanged", nodes: [nodeView("far", { CPU: 4 })] });
    node.step(order({ origin: "blocked", wanted: 1 }));
    node.step(order({ origin: "blocked", schedulingClass: 2, resources: units({ CPU: 2 }), wanted: 1 }));
    const effects = node.step({ kind: "workerIdle", lease: "L1" });
    expect(node.of("forward", effects)).toEqual([]);
    expect(node.step({ kind: "forwardGranted", origin: "blocked", schedulingClass: 2, node: "far", lease: "far-1" })).toEqual([]);
  });

  test("and let go of twice, or after they ended, change nothing", () => {
    const node = starved();
    node.step({ kind: "workerIdle", lease: "L1" });
    expect(node.step({ kind: "workerIdle", lease: "L1" })).toEqual([]);
    node.step({ kind: "workerDied", worker: "w2" });
    expect(node.step({ kind: "workerIdle", lease: "L2" })).toEqual([]);
  });
});
