// What is kept is what was used last; work past the gate waits its turn.

import { describe, expect, test } from "vitest";
import { Gate, Recent } from "../../../runtime/core/index.ts";

describe("Recent", () => {
  test("forgets the longest unused", () => {
    const recent = new Recent<string, number>(2);
    recent.set("a", 1);
    recent.set("b", 2);
    expect(recent.get("a")).toBe(1);
    recent.set("c", 3);
    expect([recent.get("a"), recent.get("b"), recent.get("c")]).toEqual([1, undefined, 3]);
    expect(recent.size).toBe(2);
  });

  test("looking is no use: two sides that look and set alike forget alike", () => {
    const [one, other] = [new Recent<number, number>(3), new Recent<number, number>(3)];
    for (let at = 0; at < 10; at += 1) {
      one.has(at - 2);
      one.peek(at - 3);
      one.set(at, at);
      other.set(at, at);
    }
    for (let at = 0; at < 10; at += 1) expect(one.has(at)).toBe(other.has(at));
    expect(one.has(7) && !one.has(6)).toBe(true);
  });

  test("keeps more when more are needed at once", () => {
    const recent = new Recent<number, number>(2);
    recent.reserve(5);
    recent.reserve(1);
    for (let at = 0; at < 5; at += 1) recent.set(at, at);
    expect(recent.size).toBe(5);
    recent.set(5, 5);
    expect(recent.has(0)).toBe(false);
  });
});

describe("Gate", () => {
  test("lets so many in at once, in order, also past those that fail", async () => {
    const gate = new Gate(2);
    let inside = 0;
    let most = 0;
    const order: number[] = [];
    const work = async (at: number) => {
      order.push(at);
      most = Math.max(most, ++inside);
      await new Promise((resolve) => setImmediate(resolve));
      inside -= 1;
      if (at % 3 === 0) throw new Error(`no ${at}`);
      return at;
    };
    const results = await Promise.allSettled(Array.from({ length: 10 }, (_, at) => gate.run(() => work(at))));
    expect(results.map(({ status }) => status === "fulfilled")).toEqual(Array.from({ length: 10 }, (_, at) => at % 3 !== 0));
    expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(most).toBe(2);
  });

  test("work begins in the same turn while there is room", () => {
    let begun = false;
    void new Gate(1).run(async () => {
      begun = true;
    });
    expect(begun).toBe(true);
  });
});
