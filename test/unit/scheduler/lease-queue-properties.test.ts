// The lease queue under random histories: whatever happens in whatever order, its accounts hold, and everybody is served.
//
// `validate()` runs after every step and checks all invariants: nothing oversubscribed but by declared overdraft, one worker a
// lease, held and available together the total, an order waits if and only if it wants.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { LeaseEvent, Strategy } from "../../../scheduler/index.ts";
import { nodeView, order, QueueHarness, units } from "./queue-harness.ts";

const SHAPES = [{ CPU: 1 }, { CPU: 0.5 }, { CPU: 3 }, { CPU: 1, a: 1 }, {}, { CPU: 64 }, { a: 2 }] as const;
const STRATEGIES: readonly (Strategy | undefined)[] = [
  undefined, { kind: "spread" }, { kind: "node", node: "n1" }, { kind: "node", node: "n2", soft: true },
  { kind: "default", labels: { zone: "!x" } },
  { kind: "group", group: "g0", bundle: -1 }, { kind: "group", group: "g0", bundle: 1 },
  { kind: "group", group: "g1", bundle: 0 }, { kind: "default", node: "n1" },
];
/** Of every group in these histories. */
const BUNDLES = [{ CPU: 1 }, { CPU: 1.5, a: 1 }, { CPU: 64 }].map(units);

const WORKERS_MAX = 12;
const NODE = { ...units({ CPU: 4, a: 2 }) };

type Act = { readonly act: string; readonly n: number; readonly m: number };

const act: fc.Arbitrary<Act> = fc.record({
  act: fc.constantFrom(
    "request", "request", "request", "withdraw", "return", "return", "suspend", "resume", "die", "start", "ready", "ready",
    "gone", "place", "actorGone", "view", "grace", "slice", "letGo", "forwardGranted", "forwardReturned", "forwardRefused",
    "environmentReady", "environmentReady", "environmentFailed", "jobEnded", "idle",
    "bundle", "bundle", "groupChanged", "groupChanged", "groupUnanswered",
  ),
  n: fc.nat(1000),
  m: fc.nat(1000),
});

class World {
  readonly node: QueueHarness;
  readonly orders = new Map<string, LeaseEvent & { kind: "requested" }>();
  readonly suspended = new Set<string>();
  readonly actors: string[] = [];
  readonly far: { lease: string; node: string }[] = [];
  #count = 0;
  #started = 0;
  #forActors = false;

  constructor() {
    let random = 0;
    const nextRandom = (): number => (random = (random * 7 + 0.31) % 1);
    this.node = new QueueHarness({ CPU: 4, a: 2 }, { workersMax: WORKERS_MAX, nextRandom });
    this.node.bootAtOnce = false;
  }

  do({ act: what, n, m }: Act): LeaseEvent | undefined {
    const event = this.#eventOf(what, n, m);
    if (event === undefined) return undefined;
    const effects = this.node.step(event);
    if (event.kind === "requested") this.#forActors ||= event.forActor === true;
    // Workers for actors may exceed it, those of actors without CPU do not count, and the test itself starts some in advance.
    const most = WORKERS_MAX + this.#started + this.actors.length;
    if (!this.#forActors && this.node.queue.workers.size > most) throw new Error("more workers than the cap");
    this.#expectNobodyForgotten();
    if (event.kind === "workerDied" || event.kind === "leaseReturned" || event.kind === "workerIdle"
      || event.kind === "actorPlaced") this.#forgetLost();
    for (const reclaim of this.node.of("reclaim", effects)) this.node.giveBack(reclaim.lease);
    this.#forgetLost();
    return event;
  }

  /** Who has room and a worker is served in the same step: nothing happens later that would serve it. */
  #expectNobodyForgotten(): void {
    const idle = [...this.node.queue.workers.values()].filter((worker) => worker.state === "idle");
    const waiting = this.node.queue.waiting(100).filter(({ reason }) => reason === "worker");
    // The room may be promised to one whose own worker boots.
    if (waiting.some((row) => this.orders.get(`${row.origin} ${row.schedulingClass}`)?.environment !== "")) return;
    for (const row of waiting) {
      const fits = idle.some(({ jobId }) => jobId === undefined);
      if (fits) throw new Error(`${row.origin} waits for a worker while a blank one is idle`);
    }
  }

