// Copies of an object on nodes that come, copy, fail and die: while one of them lives there are as many again as there can be.

import fc from "fast-check";
import { expect, test } from "vitest";
import { type CopyOrder, Replicas } from "../../../runtime/core/index.ts";

test("the first home leads: it has others copy until there are enough, and tells the rest", () => {
  const lead = new Replicas("n1");
  lead.track("a", 3, ["n1"]);
  expect(lead.orders(["n2", "n3", "n4"])).toEqual([{ id: "a", to: "n2" }, { id: "a", to: "n3" }]);
  expect(lead.orders(["n2", "n3", "n4"])).toEqual([]);
  expect(lead.made({ id: "a", to: "n2" })).toEqual([]);
  lead.failed({ id: "a", to: "n3" });
  expect(lead.orders(["n4", "n3"])).toEqual([{ id: "a", to: "n4" }]);
  expect(lead.made({ id: "a", to: "n4" })).toEqual(["n2"]);
  expect(lead.homesOf("a")).toEqual(["n1", "n2", "n4"]);
  const follower = new Replicas("n2");
  follower.track("a", 3, ["n1", "n2", "n4"]);
  expect(follower.orders(["n3"])).toEqual([]);
  follower.nodeGone("n1");
  expect(follower.orders(["n3", "n4"])).toEqual([{ id: "a", to: "n3" }]);
  follower.forget("a");
  expect(follower.made({ id: "a", to: "n3" })).toEqual([]);
});

test("a home that is leaving has another copy made, and leads until it is gone", () => {
  const lead = new Replicas("n1");
  lead.track("a", 1, ["n1"]);
  expect(lead.orders(["n2", "n3"], new Set())).toEqual([]);
  expect(lead.orders(["n2", "n3"], new Set(["n1"]))).toEqual([{ id: "a", to: "n2" }]);
  lead.made({ id: "a", to: "n2" });
  expect(lead.orders(["n3"], new Set(["n1"]))).toEqual([]);
  expect(lead.homesOf("a")).toEqual(["n1", "n2"]);
});

interface Node {
  readonly book: Replicas;
  has: boolean;
}

const NODES = ["n0", "n1", "n2", "n3", "n4"];
const event = fc.oneof(
  fc.record({ kind: fc.constant("die" as const), node: fc.constantFrom(...NODES) }),
  fc.record({ kind: fc.constantFrom("sweep" as const, "answer" as const, "fail" as const), node: fc.constantFrom(...NODES) }),
);

/** Agents that do what their books say; a copy arrives, or fails, some time after it was ordered. */
class Cluster {
  readonly nodes = new Map<string, Node>(NODES.map((id) => [id, { book: new Replicas(id), has: id === "n0" }]));
  readonly underway: { readonly from: string; readonly order: CopyOrder; readonly homes: readonly string[] }[] = [];

  constructor(wanted: number) {
    this.nodes.get("n0")?.book.track("a", wanted, ["n0"]);
  }

  sweep(id: string): void {
    const node = this.nodes.get(id);
    const others = [...this.nodes.keys()].filter((one) => one !== id);
    for (const order of node?.book.orders(others) ?? []) {
      this.underway.push({ from: id, order, homes: [...(node as Node).book.homesOf("a"), order.to] });
    }
  }

  answer(wanted: number, succeeds: boolean): void {
    const next = this.underway.shift();
    if (next === undefined) return;
    const [from, to] = [this.nodes.get(next.from), this.nodes.get(next.order.to)];
    if (succeeds && from !== undefined && to !== undefined) {
      to.has = true;
      to.book.track("a", wanted, next.homes.filter((home) => this.nodes.has(home)));
    }
    if (!succeeds || to === undefined) return from?.book.failed(next.order);
    for (const home of from?.book.made(next.order) ?? []) {
      this.nodes.get(home)?.book.track("a", wanted, from?.book.homesOf("a") ?? []);
    }
  }

  die(id: string): void {
    if (!this.nodes.delete(id)) return;
    for (const { book } of this.nodes.values()) book.nodeGone(id);
  }

  copies(): number {
    return [...this.nodes.values()].filter(({ has }) => has).length;
  }
}

test("the node that leads says that copies are missing until they are made", () => {
  const [one, two] = [new Replicas("n1"), new Replicas("n2")];
  one.track("a", 2, ["n1"]);
  expect(one.lacks("a")).toBe(true);
  const [order] = one.orders(["n2"]);
  expect(one.lacks("a")).toBe(true);
  two.track("a", 2, ["n1", "n2"]);
  one.made(order);
  expect([one.lacks("a"), two.lacks("a"), one.lacks("b")]).toEqual([false, false, false]);
  one.nodeGone("n2");
  two.nodeGone("n1");
  expect([one.lacks("a"), two.lacks("a")]).toEqual([true, true]);
});

test("in any history, once nothing more happens there are as many copies as wanted, or as nodes, or none at all", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 4 }), fc.array(event, { maxLength: 30 }), (wanted, events) => {
    const cluster = new Cluster(wanted);
    for (const { kind, node } of events) {
      if (kind === "die" && cluster.nodes.size > 1) cluster.die(node);
      else if (kind === "sweep") cluster.sweep(node);
      else if (kind !== "die") cluster.answer(wanted, kind === "answer");
      for (const [id, { book, has }] of cluster.nodes) if (has) expect(book.homesOf("a")).toContain(id);
    }
    const survived = cluster.copies() > 0;
    for (let round = 0; round < 10; round += 1) {
      for (const node of NODES) cluster.sweep(node);
      while (cluster.underway.length > 0) cluster.answer(wanted, true);
    }
    if (!survived) expect(cluster.copies()).toBe(0);
    else expect(cluster.copies()).toBeGreaterThanOrEqual(Math.min(wanted, cluster.nodes.size));
  }));
});
