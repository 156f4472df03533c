// Quotas of jobs: the head's book and the gates of nodes, with news that arrive late and cross on the way.

import { describe, expect, it } from "vitest";
import { type LeaseEffect, QuotaBook, type QuotaEffect, type Resources } from "../../../scheduler/index.ts";
import { order, QueueHarness, units } from "./queue-harness.ts";

const CPU = 10_000;

/** Nodes with a lease queue each, and the head: what they tell one another is kept in order and delivered when asked. */
class QuotaWorld {
  readonly book = new QuotaBook();
  readonly nodes = new Map<string, QueueHarness>();
  readonly #toHead = new Map<string, Extract<LeaseEffect, { kind: "tellQuota" }>[]>();
  readonly #toNode = new Map<string, QuotaEffect[]>();
  readonly #owed = new Map<string, Resources>();
  readonly limit: Resources;

  constructor(count: number, cpus: number, limit: Resources) {
    this.limit = limit;
    this.book.begun("job", limit);
    this.book.open();
    for (let index = 0; index < count; index += 1) {
      const name = `n${index}`;
      const harness = new QueueHarness({ CPU: cpus }, { nodeId: name });
      this.nodes.set(name, harness);
      harness.step({ kind: "jobBegun", jobId: "job", quota: limit });
    }
  }

  do(name: string, ...events: Parameters<QueueHarness["step"]>): void {
    const harness = this.nodes.get(name) as QueueHarness;
    this.tell(name, harness.step(...events));
    this.check();
  }

  tell(name: string, effects: readonly LeaseEffect[]): void {
    for (const effect of effects) if (effect.kind === "tellQuota") push(this.#toHead, name, effect);
  }

  get undelivered(): (() => void)[] {
    const up = [...this.#toHead].filter(([, list]) => list.length > 0).map(([name, list]) => () => {
      const { kind: _kind, ...report } = list.shift() as (typeof list)[number];
      for (const effect of this.book.reported(name, report)) push(this.#toNode, effect.node, effect);
    });
    const down = [...this.#toNode].filter(([, list]) => list.length > 0).map(([name, list]) => () => {
      const { node: _node, ...share } = list.shift() as QuotaEffect;
      this.do(name, { kind: "quotaShared", ...share });
    });
    return [...up, ...down];
  }

  settle(): void {
    for (let steps = 0; this.undelivered.length > 0; steps += 1) {
      expect(steps, "the exchange comes to rest").toBeLessThan(10_000);
      this.undelivered[0]();
    }
  }

  get held(): number {
    let sum = 0;
    for (const { queue } of this.nodes.values()) for (const { resources } of queue.leases.values()) sum += resources.CPU ?? 0;
    return sum;
  }

  check(): void {
    expect(this.held).toBeLessThanOrEqual(this.limit.CPU);
  }
}

function push<T>(map: Map<string, T[]>, key: string, value: T): void {
  map.set(key, [...(map.get(key) ?? []), value]);
}

function randomOf(seed: number): () => number {
  return () => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return seed / 2_147_483_648;
  };
}

