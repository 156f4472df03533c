// Every policy: which node it takes, what it waits for, and what it says when nobody can.

import { describe, expect, test } from "vitest";
import {
  type Choice, labelsMatch, type NodeView, parseSelectors, type Placement, placementOf, selectNode, type Strategy, UNITS_PER_ONE,
} from "../../../scheduler/index.ts";

function node(id: string, cpus: number, used = 0, more: Partial<NodeView> = {}): NodeView {
  const total = { CPU: cpus * UNITS_PER_ONE };
  return { id, state: "ALIVE", total, available: { CPU: (cpus - used) * UNITS_PER_ONE }, labels: {}, ...more };
}

function withGpu(id: string, cpus: number): NodeView {
  const total = { CPU: cpus * UNITS_PER_ONE, GPU: UNITS_PER_ONE };
  return { id, state: "ALIVE", total, available: total, labels: {} };
}

function asks(cpus: number, strategy?: Strategy, extra: Record<string, number> = {}): Placement {
  const parsed = placementOf({ CPU: cpus * UNITS_PER_ONE, ...extra }, strategy);
  if ("text" in parsed) throw new Error(parsed.text);
  return parsed.placement;
}

interface Chance {
  readonly local?: string;
  readonly random?: number;
  readonly cursor?: string;
}

function select(placement: Placement, nodes: readonly NodeView[], { local, random = 0, cursor = "" }: Chance = {}): Choice {
  return selectNode({ placement, nodes, local, random, cursor });
}

describe("default", () => {
  test("stays local below half use, even when others are empty", () => {
    expect(select(asks(1), [node("a", 4, 0), node("b", 4, 1)], { local: "b" })).toEqual({ kind: "node", node: "b" });
  });

  test("goes to a less used node from half use on", () => {
    expect(select(asks(1), [node("a", 4, 1), node("b", 4, 2)], { local: "b" })).toEqual({ kind: "node", node: "a" });
  });

  test("stays local when all are equally busy", () => {
    expect(select(asks(1), [node("a", 4, 3), node("b", 4, 3)], { local: "b" })).toEqual({ kind: "node", node: "b" });
  });

  test("draws among the best fifth, by the number it is given", () => {
    const nodes = Array.from({ length: 10 }, (_, index) => node(`n${index}`, 10, 9 - index * 0.1));
    const drawn = [0, 0.49, 0.5, 0.99].map((random) => select(asks(1), nodes, { random }));
    expect(drawn.map((choice) => choice.kind === "node" && choice.node)).toEqual(["n9", "n9", "n8", "n8"]);
  });

  test("does not depend on the order of the nodes", () => {
    const nodes = [node("c", 4, 3), node("a", 4, 3), node("b", 4, 3), node("d", 4), node("e", 4)];
    for (const random of [0, 0.5, 0.9]) {
      expect(select(asks(1), nodes, { random })).toEqual(select(asks(1), [...nodes].reverse(), { random }));
    }
  });

  test("waits where it will fit when nobody has room", () => {
    expect(select(asks(2), [node("a", 1), node("b", 4, 3)])).toEqual({ kind: "wait", node: "b" });
  });

  test("keeps machines with GPUs for work that needs them, while others have room", () => {
    const nodes = [withGpu("gpu", 4), node("plain", 4, 3)];
    expect(select(asks(1), nodes, { local: "gpu" })).toEqual({ kind: "node", node: "plain" });
    expect(select(asks(2), nodes, { local: "gpu" })).toEqual({ kind: "node", node: "gpu" });
    expect(select(asks(1, undefined, { GPU: UNITS_PER_ONE }), nodes)).toEqual({ kind: "node", node: "gpu" });
  });

  test("uses no node that drains or is dead", () => {
    const nodes = [node("a", 4, 0, { state: "DRAINING" }), node("b", 4, 0, { state: "DEAD" }), node("c", 4, 3)];
    expect(select(asks(1), nodes, { local: "a" })).toEqual({ kind: "node", node: "c" });
  });

  test("says what was asked and what exists when nobody can ever hold it", () => {
    const nodes = [node("a", 4), node("b", 8, 0, { labels: { zone: "x" } })];
    expect(select(asks(64, { kind: "default", labels: { zone: "x" } }), nodes)).toEqual({
      kind: "infeasible",
      text: "no node can ever hold {CPU: 64}, labels zone=x. "
        + "There are: node a {CPU: 4}: has labels none; node b {CPU: 8}: too little CPU.",
    });
    expect(select(asks(1), [])).toEqual({ kind: "infeasible", text: "no node can ever hold {CPU: 1}. There are no nodes." });
  });
});

