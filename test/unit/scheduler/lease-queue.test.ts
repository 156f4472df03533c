// The lease queue by example: given events, expected effects.

import { describe, expect, test } from "vitest";
import { nodeView, order, QueueHarness, units } from "./queue-harness.ts";

const kinds = (effects: readonly { kind: string }[]): string[] => effects.map((effect) => effect.kind);

describe("a standing order", () => {
  test("starts workers as CPUs are free, and grants each when it is ready", () => {
    const node = new QueueHarness({ CPU: 2 });
    node.bootAtOnce = false;
    expect(kinds(node.step(order({ wanted: 5 })))).toEqual(["startWorker", "startWorker"]);
    expect(node.boot("w1", "job", "")).toEqual([
      { kind: "grant", origin: "driver", schedulingClass: 1, lease: "L1", worker: "w1", adopt: undefined, gpus: [] },
    ]);
    expect(kinds(node.boot("w2"))).toEqual(["grant"]);
    expect(node.queue.backlog).toBe(3);
  });

  test("repeated changes nothing, lowered grants no more, withdrawn is forgotten", () => {
    const node = new QueueHarness({ CPU: 2 });
    expect(kinds(node.step(order({ wanted: 3 })))).toEqual(["startWorker", "startWorker", "grant", "grant"]);
    expect(node.step(order({ wanted: 3 }))).toEqual([]);
    expect(node.step({ kind: "leaseReturned", lease: "L1" }, order({ wanted: 1 }))).toEqual([]);
    expect(node.step({ kind: "leaseReturned", lease: "L1" })).toEqual([]);
    expect(node.step({ kind: "leaseReturned", lease: "L2" }, order({ wanted: 0 }))).toEqual([]);
    expect(node.queue.leases.size).toBe(0);
    expect(node.step(order({ wanted: 0 }))).toEqual([]);
  });

  test("gets a blank worker, which then belongs to its job", () => {
    const node = new QueueHarness({ CPU: 2 });
    node.bootAtOnce = false;
    node.step({ kind: "workerStarting", worker: "pre" }, { kind: "workerReady", worker: "pre" });
    const [grant] = node.of("grant", node.step(order()));
    expect(grant).toMatchObject({ worker: "pre", adopt: { jobId: "job", environment: "" } });
    node.step({ kind: "leaseReturned", lease: "L1" }, order({ wanted: 0 }));
    expect(kinds(node.step(order({ origin: "other", jobId: "job2" })))).toEqual(["startWorker"]);
    expect(node.of("grant", node.step(order())).map((again) => again.adopt)).toEqual([undefined]);
  });

  test("is passed first to the node it prefers, and taken back when that is busy", () => {
    const node = new QueueHarness({ CPU: 2 });
    const near = order({ strategy: { kind: "default", node: "far" } });
    node.step({ kind: "viewChanged", nodes: [nodeView("far", { CPU: 1 }, { CPU: 0 }), nodeView("idle", { CPU: 4 })] });
    expect(node.of("forward", node.step(near))).toMatchObject([{ node: "far", request: { wanted: 1 } }]);
    // That node has not heard of it yet.
    const before = nodeView("far", { CPU: 1 }, { CPU: 0 }, { backlog: 0 });
    expect(node.step({ kind: "viewChanged", nodes: [before] })).toEqual([]);
    const effects = node.step({ kind: "viewChanged", nodes: [{ ...before, backlog: 1 }] });
    expect(node.of("forward", effects)).toMatchObject([{ node: "far", request: { wanted: 0 } }]);
    expect(node.of("grant", effects)).toHaveLength(1);
  });

  test("that prefers a node that is gone goes where any other does", () => {
    const node = new QueueHarness({ CPU: 2 });
    node.step({ kind: "viewChanged", nodes: [nodeView("other", { CPU: 1 })] });
    expect(kinds(node.step(order({ strategy: { kind: "default", node: "gone" } })))).toEqual(["startWorker", "grant"]);
  });

  test("that nobody can ever serve is refused after its grace, with the reason", () => {
    const node = new QueueHarness({ CPU: 2 });
    expect(node.step(order({ resources: units({ CPU: 3 }) }))).toEqual([
      { kind: "armGrace", origin: "driver", schedulingClass: 1, ms: 1000 },
    ]);
    expect(node.queue.waiting(10)[0]).toMatchObject({ reason: "infeasible", unmet: 1 });
    const [refusal] = node.of("refuse", node.step({ kind: "graceElapsed", origin: "driver", schedulingClass: 1 }));
    expect(refusal).toMatchObject({ code: "INFEASIBLE" });
    expect(refusal.text).toContain("{CPU: 3}. There are: node here {CPU: 2}: too little CPU");
    expect(node.queue.waiting(10)).toEqual([]);
  });

  test("that a new node can serve in time is not refused", () => {
    const node = new QueueHarness({ CPU: 2 });
    node.step(order({ resources: units({ CPU: 3 }) }));
    const [forward] = node.of("forward", node.step({ kind: "viewChanged", nodes: [nodeView("big", { CPU: 8 })] }));
    expect(forward).toMatchObject({ node: "big", request: { wanted: 1, hops: 1, graceMs: 0 } });
    expect(node.step({ kind: "graceElapsed", origin: "driver", schedulingClass: 1 })).toEqual([]);
  });

  test("hoping for ever arms no grace", () => {
    const node = new QueueHarness({ CPU: 2 });
    expect(node.step(order({ resources: units({ CPU: 3 }), graceMs: Infinity }))).toEqual([]);
  });

  test("whose selectors make no sense is refused at once", () => {
    const node = new QueueHarness({ CPU: 2 });
    const strategy = { kind: "default", labels: { zone: "in(" } };
    expect(node.step(order({ strategy }))).toMatchObject([{ kind: "refuse", code: "INVALID_ARGUMENT" }]);
  });

  test("is told when worker processes die at every start", () => {
    const node = new QueueHarness({ CPU: 1 });
    node.bootAtOnce = false;
    node.step(order());
    for (let death = 1; death <= 2; death += 1) {
      expect(kinds(node.step({ kind: "workerDied", worker: `w${death}` }))).toEqual(["startWorker"]);
    }
    expect(node.step({ kind: "workerDied", worker: "w3" })).toMatchObject([{ kind: "refuse", code: "WORKER_CRASHED" }]);
  });
});