  #forgetLost(): void {
    for (const lease of [...this.node.granted.keys()]) if (!this.node.queue.leases.has(lease)) this.node.granted.delete(lease);
  }

  #eventOf(what: string, n: number, m: number): LeaseEvent | undefined {
    const leases = [...this.node.granted.keys()];
    const lease = leases[n % leases.length];
    const worker = [...this.node.queue.workers.keys()][n % this.node.queue.workers.size];
    switch (what) {
      case "request": return this.#request(n, m);
      case "withdraw": return this.#known(n, 0);
      case "return": return lease === undefined ? undefined : { kind: "leaseReturned", lease };
      case "suspend": return lease === undefined ? undefined : { kind: "suspended", lease };
      case "resume": return lease === undefined ? undefined : { kind: "resumed", lease };
      case "die": return worker === undefined ? undefined : { kind: "workerDied", worker };
      case "start": return { kind: "workerStarting", worker: `pre${this.#started += 1}` };
      case "ready": return this.#ready(m);
      case "gone": return { kind: "processGone", origin: `o${n % 4}` };
      case "place": return lease === undefined ? undefined : this.#place(lease, m);
      case "actorGone": return { kind: "actorGone", actor: this.actors[n % this.actors.length] ?? "none" };
      case "view": return this.#view(n, m);
      case "grace": return { kind: "graceElapsed", origin: `o${n % 4}`, schedulingClass: m % 5 };
      case "slice": return { kind: "sliceElapsed" };
      case "letGo": return lease === undefined ? undefined : { kind: "workerIdle", lease };
      case "environmentReady": return { kind: what, jobId: `j${n % 2}`, environment: "env" };
      case "environmentFailed": return { kind: what, jobId: `j${n % 2}`, environment: "env", text: "no npm" };
      case "jobEnded": return { kind: what, jobId: `j${n % 2}` };
      case "bundle": return this.#bundle(n, m);
      case "groupChanged": return this.#group(n, m);
      case "groupUnanswered": return { kind: what, group: `g${n % 4}` };
      case "idle": return worker === undefined ? undefined : { kind: "idleElapsed", worker };
      default: return this.#far(what, n, m);
    }
  }

  #request(n: number, m: number): LeaseEvent {
    const event = order({
      origin: `o${n % 4}`, schedulingClass: m % 5, jobId: `j${n % 2}`, environment: n % 8 === 0 ? "env" : "", wanted: m % 9,
      resources: units(SHAPES[m % 5 === 4 ? n % SHAPES.length : m % 5]), strategy: STRATEGIES[n % 15] ?? undefined, hops: 0,
      graceMs: m % 3 === 0 ? 0 : 100, forActor: n % 5 === 0,
    });
    this.orders.set(`${event.origin} ${event.schedulingClass}`, event);
    return event;
  }

  #bundle(n: number, m: number): LeaseEvent {
    const index = m % BUNDLES.length;
    return { kind: "bundleWanted", group: `g${n % 4}`, index, epoch: n % 7, resources: BUNDLES[index], jobId: `j${n % 2}` };
  }

  /** Either all of its bundles here or none: a node that loses one of a group loses them all. */
  #group(n: number, m: number): LeaseEvent {
    const state = m % 9 === 0 ? "REMOVED" : m % 3 === 0 ? "RESCHEDULING" : "CREATED";
    const node = state !== "CREATED" ? "" : m % 2 === 0 ? "here" : "n1";
    const bundles = BUNDLES.map((resources) => ({ resources, node }));
    return { kind: "groupChanged", group: { id: `g${n % 4}`, epoch: n % 7, state, bundles, reason: "so it is" } };
  }

  #known(n: number, wanted: number): LeaseEvent | undefined {
    const known = [...this.orders.values()];
    const event = known[n % known.length];
    return event === undefined ? undefined : { ...event, wanted };
  }

  #ready(m: number): LeaseEvent | undefined {
    const starting = [...this.node.queue.workers.values()].filter((worker) => worker.state === "starting");
    const worker = starting[m % starting.length];
    if (worker === undefined) return undefined;
    const blank = m % 3 === 0;
    const adopted = blank ? {} : { jobId: `j${m % 2}`, environment: "" };
    return { kind: "workerReady", worker: worker.id, ...adopted };
  }

  #place(lease: string, m: number): LeaseEvent {
    const actor = `A${this.#count += 1}`;
    this.actors.push(actor);
    this.node.granted.delete(lease);
    return { kind: "actorPlaced", lease, actor, lifetime: units(m % 2 === 0 ? {} : { CPU: 1 }) };
  }

  /** Whatever runs in them is ended. */
  removeGroups(): void {
    const { queue } = this.node;
    for (const id of ["g0", "g1", "g2", "g3"]) {
      const bundles = BUNDLES.map((resources) => ({ resources, node: "" }));
      this.node.step({ kind: "groupChanged", group: { id, epoch: 99, state: "REMOVED", bundles, reason: "so it is" } });
    }
    const evicted = new Set(this.node.of("evict").map(({ worker }) => worker));
    const users = [...queue.leases.values(), ...queue.actors.values()].filter(({ placement }) => placement.group !== "");
    for (const { worker } of users) expect(evicted).toContain(worker.id);
  }

  #view(n: number, m: number): LeaseEvent {
    const labelled = nodeView("n2", { CPU: 8 }, { CPU: m % 9 }, { labels: { zone: "x" } });
    const nodes = [nodeView("n1", { CPU: 4, a: 1 }, { CPU: n % 5 }), labelled];
    return { kind: "viewChanged", nodes: nodes.slice(0, n % 3) };
  }

  #far(what: string, n: number, m: number): LeaseEvent | undefined {
    const node = n % 2 === 0 ? "n1" : "n2";
    const name = { origin: `o${n % 4}`, schedulingClass: m % 5 };
    if (what === "forwardRefused") return { kind: "forwardRefused", node, ...name };
    if (what === "forwardReturned") {
      const [remote] = this.far.splice(n % Math.max(1, this.far.length), 1);
      return remote === undefined ? undefined : { kind: "leaseReturned", lease: remote.lease };
    }
    const lease = `far${this.#count += 1}`;
    this.far.push({ lease, node });
    return { kind: "forwardGranted", node, lease, ...name };
  }
}

