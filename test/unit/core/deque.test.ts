// The deque against an array that does the same.

import fc from "fast-check";
import { expect, test } from "vitest";
import { Deque } from "../../../runtime/core/index.ts";

type Act = "pushBack" | "pushFront" | "popFront" | "popBack" | "remove" | "drain";

test("does what an array does, in any order of calls", () => {
  const act = fc.record({
    act: fc.constantFrom<Act>("pushBack", "pushBack", "pushBack", "pushFront", "popFront", "popBack", "remove", "drain"),
    n: fc.nat(50),
  });
  fc.assert(
    fc.property(fc.array(act, { maxLength: 120 }), (acts) => {
      const deque = new Deque<number>();
      const model: number[] = [];
      let next = 0;
      for (const { act: name, n } of acts) {
        if (name === "pushBack") model.push(next), deque.pushBack(next++);
        else if (name === "pushFront") model.unshift(next), deque.pushFront(next++);
        else if (name === "popFront") expect(deque.popFront()).toBe(model.shift());
        else if (name === "popBack") expect(deque.popBack()).toBe(model.pop());
        else if (name === "drain") expect(deque.drain()).toEqual(model.splice(0));
        else {
          const [item] = model.splice(n % Math.max(1, model.length), 1);
          if (item !== undefined) deque.remove(item);
        }
        expect(deque.size).toBe(model.length);
        expect(deque.front()).toBe(model[0]);
      }
      expect(deque.drain()).toEqual(model);
    }),
  );
});

test("keeps its order over many thousands of items", () => {
  const deque = new Deque<number>();
  let taken = 0;
  for (let item = 0; item < 20_000; item += 1) {
    deque.pushBack(item);
    if (item % 3 !== 0) expect(deque.popFront()).toBe(taken++);
  }
  while (deque.size > 0) expect(deque.popFront()).toBe(taken++);
  expect(taken).toBe(20_000);
  expect(deque.popFront()).toBeUndefined();
  expect(deque.popBack()).toBeUndefined();
});

test("takes out a hundred thousand items from anywhere without a pass for each", () => {
  const deque = new Deque<number>();
  for (let item = 0; item < 100_000; item += 1) deque.pushBack(item);
  for (let item = 0; item < 100_000; item += 1) if (item % 1000 !== 7) deque.remove(item);
  expect(deque.size).toBe(100);
  expect(deque.drain()).toEqual(Array.from({ length: 100 }, (_, index) => index * 1000 + 7));
});