describe("suspended leases", () => {
  test("give their CPU to others and take it back at once, overdrawing the node", () => {
    const node = new QueueHarness({ CPU: 1, a: 1 });
    node.step(order({ resources: units({ CPU: 1, a: 1 }) }), order({ schedulingClass: 2 }));
    expect(node.granted.size).toBe(1);
    expect(kinds(node.step({ kind: "suspended", lease: "L1" }))).toContain("grant");
    expect(node.queue.pool.available.a).toBe(0);
    node.step({ kind: "resumed", lease: "L1" });
    expect(node.queue.pool.available.CPU).toBe(-10_000);
    node.step({ kind: "resumed", lease: "L1" });
    expect(node.queue.pool.available.CPU).toBe(-10_000);
    expect(node.of("grant", node.step(order({ schedulingClass: 3 })))).toEqual([]);
    node.giveBack("L1");
    expect(node.queue.leases.size).toBe(1);
  });

  test("have at most two more workers a CPU, unless nothing runs", () => {
    const node = new QueueHarness({ CPU: 1 });
    node.step(order({ wanted: 10 }));
    for (let lease = 1; lease <= 4; lease += 1) node.step({ kind: "suspended", lease: `L${lease}` });
    // Two stand-ins, and each further one only because every other lease sleeps.
    expect(node.queue.leases.size).toBe(5);
    const limited = new QueueHarness({ CPU: 1 }, { workersMax: 3 });
    limited.step(order({ wanted: 10 }));
    for (let lease = 1; lease <= 3; lease += 1) limited.step({ kind: "suspended", lease: `L${lease}` });
    expect(limited.queue.leases.size).toBe(3);
    expect(limited.of("grant", limited.step(order({ schedulingClass: 9, forActor: true })))).toHaveLength(1);
  });
});