describe("quotas", () => {
  it("a node grants nothing of a limited job until the head has given it a share", () => {
    const world = new QuotaWorld(1, 4, units({ CPU: 2 }));
    world.do("n0", order({ wanted: 4 }));
    expect(world.held).toBe(0);
    const node = world.nodes.get("n0") as QueueHarness;
    expect(node.queue.waiting(10).map(({ reason }) => reason)).toEqual(["quota"]);
    world.settle();
    expect(world.held).toBe(2 * CPU);
    expect(node.queue.waiting(10)).toMatchObject([{ reason: "quota", unmet: 2 }]);
  });

  it("leaves jobs without a quota alone, and other resources than those it names", () => {
    const world = new QuotaWorld(1, 4, { CPU: CPU });
    const node = world.nodes.get("n0") as QueueHarness;
    node.step(order({ wanted: 2, jobId: "free", origin: "other" }), order({ wanted: 1, resources: {}, schedulingClass: 2 }));
    expect(node.granted.size).toBe(3);
  });

  it("refuses what asks for more than the quota", () => {
    const world = new QuotaWorld(1, 8, units({ CPU: 2 }));
    world.do("n0", order({ resources: units({ CPU: 3 }), graceMs: Infinity }));
    expect((world.nodes.get("n0") as QueueHarness).of("refuse")).toMatchObject([{ code: "INFEASIBLE" }]);
  });

  it("an order from a node that knew of the quota first waits for the head's word", () => {
    const node = new QueueHarness({ CPU: 4 });
    node.step(order({ limited: true, hops: 1 }));
    expect(node.granted.size).toBe(0);
    expect(node.of("tellQuota")).toHaveLength(1);
    node.step({ kind: "quotaShared", jobId: "job", version: 1, share: units({ CPU: 1 }), wanted: false });
    expect(node.granted.size).toBe(1);
  });

  it("what a node does not need goes to another, also from leases that its owner keeps", () => {
    const world = new QuotaWorld(2, 4, units({ CPU: 2 }));
    world.do("n0", order({ wanted: 2 }));
    world.settle();
    world.do("n1", order({ wanted: 1, origin: "worker" }));
    world.settle();
    const first = world.nodes.get("n0") as QueueHarness;
    const [back] = first.of("askBack");
    expect(back.reason).toBe("demand");
    world.do("n0", { kind: "leaseReturned", lease: back.lease }, order({ wanted: 1 }));
    world.settle();
    expect((world.nodes.get("n1") as QueueHarness).granted.size).toBe(1);
  });

  it("one node that is busy for ever gives half of the quota to another that waits", () => {
    const world = new QuotaWorld(2, 8, units({ CPU: 4 }));
    world.do("n0", order({ wanted: 100 }));
    world.settle();
    world.do("n1", order({ wanted: 100, origin: "worker" }));
    world.settle();
    for (let round = 0; round < 20; round += 1) {
      world.do("n0", { kind: "sliceElapsed" });
      const asked = [...(world.nodes.get("n0") as QueueHarness).queue.leases.values()].filter((lease) => lease.asked === "share");
      for (const { id } of asked) world.do("n0", { kind: "leaseReturned", lease: id });
      world.settle();
    }
    expect([...world.nodes.values()].map(({ queue }) => queue.leases.size)).toEqual([2, 2]);
  });

  it("the share of a node that dies is free again", () => {
    const world = new QuotaWorld(2, 4, units({ CPU: 2 }));
    world.do("n0", order({ wanted: 2 }));
    world.settle();
    world.do("n1", order({ wanted: 2, origin: "worker" }));
    world.settle();
    world.nodes.delete("n0");
    expect(world.book.nodeGone("n0").find(({ node }) => node === "n1")?.share).toEqual(units({ CPU: 2 }));
  });

  it("a head that starts anew gives nothing until all have told what they hold", () => {
    const world = new QuotaWorld(2, 4, units({ CPU: 2 }));
    world.do("n0", order({ wanted: 2 }));
    world.settle();
    world.do("n1", order({ wanted: 1, origin: "worker" }));
    const [first, second] = [...world.nodes.values()].map(({ queue }) => queue.known().quotas[0]);
    const book = new QuotaBook();
    book.begun("job", world.limit);
    expect(book.reported("n1", second)).toEqual([]);
    expect(book.reported("n0", first)).toEqual([]);
    // It holds all of it, and another waits.
    expect(book.heldOf("job")).toEqual(units({ CPU: 2 }));
    expect(book.open()).toMatchObject([{ node: "n0", share: units({ CPU: 1 }), version: first.version + 1, wanted: true }]);
  });

  it("never holds more than the quota, whatever happens when, and serves all in the end", () => {
    for (let seed = 1; seed <= 30; seed += 1) {
      const random = randomOf(seed);
      const pick = (below: number): number => Math.floor(random() * below);
      const world = new QuotaWorld(3, 4, units({ CPU: 1 + pick(6) }));
      const names = [...world.nodes.keys()];
      const left = new Map<string, number>();
      const sizeOf = (kind: number): number => Math.min(1 + kind, world.limit.CPU / CPU, 4);
      const wish = (node: string, kind: number): void => world.do(node, order({
        origin: `owner-${node}`, schedulingClass: kind, resources: units({ CPU: sizeOf(kind) }),
        wanted: left.get(`${node} ${kind}`) ?? 0,
      }));
      const end = (): void => {
        const node = names[pick(names.length)];
        const lease = [...(world.nodes.get(node) as QueueHarness).queue.leases.values()].at(0);
        if (lease === undefined) return;
        const key = `${node} ${lease.order.request.schedulingClass}`;
        left.set(key, Math.max(0, (left.get(key) ?? 0) - 1));
        const wanted = left.get(key) ?? 0;
        const again = order({ ...lease.order.request, wanted });
        world.do(node, { kind: "leaseReturned", lease: lease.id }, again);
      };
      for (let step = 0; step < 400; step += 1) {
        const act = random();
        const [node, kind] = [names[pick(names.length)], pick(3)];
        if (act < 0.25 && step < 250) {
          left.set(`${node} ${kind}`, (left.get(`${node} ${kind}`) ?? 0) + 1);
          wish(node, kind);
        } else if (act < 0.5) end();
        else world.undelivered.at(pick(world.undelivered.length))?.();
      }
      for (let step = 0; step < 3000 && [...left.values()].some((count) => count > 0); step += 1) {
        world.settle();
        end();
      }
      expect([...left.values()].every((count) => count === 0), `seed ${seed}: all were served`).toBe(true);
      world.settle();
      expect(world.held).toBe(0);
      expect(Object.values(world.book.heldOf("job")).every((amount) => amount === 0), `seed ${seed}: nothing is kept`).toBe(true);
    }
  });
});
