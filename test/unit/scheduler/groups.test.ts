// Placement groups from the head's book to the queues of nodes, under random histories: messages are late and repeated, nodes
// die, leave and come, groups are made and removed, leases hold what bundles want, and heads die and are followed by others.
//
// When everything has been delivered a group lies whole where its strategy allows, or holds nothing; no node is oversubscribed at
// any time (`validate()` after each step).

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  bundleOf, GroupBook, type GroupEffect, type GroupEvent, type GroupNode, type GroupSpec, type GroupStrategy, type GroupView,
  type LeaseEffect, type LeaseEvent, plainResources, resourcesFit, type Resources,
} from "../../../scheduler/index.ts";
import { order, QueueHarness, units } from "./queue-harness.ts";

type Reserve = Extract<GroupEffect, { kind: "reserve" }>;
type ToAgent = { readonly reserve: Reserve } | { readonly view: GroupView } | { readonly event: LeaseEvent };

class Agent {
  readonly id: string;
  readonly queue: QueueHarness;
  readonly inbox: ToAgent[] = [];
  readonly outbox: GroupEvent[] = [];
  state = "ALIVE";
  readonly #reserving = new Map<string, { readonly epoch: number; readonly missing: Set<number> }>();

  constructor(id: string, cpus: number) {
    this.id = id;
    this.queue = new QueueHarness({ CPU: cpus, GPU: 1 }, { nodeId: id });
  }

  /** Some messages arrive twice. */
  deliver(again: boolean): void {
    const message = this.inbox.shift();
    if (message === undefined) return;
    for (let times = again && !("event" in message) ? 2 : 1; times > 0; times -= 1) this.#handle(message);
  }

  #handle(message: ToAgent): void {
    if ("event" in message) return this.#did(this.queue.step(message.event));
    if ("view" in message) return this.#did(this.queue.step({ kind: "groupChanged", group: message.view }));
    const { group, epoch, bundles, jobId } = message.reserve;
    this.#reserving.set(group, { epoch, missing: new Set(bundles.map(({ index }) => index)) });
    this.#did(this.queue.step(...bundles.map((one) => ({ kind: "bundleWanted" as const, ...one, group, epoch, jobId }))));
  }

  #did(effects: readonly LeaseEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === "bundleHeld") {
        const reserving = this.#reserving.get(effect.group);
        if (reserving?.epoch !== effect.epoch) continue;
        reserving.missing.delete(effect.index);
        if (reserving.missing.size > 0) continue;
        this.outbox.push({ kind: "held", group: effect.group, epoch: effect.epoch, node: this.id });
      }
      const bundle = effect.kind === "refuse" ? bundleOf(effect) : undefined;
      const reserving = this.#reserving.get(bundle?.group ?? "");
      if (bundle === undefined || reserving === undefined) continue;
      this.outbox.push({ kind: "refused", group: bundle.group, epoch: reserving.epoch, node: this.id, text: "no" });
    }
  }
}

class World {
  book = new GroupBook();
  readonly agents = new Map<string, Agent>();
  readonly groups: GroupSpec[] = [];
  #timers: GroupEvent[] = [];
  #concerned = new Map<string, Set<string>>();
  /** What the head has on its disk. */
  readonly #kept = new Map<string, { readonly spec: GroupSpec; readonly view: GroupView }>();
  #heads = 1;
  #nodes = 0;

  addNode(cpus: number): void {
    const id = `n${this.#nodes += 1}`;
    this.agents.set(id, new Agent(id, cpus));
    this.tell({ kind: "viewChanged" });
  }

  create(strategy: GroupStrategy, bundles: readonly Resources[], holder: string): void {
    const id = `g${this.groups.length}`;
    const spec: GroupSpec = { id, name: "", namespace: "", strategy, bundles, jobId: `j${this.groups.length % 3}`, holder };
    this.groups.push(spec);
    this.tell({ kind: "created", spec });
  }

  lose(id: string, dies: boolean): void {
    const agent = this.agents.get(id);
    if (agent === undefined || agent.state !== "ALIVE") return;
    if (dies) this.agents.delete(id);
    else {
      agent.state = "DRAINING";
      agent.inbox.push({ event: { kind: "draining" } });
    }
    this.tell({ kind: "nodeGone", node: id, reason: dies ? "died" : "drains" });
  }