describe("actors", () => {
  test("take CPU to be placed and hold their lifetime resources", () => {
    const node = new QueueHarness({ CPU: 1 }, { workersMax: 2 });
    for (let actor = 1; actor <= 5; actor += 1) {
      node.step(order({ origin: `actor${actor}`, forActor: true }));
      node.step({ kind: "actorPlaced", lease: `L${actor}`, actor: `A${actor}`, lifetime: units({}) });
    }
    expect([node.queue.actors.size, node.queue.pool.available.CPU]).toEqual([5, 10_000]);
    node.step(order({ origin: "cpu", forActor: true }));
    node.step({ kind: "actorPlaced", lease: "L6", actor: "A6", lifetime: units({ CPU: 1 }) });
    expect(node.queue.pool.available.CPU).toBe(0);
    node.step({ kind: "workerDied", worker: "w6" });
    expect(node.queue.pool.available.CPU).toBe(10_000);
    expect(node.of("grant")).toHaveLength(6);
  });
});

test("a worker that has run tasks may own what they made, and is no actor's", () => {
  const node = new QueueHarness({ CPU: 1 });
  node.step(order());
  node.step(order({ wanted: 0 }));
  node.giveBack("L1");
  const effects = node.step(order({ origin: "actor", forActor: true }));
  expect(kinds(effects)).toEqual(["startWorker", "grant"]);
  expect(node.of("grant", effects)).toMatchObject([{ worker: "w2" }]);
});

describe("the dead", () => {
  test("a worker's lease ends with it, and its order is served again", () => {
    const node = new QueueHarness({ CPU: 1 });
    node.step(order());
    expect(kinds(node.step({ kind: "workerDied", worker: "w1" }))).toEqual(["startWorker", "grant"]);
  });

  test("an origin's leases are reclaimed and keep their room until they are", () => {
    const node = new QueueHarness({ CPU: 1 });
    node.step(order({ wanted: 3 }));
    expect(node.step({ kind: "processGone", origin: "driver" })).toEqual([{ kind: "reclaim", lease: "L1", worker: "w1" }]);
    expect(node.step({ kind: "processGone", origin: "driver" })).toEqual([]);
    expect(node.of("grant", node.step(order({ origin: "next" })))).toEqual([]);
    expect(node.of("grant", node.step({ kind: "workerDied", worker: "w1" }))).toHaveLength(1);
  });
});