describe("spread", () => {
  const spread: Strategy = { kind: "spread" };

  test("takes the nodes with room in turn", () => {
    const nodes = [node("c", 2), node("a", 2), node("b", 2, 2)];
    const turns: string[] = [];
    for (let cursor = "", turn = 0; turn < 4; turn += 1) {
      const choice = select(asks(1, spread), nodes, { cursor });
      if (choice.kind === "node") turns.push(cursor = choice.node);
    }
    expect(turns).toEqual(["a", "c", "a", "c"]);
  });

  test("survives the loss of the node at the cursor, and waits in turn", () => {
    expect(select(asks(1, spread), [node("a", 2), node("d", 2)], { cursor: "c" })).toEqual({ kind: "node", node: "d" });
    expect(select(asks(2, spread), [node("a", 2, 1), node("d", 2, 1)], { cursor: "a" })).toEqual({ kind: "wait", node: "d" });
    expect(select(asks(3, spread), [node("a", 2)]).kind).toBe("infeasible");
  });
});

describe("a named node", () => {
  const nodes = [node("a", 2, 2), node("b", 2), node("c", 2, 0, { state: "DRAINING" })];

  test("hard: that one or none", () => {
    expect(select(asks(1, { kind: "node", node: "b" }), nodes, { local: "a" })).toEqual({ kind: "node", node: "b" });
    expect(select(asks(1, { kind: "node", node: "a" }), nodes)).toEqual({ kind: "wait", node: "a" });
    expect(select(asks(3, { kind: "node", node: "a" }), nodes).kind).toBe("infeasible");
    const gone = select(asks(1, { kind: "node", node: "z" }), nodes);
    expect(gone.kind === "infeasible" && gone.text).toContain("{CPU: 1}, node z. There are: node a {CPU: 2}: is not the node");
    expect(select(asks(1, { kind: "node", node: "c" }), nodes).kind).toBe("infeasible");
  });

  test("soft: elsewhere only when that one never can", () => {
    expect(select(asks(1, { kind: "node", node: "a", soft: true }), nodes)).toEqual({ kind: "wait", node: "a" });
    expect(select(asks(1, { kind: "node", node: "z", soft: true }), nodes)).toEqual({ kind: "node", node: "b" });
    expect(select(asks(1, { kind: "node", node: "c", soft: true }), nodes)).toEqual({ kind: "node", node: "b" });
  });
});

describe("labels", () => {
  const matches = (text: string, labels: Record<string, string>): boolean => {
    const parsed = parseSelectors({ zone: text });
    if ("text" in parsed) throw new Error(parsed.text);
    return labelsMatch(parsed.selectors, labels);
  };

  test.each([
    ["a", true, false, false], ["!a", false, true, true], ["in(a, b)", true, true, false], ["!in(a,b)", false, false, true],
  ])("%s", (text, onA, onB, without) => {
    expect([matches(text, { zone: "a" }), matches(text, { zone: "b" }), matches(text, {})]).toEqual([onA, onB, without]);
  });

  test("all of them must match", () => {
    const parsed = parseSelectors({ zone: "a", disk: "!hdd" });
    expect("selectors" in parsed && labelsMatch(parsed.selectors, { zone: "a", disk: "ssd" })).toBe(true);
    expect("selectors" in parsed && labelsMatch(parsed.selectors, { zone: "a", disk: "hdd" })).toBe(false);
  });

  test.each(["", "!", "in()", "in(a,)", "a b", "!!a", "in(a"])("%o is refused", (text) => {
    expect(parseSelectors({ zone: text })).toHaveProperty("text");
    expect(placementOf({}, { kind: "default", labels: { zone: text } })).toHaveProperty("text");
  });

  test("unknown strategies are refused", () => {
    expect(placementOf({}, { kind: "best" })).toHaveProperty("text");
    expect(placementOf({}, { kind: "node" })).toHaveProperty("text");
  });
});