  /** What was on its way from and to the old one is lost. The new one hears from each node which groups it knows. */
  headDies(): void {
    this.#heads += 1;
    this.book = new GroupBook();
    this.#timers = [];
    this.#concerned = new Map();
    for (const agent of this.agents.values()) {
      agent.outbox.length = 0;
      agent.inbox.splice(0, Infinity, ...agent.inbox.filter((message) => "event" in message));
    }
    for (const { spec, view } of [...this.#kept.values()]) {
      this.tell({ kind: "restored", spec, view, epoch: Math.max(view.epoch + 1, this.#heads * 1_000_000) });
    }
    for (const { id, queue, inbox } of this.agents.values()) {
      const lying = this.book.all().filter((group) => this.book.view(group)?.bundles.some(({ node }) => node === id));
      for (const group of new Set([...queue.queue.known().groups, ...lying])) {
        const view = this.book.view(group);
        this.#concerned.set(group, (this.#concerned.get(group) ?? new Set()).add(id));
        inbox.push({ view: view ?? { id: group, epoch: Number.MAX_SAFE_INTEGER, state: "REMOVED", bundles: [], reason: "" } });
      }
    }
    this.tell({ kind: "viewChanged" });
  }

  tell(event: GroupEvent): void {
    const effects = this.book.step(event, () => this.#view());
    if (event.kind === "created") this.#keep(event.spec.id);
    for (const effect of effects) if (effect.kind === "changed") this.#keep(effect.group);
    for (const effect of effects) {
      if (effect.kind === "reserve") this.#reserve(effect);
      else if (effect.kind === "armLook") this.#timers.push({ kind: "look" });
      else if (effect.kind === "armAttempt") this.#timers.push({ ...effect, kind: "attemptElapsed" });
      else {
        const view = this.book.view(effect.group) as GroupView;
        for (const node of this.#concerned.get(effect.group) ?? []) this.agents.get(node)?.inbox.push({ view });
      }
    }
  }

  answer(id: string): void {
    const event = this.agents.get(id)?.outbox.shift();
    if (event !== undefined) this.tell(event);
  }

  fire(at: number): void {
    const [event] = this.#timers.splice(at % Math.max(1, this.#timers.length), 1);
    if (event !== undefined) this.tell(event);
  }

  /** Everything on its way arrives; then waiting groups are tried until nothing changes. */
  settle(): void {
    for (let quiet = 0; quiet < 3; quiet += 1) {
      for (let busy = true; busy;) {
        busy = false;
        for (const agent of this.agents.values()) {
          busy ||= agent.inbox.length + agent.outbox.length > 0;
          while (agent.inbox.length > 0) agent.deliver(false);
          while (agent.outbox.length > 0) this.answer(agent.id);
        }
      }
      for (let left = this.#timers.length; left > 0; left -= 1) this.fire(0);
      this.tell({ kind: "viewChanged" });
    }
  }

  #keep(group: string): void {
    this.#kept.set(group, { spec: this.book.spec(group) as GroupSpec, view: this.book.view(group) as GroupView });
  }

  #reserve(effect: Reserve): void {
    const concerned = this.#concerned.get(effect.group) ?? new Set();
    this.#concerned.set(effect.group, concerned.add(effect.node));
    this.agents.get(effect.node)?.inbox.push({ reserve: effect });
  }

  #view(): GroupNode[] {
    return [...this.agents.values()].map(({ id, state, queue: { queue } }) => {
      return { id, state, labels: {}, total: queue.pool.total, available: queue.pool.available, reclaimable: queue.reclaimable };
    });
  }
}

type Act = { readonly act: string; readonly n: number; readonly m: number };
const act: fc.Arbitrary<Act> = fc.record({
  act: fc.constantFrom(
    "create", "create", "remove", "deliver", "deliver", "deliver", "answer", "answer", "fire", "kill", "drain", "add", "lease",
    "back", "holderGone", "headDies",
  ),
  n: fc.nat(1000), m: fc.nat(1000),
});
const STRATEGIES = ["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"] as const;
const BUNDLES = [{ CPU: 1 }, { CPU: 2 }, { CPU: 1, GPU: 1 }, { CPU: 3 }].map(units);

function perform(world: World, { act: what, n, m }: Act): void {
  const ids = [...world.agents.keys()];
  const id = ids[n % ids.length];
  const agent = world.agents.get(id);
  switch (what) {
    case "create": {
      const bundles = BUNDLES.slice(m % 4).concat(BUNDLES.slice(0, n % 3));
      return world.create(STRATEGIES[n % 4], bundles, `job${m % 2}`);
    }
    case "remove": return world.tell({ kind: "removed", group: `g${n % 8}`, reason: "it was removed" });
    case "holderGone":
      return m % 8 === 0 ? world.tell({ kind: "holderGone", holder: `job${n % 2}`, reason: "it ended" }) : undefined;
    case "headDies": return m % 4 === 0 ? world.headDies() : undefined;
    case "deliver": return agent?.deliver(m % 3 === 0);
    case "answer": return world.answer(id);
    case "fire": return world.fire(n);
    case "kill": return m % 4 === 0 ? world.lose(id, true) : undefined;
    case "drain": return m % 4 === 0 ? world.lose(id, false) : undefined;
    case "add": return ids.length < 6 ? world.addNode(1 + (m % 6)) : undefined;
    case "lease": return void agent?.inbox.push({ event: order({ wanted: m % 4, resources: units({ CPU: 1 }) }) });
    default: {
      const [lease] = agent?.queue.granted.keys() ?? [];
      if (lease === undefined) return;
      agent?.queue.granted.delete(lease);
      agent?.inbox.push({ event: { kind: "leaseReturned", lease } }, { event: order({ wanted: 0 }) });
    }
  }
}

/** Group names of a node's resources, and how much of the node they take. */
function groupsOn(agent: Agent): Set<string> {
  const names = Object.keys(agent.queue.queue.pool.total).filter((name) => name.startsWith("bundle@") && name.includes("#"));
  return new Set(names.map((name) => name.slice("bundle@".length)));
}

describe("random histories of groups", () => {
  test("end with each group whole or holding nothing, and with no node oversubscribed", () => {
    fc.assert(fc.property(fc.array(act, { maxLength: 100, size: "max" }), (acts) => {
      const world = new World();
      world.addNode(4);
      world.addNode(2);
      for (const one of acts) perform(world, one);
      // All work ends, so that what was to be given back is.
      for (const agent of world.agents.values()) {
        const { queue, inbox } = agent;
        inbox.push({ event: order({ wanted: 0 }) });
        while (inbox.length > 0) agent.deliver(false);
        for (const lease of queue.granted.keys()) inbox.push({ event: { kind: "leaseReturned", lease } });
      }
      world.settle();
      const lies = new Map<string, string>();
      for (const agent of world.agents.values()) for (const one of groupsOn(agent)) lies.set(one, agent.id);
      const expected = new Map<string, string>();
      for (const { id, strategy } of world.groups) {
        const view = world.book.view(id);
        const places = view?.bundles.map(({ node }) => node) ?? [];
        if (view?.state === "CREATED") expect(places).not.toContain("");
        if (view?.state === "PENDING" || view?.state === "REMOVED") expect(new Set(places)).toEqual(new Set([""]));
        const taken = places.filter((node) => node !== "");
        if (strategy === "STRICT_PACK") expect(new Set(taken).size).toBeLessThanOrEqual(1);
        if (strategy === "STRICT_SPREAD") expect(new Set(taken).size).toBe(taken.length);
        for (const [index, node] of places.entries()) if (node !== "") expected.set(`${id}#${index}`, node);
      }
      expect(lies).toEqual(expected);
      for (const { queue: { queue } } of world.agents.values()) {
        // Nothing is held for nobody: what is taken is what bundles took.
        const kept = [...expected].filter(([, node]) => world.agents.get(node)?.queue.queue === queue).map(([name]) => {
          const [id, index] = name.split("#");
          return world.groups.find((one) => one.id === id)?.bundles[Number(index)].CPU ?? 0;
        });
        const { available, total } = queue.pool;
        expect(plainResources(total).CPU - plainResources(available).CPU).toBe(kept.reduce((sum, one) => sum + one, 0));
      }
      // Whoever still waits fits nowhere: the first in line would have been placed.
      const waiting = world.groups.map(({ id }) => world.book.view(id)).filter((view) => view?.state === "PENDING");
      for (const view of waiting) {
        const fits = [...world.agents.values()].some(({ state, queue: { queue } }) => {
          return state === "ALIVE" && view?.bundles.length === 1 && resourcesFit(view.bundles[0].resources, queue.pool.available);
        });
        expect(fits).toBe(false);
      }
    }), { numRuns: 200 });
  });
});

describe("a group", () => {
  const head = (...nodes: [string, number, number][]): { book: GroupBook; view: GroupNode[] } => ({
    book: new GroupBook(),
    view: nodes.map(([id, total, available]) => ({
      id, state: "ALIVE", labels: {}, total: units({ CPU: total }), available: units({ CPU: available }),
      reclaimable: units({ CPU: total }),
    })),
  });
  const spec = (id: string, bundles: number[], strategy: GroupStrategy = "PACK"): GroupEvent => ({
    kind: "created",
    spec: { id, name: "", namespace: "", strategy, bundles: bundles.map((CPU) => units({ CPU })), jobId: "j", holder: "j" },
  });

  test("is created only when every node of its plan has answered", () => {
    const { book, view } = head(["a", 1, 1], ["b", 1, 1]);
    const reserved = book.step(spec("g", [1, 1]), () => view).filter(({ kind }) => kind === "reserve");
    expect(reserved).toMatchObject([{ node: "a", epoch: 2 }, { node: "b", epoch: 2 }]);
    expect(book.step({ kind: "held", group: "g", epoch: 2, node: "a" }, () => view)).toEqual([]);
    expect(book.step({ kind: "held", group: "g", epoch: 1, node: "b" }, () => view)).toEqual([]);
    expect(book.view("g")?.state).toBe("PENDING");
    expect(book.step({ kind: "held", group: "g", epoch: 2, node: "b" }, () => view)).toEqual([{ kind: "changed", group: "g" }]);
    expect(book.view("g")).toMatchObject({ state: "CREATED", bundles: [{ node: "a" }, { node: "b" }] });
  });

  test("that waits for running work insists, one group at a time; smaller ones go on beside it", () => {
    const { book, view } = head(["a", 4, 1]);
    const begun = book.step(spec("large", [4]), () => view);
    expect(begun).toMatchObject([{ kind: "armAttempt", ms: 30_000 }, { kind: "reserve", group: "large" }]);
    expect(book.step(spec("large-too", [3]), () => view)).toEqual([]);
    book.step({ kind: "refused", group: "large", epoch: 2, node: "a", text: "busy" }, () => view);
    expect(book.view("large-too")?.reason).toContain("waits for running work");
  });

  test("says what it waits for, and whether it can ever be", () => {
    const { book, view } = head(["a", 2, 2]);
    book.step(spec("g", [3, 1]), () => view);
    expect(book.view("g")?.reason).toBe("no nodes can ever hold PACK of {CPU: 3} {CPU: 1}. There are: node a {CPU: 2}");
  });

  test("gets back only what it lost, and waits before those that never had a place", () => {
    const { book, view } = head(["a", 2, 2], ["b", 2, 2]);
    book.step(spec("g", [1, 1], "STRICT_SPREAD"), () => view);
    for (const node of ["a", "b"]) book.step({ kind: "held", group: "g", epoch: 2, node }, () => view);
    book.step(spec("later", [9]), () => view);
    const lost = book.step({ kind: "nodeGone", node: "b", reason: "died" }, () => [view[0]]);
    expect(lost).toEqual([{ kind: "changed", group: "g" }]);
    expect(book.view("g")).toMatchObject({ state: "RESCHEDULING", bundles: [{ node: "a" }, { node: "" }] });
    const more = head(["a", 2, 1], ["c", 2, 2]).view;
    const again = book.step({ kind: "viewChanged" }, () => more);
    expect(again).toMatchObject([{ kind: "armAttempt" }, { node: "c", bundles: [{ index: 1 }] }]);
  });
});