describe("fairness", () => {
  test("jobs take turns, then shapes, then origins", () => {
    const node = new QueueHarness({ CPU: 1 });
    node.step(
      order({ jobId: "A", origin: "a1", wanted: 100 }), order({ jobId: "A", origin: "a2", wanted: 100 }),
      order({ jobId: "A", origin: "a3", resources: units({ CPU: 0.9 }), wanted: 100 }),
      order({ jobId: "B", origin: "b1", wanted: 100 }),
    );
    const turns: string[] = [];
    for (let lease = 1; lease <= 8; lease += 1) {
      turns.push(node.granted.get(`L${lease}`)?.origin ?? "nobody");
      node.giveBack(`L${lease}`);
    }
    expect(turns).toEqual(["a1", "b1", "a3", "b1", "a2", "b1", "a3", "b1"]);
  });

  test("a small order passes a large one, until the large one has waited for 32 grants", () => {
    const node = new QueueHarness({ CPU: 4 });
    node.step(order({ origin: "small", wanted: 1000 }));
    node.step(order({ origin: "large", resources: units({ CPU: 4 }) }));
    let grants = 0;
    for (; !node.of("grant").some((grant) => grant.origin === "large"); grants += 1) {
      const [oldest] = node.granted.keys();
      node.giveBack(oldest);
      expect(grants).toBeLessThan(40);
    }
    expect(grants).toBeGreaterThan(30);
  });

  test("nothing is reserved against what may never come back", () => {
    const node = new QueueHarness({ CPU: 2 });
    node.step(order({ origin: "actor", forActor: true }));
    node.step({ kind: "actorPlaced", lease: "L1", actor: "A", lifetime: units({ CPU: 1 }) });
    node.step(order({ origin: "large", resources: units({ CPU: 2 }) }), order({ origin: "small", wanted: 1000 }));
    for (let turn = 2; turn < 100; turn += 1) node.giveBack(`L${turn}`);
    expect(node.granted.has("L100")).toBe(true);
  });

  test("idle leases of others are asked back once, and those above their share after a slice", () => {
    const node = new QueueHarness({ CPU: 2 });
    node.step(order({ origin: "rich", wanted: 2 }));
    const effects = node.step(order({ origin: "poor", jobId: "other" }));
    expect(effects).toEqual([
      { kind: "askBack", origin: "rich", schedulingClass: 1, lease: "L1", reason: "demand" },
      { kind: "askBack", origin: "rich", schedulingClass: 1, lease: "L2", reason: "demand" },
      { kind: "armSlice", ms: 20 },
    ]);
    expect(node.step({ kind: "sliceElapsed" })).toEqual([
      { kind: "askBack", origin: "rich", schedulingClass: 1, lease: "L1", reason: "share" }, { kind: "armSlice", ms: 20 },
    ]);
    expect(node.of("askBack", node.step({ kind: "sliceElapsed" }))).toEqual([]);
    expect(node.of("grant", node.giveBack("L1"))).toMatchObject([{ origin: "poor" }]);
    expect(node.of("askBack", node.step({ kind: "sliceElapsed" }))).toEqual([]);
  });

  test("an idle worker of another job makes room at the cap", () => {
    const node = new QueueHarness({ CPU: 1 }, { workersMax: 1 });
    node.step(order());
    node.step({ kind: "leaseReturned", lease: "L1" }, order({ wanted: 0 }));
    expect(node.step(order({ jobId: "other", origin: "o" }))).toEqual([{ kind: "stopWorker", worker: "w1" }]);
    expect(kinds(node.step({ kind: "workerDied", worker: "w1" }))).toEqual(["startWorker", "grant"]);
  });
});