describe("random histories", () => {
  test("keep every invariant, and end with everything given back", () => {
    fc.assert(fc.property(fc.array(act, { maxLength: 120, size: "max" }), (acts) => {
      const world = new World();
      for (const one of acts) world.do(one);
      for (const known of world.orders.values()) world.node.step({ ...known, wanted: 0 });
      world.removeGroups();
      for (const actor of world.actors) world.node.step({ kind: "actorGone", actor });
      for (const lease of [...world.node.queue.leases.keys()]) world.node.step({ kind: "leaseReturned", lease });
      expect({ ...world.node.queue.pool.available }).toEqual(NODE);
      expect({ ...world.node.queue.pool.total }).toEqual(NODE);
      expect(world.node.queue.backlog).toBe(0);
    }), { numRuns: 400 });
  });

  test("a repeated event answers nothing new", () => {
    const repeatable = new Set(["request", "withdraw", "suspend", "resume", "actorGone", "gone"]);
    const repeated = fc.record({ act: fc.constantFrom(...repeatable), n: fc.nat(99), m: fc.nat(99) });
    fc.assert(fc.property(fc.array(act, { maxLength: 60, size: "max" }), repeated, (acts, last) => {
      const world = new World();
      for (const one of acts) world.do(one);
      const event = world.do(last);
      const settled = world.node.log.length;
      if (event !== undefined) world.node.step(event);
      // A refusal may be repeated: the origin asked again.
      expect(world.node.log.slice(settled).filter(({ kind }) => kind !== "refuse" && kind !== "armGrace")).toEqual([]);
    }), { numRuns: 200 });
  });
});

