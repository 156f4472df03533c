// A function is captured once: what of its variables has changed since is found, with the way to it.

import { Buffer } from "node:buffer";
import { expect, test } from "vitest";
import { contentHash, createShipper, type ShipperHooks } from "../../runtime/closure/index.ts";

/** What `change` does to what `fn` captured, as the shipper tells it. */
function changeOf(fn: Function, change: () => void, hooks: ShipperHooks = {}): string | undefined {
  const shipper = createShipper(hooks);
  shipper.capture(fn);
  expect(shipper.changed(fn)).toBeUndefined();
  change();
  return shipper.changed(fn);
}

test("a variable, also of a function that is called", () => {
  let n = 1;
  let text = "a";
  const helper = (): number => n;
  expect(changeOf(() => n, () => (n = 2))).toBe("n");
  expect(changeOf(() => helper(), () => (n = 3))).toBe("n");
  expect(changeOf(() => text, () => (text += "b"))).toBe("text");
  expect(changeOf(() => [n, text], () => {})).toBeUndefined();
});

test("inside of objects, arrays, maps, sets, dates and buffers", () => {
  const config = { deep: { rate: 1, list: [1, 2] }, at: new Date(5) };
  const map = new Map([["a", { b: 1 }]]);
  const set = new Set([1]);
  const bytes = new Uint8Array(10);
  const buffer = Buffer.from("abc");
  expect(changeOf(() => config, () => (config.deep.rate = 2))).toBe("config.deep.rate");
  expect(changeOf(() => config, () => config.deep.list.push(3))).toBe("config.deep.list");
  expect(changeOf(() => config, () => config.at.setTime(6))).toBe("config.at");
  expect(changeOf(() => map, () => ((map.get("a") as { b: number }).b = 2))).toBe("map.a.b");
  expect(changeOf(() => set, () => set.add(2))).toBe("set");
  expect(changeOf(() => bytes, () => (bytes[3] = 1))).toBe("bytes");
  expect(changeOf(() => buffer, () => (buffer[0] = 1))).toBe("buffer");
});

test("a class: its static fields and what its methods use", () => {
  let limit = 1;
  class Counter {
    static made = 0;
    readonly top = limit;
  }
  expect(changeOf(Counter, () => (Counter.made += 1))).toBe("Counter.made");
  expect(changeOf(Counter, () => (limit = 2))).toBe("limit");
});

test("a value that another took the place of", () => {
  let any: unknown = 1;
  const values: unknown[] = ["1", [1], { a: 1 }, { a: 1, b: 2 }, () => 1, () => 2, null, undefined, Symbol.iterator, 1n];
  for (const value of values) expect(changeOf(() => any, () => (any = value))).toBe("any");
});

test("what can't be captured any more has changed", () => {
  let any: unknown = 1;
  expect(changeOf(() => any, () => (any = Promise.resolve()))).toBe("any");
});

test("cycles end, and equal values made anew are equal", () => {
  interface Node {
    next?: Node;
    value: number;
  }
  let ring: Node = { value: 1 };
  ring.next = { value: 2, next: ring };
  expect(changeOf(() => ring, () => {
    const again: Node = { value: 1 };
    again.next = { value: 2, next: again };
    ring = again;
  })).toBeUndefined();
  expect(changeOf(() => ring, () => ((ring.next as Node).value = 3))).toBe("ring.next.value");
});

test("a ref is the same whatever is known of it; another ref is another", () => {
  const REF = Symbol.for("troupe.ref");
  let known = "";
  let ref = { id: "1", [REF]: true };
  const hook = {
    encode: (value: object) => Buffer.from((value as { id: string }).id + known), decode: () => ({}),
    identity: (value: object) => Buffer.from((value as { id: string }).id),
  };
  expect(changeOf(() => ref, () => (known = "its value"), { ref: hook })).toBeUndefined();
  expect(changeOf(() => ref, () => (ref = { id: "2", [REF]: true }), { ref: hook })).toBe("ref");
});

test("large data that is kept apart, without keeping it again", () => {
  const kept: string[] = [];
  const data = {
    keep: (bytes: Uint8Array) => (kept.push(contentHash(bytes)), contentHash(bytes)),
    load: () => Promise.resolve(new ArrayBuffer(0)),
  };
  const large = new Float64Array(100_000);
  expect(changeOf(() => large, () => (large[7] = 1), { data })).toBe("large");
  expect(kept).toHaveLength(1);
});

test("a function that was never captured has not changed", () => {
  expect(createShipper().changed(() => 1)).toBeUndefined();
});