describe("other nodes", () => {
  const far = (available: number) => ({ kind: "viewChanged" as const, nodes: [nodeView("far", { CPU: 4 }, { CPU: available })] });

  test("serve what goes beyond half of this one", () => {
    const node = new QueueHarness({ CPU: 4 });
    node.step(far(4));
    const effects = node.step(order({ wanted: 6 }));
    // Two here, two there, then one each: whoever is less used.
    expect(node.of("grant", effects)).toHaveLength(3);
    expect(node.of("forward", effects)).toMatchObject([{ node: "far", request: { wanted: 3, hops: 1 } }]);
  });

  test("are told when leases from there come back or are not wanted any more", () => {
    const node = new QueueHarness({ CPU: 1 });
    node.step(far(4), order({ resources: units({ CPU: 2 }), wanted: 2 }));
    node.step({ kind: "forwardGranted", origin: "driver", schedulingClass: 1, node: "far", lease: "far-1" });
    const back = node.step({ kind: "leaseReturned", lease: "far-1" }, order({ resources: units({ CPU: 2 }), wanted: 1 }));
    expect(back).toMatchObject([{ kind: "forward", node: "far", request: { wanted: 1 } }]);
    expect(node.step(order({ resources: units({ CPU: 2 }), wanted: 0 })))
      .toMatchObject([{ kind: "forward", request: { wanted: 0 } }]);
  });

  test("give back what got stuck there when there is room elsewhere", () => {
    const node = new QueueHarness({ CPU: 2 });
    node.step(order({ origin: "first", wanted: 2 }));
    node.step(far(4));
    expect(node.of("forward", node.step(order()))).toHaveLength(1);
    const moved = node.step({ kind: "leaseReturned", lease: "L1" }, order({ origin: "first", wanted: 1 }), far(0));
    expect(node.of("forward", moved)).toMatchObject([{ node: "far", request: { wanted: 0 } }]);
    expect(node.of("grant", moved)).toHaveLength(1);
  });

  test("that die lose their leases, and the order starts over", () => {
    const node = new QueueHarness({ CPU: 1 });
    node.step(far(4), order({ resources: units({ CPU: 2 }) }));
    node.step({ kind: "forwardGranted", origin: "driver", schedulingClass: 1, node: "far", lease: "far-1" });
    expect(node.step({ kind: "viewChanged", nodes: [] })).toMatchObject([{ kind: "armGrace" }]);
    expect(node.step(far(4))).toMatchObject([{ kind: "forward", node: "far" }]);
  });

  test("that refuse are not asked again before the view changes", () => {
    const node = new QueueHarness({ CPU: 1 });
    node.step(far(4), order({ resources: units({ CPU: 2 }) }));
    const effects = node.step({ kind: "forwardRefused", origin: "driver", schedulingClass: 1, node: "far" });
    expect(kinds(effects)).toEqual(["armGrace", "forward"]);
    expect(node.of("forward", effects)[0].request.wanted).toBe(0);
    expect(node.of("forward", node.step(far(4)))).toHaveLength(1);
  });

  test("never pass an order on again", () => {
    const node = new QueueHarness({ CPU: 1 });
    node.step(far(4));
    expect(kinds(node.step(order({ hops: 1, wanted: 2, graceMs: 0 })))).toEqual(["startWorker", "grant"]);
    expect(node.step(order({ schedulingClass: 2, hops: 1, graceMs: 0, resources: units({ CPU: 2 }) })))
      .toMatchObject([{ kind: "refuse", code: "INFEASIBLE" }]);
  });

  test("take everything when this one drains", () => {
    const node = new QueueHarness({ CPU: 2 });
    node.step(order());
    const effects = node.step(far(4), { kind: "draining" }, order({ schedulingClass: 2 }));
    expect(node.of("askBack", effects)).toMatchObject([{ lease: "L1", reason: "drain" }]);
    expect(node.of("forward", effects)).toMatchObject([{ node: "far" }]);
  });

  test("take turns with this one when spreading", () => {
    const node = new QueueHarness({ CPU: 4 });
    node.step({ kind: "viewChanged", nodes: [nodeView("a", { CPU: 4 }), nodeView("z", { CPU: 4 })] });
    const effects = node.step(order({ wanted: 6, strategy: { kind: "spread" } }));
    expect(node.of("grant", effects)).toHaveLength(2);
    expect(node.of("forward", effects).map(({ node: id, request }) => [id, request.wanted])).toEqual([["z", 2], ["a", 2]]);
  });

  test("get all of an order that names them", () => {
    const node = new QueueHarness({ CPU: 4 });
    node.step(far(0));
    expect(node.step(order({ wanted: 6, strategy: { kind: "node", node: "far" } })))
      .toMatchObject([{ kind: "forward", node: "far", request: { wanted: 6 } }]);
    expect(node.step(order({ schedulingClass: 2, strategy: { kind: "node", node: "nowhere" } })))
      .toMatchObject([{ kind: "armGrace" }]);
  });
});