describe("nobody is left out", () => {
  test("every order that fits the node is served while leases keep coming back", () => {
    const request = fc.record({
      job: fc.nat(3), origin: fc.nat(5), cpus: fc.constantFrom(0.5, 1, 2, 4), a: fc.constantFrom(0, 1, 2),
      wanted: fc.integer({ min: 1, max: 40 }),
    });
    fc.assert(fc.property(fc.array(request, { minLength: 2, maxLength: 12 }), fc.nat(1000), (requests, seed) => {
      const node = new QueueHarness({ CPU: 4, a: 2 });
      requests.forEach(({ job, origin, cpus, a, wanted }, index) => node.step(order({
        jobId: `j${job}`, origin: `o${origin}`, schedulingClass: index, resources: units({ CPU: cpus, a }), wanted,
      })));
      const served = new Set<number>();
      // Every owner keeps its order up: an endless stream that must not shut anybody out.
      let random = seed;
      for (let turn = 0; turn < 200 * requests.length && served.size < requests.length; turn += 1) {
        const leases = [...node.granted.values()];
        for (const grant of leases) served.add(grant.schedulingClass);
        // Any lease may be the next to come back, and each one does some time.
        random = (random * 1103515245 + 12345) % 2 ** 31;
        node.giveBack(leases[Math.floor((random / 2 ** 31) * leases.length)].lease);
        const stopped = node.of("stopWorker", node.log.splice(0));
        for (const { worker } of stopped) node.step({ kind: "workerDied", worker });
      }
      expect(served.size).toBe(requests.length);
    }), { numRuns: 100 });
  });
});

describe("a large cluster", () => {
  test("1,000 nodes and 100,000 pending leases: a decision looks at no more than shapes and nodes", () => {
    const jobs = 10;
    const shapes = 20;
    const node = new QueueHarness({ CPU: 16 });
    const nodes = Array.from({ length: 1000 }, (_, index) => nodeView(`n${index}`, { CPU: 16 }, { CPU: index % 4 ? 0 : 1 }));
    node.step({ kind: "viewChanged", nodes });
    const costs: number[] = [];
    const measured = (...events: LeaseEvent[]): void => {
      const before = node.queue.examined;
      const effects = node.queue.step(...events);
      for (const grant of node.of("grant", effects)) node.granted.set(grant.lease, grant);
      for (const start of node.of("startWorker", effects)) {
        const worker = `w${node.queue.workers.size}`;
        const { jobId, environment } = start;
        const more = node.queue.step({ kind: "workerStarting", worker }, { kind: "workerReady", worker, jobId, environment });
        for (const grant of node.of("grant", more)) node.granted.set(grant.lease, grant);
      }
      const decisions = 1 + effects.filter(({ kind }) => kind === "grant" || kind === "forward").length;
      costs.push((node.queue.examined - before) / decisions);
    };
    for (let origin = 0; origin < 1000; origin += 1) {
      const resources = units({ CPU: 1 + (origin % shapes) / 100 });
      measured(order({ origin: `o${origin}`, jobId: `j${origin % jobs}`, resources, wanted: 100 }));
    }
    expect(node.queue.backlog).toBeGreaterThan(99_000);
    for (let turn = 0; turn < 2000; turn += 1) {
      const [lease] = node.granted.keys();
      node.granted.delete(lease);
      measured({ kind: "leaseReturned", lease });
      if (turn % 100 === 0) measured({ kind: "viewChanged", nodes });
    }
    node.queue.validate();
    // A view of 1,000 nodes is looked at once a shape and view, and once a lease that leaves; a plain return sees shapes only.
    const sorted = [...costs].sort((left, right) => left - right);
    expect(sorted[Math.floor(sorted.length * 0.9)]).toBeLessThan(6 * shapes);
    expect(sorted[sorted.length - 1]).toBeLessThan((shapes + 2) * (nodes.length + 1));
  });
});