describe("an environment", () => {
  const env = { environment: "e" };

  test("is asked for once, holds nothing meanwhile, and its workers are started when it is ready", () => {
    const node = new QueueHarness({ CPU: 2 });
    node.step({ kind: "workerStarting", worker: "pre" }, { kind: "workerReady", worker: "pre" });
    expect(node.step(order({ ...env, wanted: 2 }))).toEqual([
      { kind: "prepareEnvironment", jobId: "job", environment: "e", origin: "driver" },
    ]);
    expect(node.queue.waiting(1)[0]).toMatchObject({ reason: "environment", unmet: 2 });
    expect(node.step(order({ ...env, origin: "other" }))).toEqual([]);
    // Work without one has both CPUs, and nobody asks it back for who can't use them yet.
    expect(kinds(node.step(order({ schedulingClass: 2, wanted: 2 })))).toEqual(["grant", "startWorker", "grant"]);
    expect(kinds(node.giveBack("L1"))).toEqual(["grant"]);
    node.step(order({ schedulingClass: 2, wanted: 0 }), { kind: "leaseReturned", lease: "L2" });
    node.giveBack("L3");
    const effects = node.step({ kind: "environmentReady", jobId: "job", environment: "e" });
    expect(node.of("startWorker", effects)).toMatchObject([env, env]);
    expect(node.of("grant", effects)).toMatchObject([{ adopt: undefined }, { adopt: undefined }]);
  });

  test("is not given to a blank worker, and belongs to one job", () => {
    const node = new QueueHarness({ CPU: 4 });
    node.step({ kind: "environmentReady", jobId: "job", environment: "e" });
    node.step({ kind: "workerStarting", worker: "pre" }, { kind: "workerReady", worker: "pre" });
    const [grant] = node.of("grant", node.step(order(env)));
    expect(grant).toMatchObject({ worker: "w1", adopt: undefined });
    expect(kinds(node.step(order({ ...env, jobId: "job2", origin: "driver2" })))).toEqual(["prepareEnvironment"]);
  });

  test("that could not be made refuses who waits for it, and who asks later asks anew", () => {
    const node = new QueueHarness({ CPU: 2 });
    node.step(order({ ...env, wanted: 2 }), order({ schedulingClass: 2, environment: "f" }));
    const failed = { kind: "environmentFailed", jobId: "job", environment: "e", text: "no npm" } as const;
    expect(node.step(failed)).toEqual([
      { kind: "refuse", origin: "driver", schedulingClass: 1, code: "RUNTIME_ENV_SETUP", text: "no npm" },
    ]);
    expect(node.queue.backlog).toBe(1);
    expect(kinds(node.step(order({ ...env, wanted: 1 })))).toEqual(["prepareEnvironment"]);
  });

  test("that another node could not make refuses the order, which goes nowhere else", () => {
    const node = new QueueHarness({ CPU: 1 });
    const far = { resources: units({ a: 1 }) };
    node.step({ kind: "viewChanged", nodes: [nodeView("n1", { CPU: 1, a: 1 }), nodeView("n2", { CPU: 1, a: 1 })] });
    const [forward] = node.of("forward", node.step(order({ ...env, ...far })));
    const refused = { kind: "forwardRefused", node: forward.node, origin: "driver", schedulingClass: 1 } as const;
    expect(node.of("refuse", node.step({ ...refused, setupFailure: "no npm" }))).toMatchObject([{ code: "RUNTIME_ENV_SETUP" }]);
    expect(node.queue.backlog).toBe(0);
  });

  test("loses its worker when that is idle for too long, and only then", () => {
    const node = new QueueHarness({ CPU: 2 });
    node.step({ kind: "environmentReady", jobId: "job", environment: "e" });
    const [grant] = node.of("grant", node.step(order(env)));
    expect(node.step({ kind: "idleElapsed", worker: grant.worker })).toEqual([]);
    node.step({ kind: "leaseReturned", lease: grant.lease }, order({ ...env, wanted: 0 }));
    expect(node.step({ kind: "idleElapsed", worker: grant.worker })).toEqual([{ kind: "stopWorker", worker: grant.worker }]);
    expect(node.step({ kind: "idleElapsed", worker: grant.worker })).toEqual([]);
    expect(kinds(node.step(order(env)))).toEqual(["startWorker", "grant"]);
  });
});
