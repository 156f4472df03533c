// Values through the public API: as arguments, results, fields of actors, and through put and get, between real processes.

import { deepStrictEqual } from "node:assert";
import { Readable } from "node:stream";
import { Socket } from "node:net";
import { RecordBatch, Table, tableFromArrays, Vector, vectorFromArray } from "apache-arrow";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { get, init, ObjectRef, put, remote, SerializationError, shutdown } from "troupe";

beforeAll(async () => {
  await init({ numCpus: 2, objectStoreMemory: "1GiB" });
});
afterAll(() => shutdown());

const echo = remote((value: unknown) => value);

class Box {
  held: unknown;
  constructor(held?: unknown) {
    this.held = held;
  }
  give(): unknown {
    return this.held;
  }
  take(value: unknown): unknown {
    this.held = value;
    return this.held;
  }
}
const BoxActor = remote(Box);
let box: ReturnType<typeof BoxActor.remote>;
beforeAll(() => {
  box = BoxActor.remote();
});

/** The value after each way that values travel. */
async function everyWay<T>(value: T): Promise<T[]> {
  const made = BoxActor.remote(value);
  const results = await Promise.all([
    get(echo.remote(value)), put(value).then((ref) => get(ref)), get(box.take.remote(value)), get(made.give.remote()),
    put({ inside: value }).then((ref) => get(ref)).then(({ inside }) => inside),
  ]);
  return results as T[];
}

async function failureOf(action: () => unknown): Promise<SerializationError & Error> {
  try {
    await action();
  } catch (error) {
    return error as SerializationError;
  }
  throw new Error("it did not fail");
}

class Point {
  readonly x: number;
  readonly y: number;
  constructor(x: number, y: number) {
    this.x = x;
    this.y = y;
  }
  get norm(): number {
    return Math.hypot(this.x, this.y);
  }
}
class Point3 extends Point {
  z = 0;
}
class Tags extends Map<string, unknown> {
  label = "none";
}
class HttpError extends Error {
  override name = "HttpError";
  status: number;
  constructor(text: string, status: number, options?: ErrorOptions) {
    super(text, options);
    this.status = status;
  }
}

function withFrozenParts(): unknown {
  return { list: Object.freeze([1, 2]), config: Object.freeze({ deep: Object.freeze({ a: 1 }) }) };
}

const cyclic: Record<string, unknown> = { map: new Map(), set: new Set() };
cyclic.self = cyclic;
(cyclic.map as Map<unknown, unknown>).set(cyclic, cyclic.set);
(cyclic.set as Set<unknown>).add(cyclic.map);

const nan = new Float64Array([Number.NaN, -0, Number.POSITIVE_INFINITY]);
new Uint8Array(nan.buffer)[1] = 7;
const sticky = /a+(?<name>b)/dgimsuy;
sticky.lastIndex = 3;
const sparse = Object.assign([1, , 3, , ,] as unknown[], { note: "kept" });

const plain: readonly (readonly [name: string, value: unknown])[] = [
  ["primitives", [undefined, null, true, -0, Number.NaN, 2 ** 53, -1e-300, "", "lone \ud800", "☃", "é".repeat(100)]],
  ["bigints", [0n, -1n, 2n ** 64n, -(7n ** 30_000n)]],
  ["symbols", [Symbol.for("registered"), Symbol.iterator, { [Symbol.for("key")]: 1, [Symbol.toStringTag]: "x" }]],
  ["boxed primitives", [Object(1), Object("text"), Object(false), Object(5n), Object(Symbol.for("s"))]],
  ["sparse arrays", [sparse, new Array(5), Object.assign(new Array(3_000_000_000), { 7: "seven" })]],
  ["typed arrays", [nan, new BigInt64Array([-1n]), new Uint8ClampedArray([300]), new Float32Array(0)]],
  ["large typed arrays", [new Float64Array(20_000).map((_, i) => i / 3), new Uint16Array(new ArrayBuffer(100_000), 2, 40_000)]],
  ["buffers", [Buffer.from("small"), Buffer.alloc(100_000, 3), new ArrayBuffer(10), new DataView(new ArrayBuffer(16), 4, 8)]],
  ["patterns and addresses", [sticky, /x/, new URL("https://example.org/a?b=c#d")]],
  ["collections", [new Map<unknown, unknown>([[{ key: 1 }, new Set([[1]])]]), new Set(["a", new Map()])]],
  ["a cycle", cyclic],
  ["no prototype", Object.assign(Object.create(null) as object, { a: 1 })],
  ["__proto__ as data", JSON.parse('{"__proto__": {"a": 1}, "constructor": 2, "toString": 3}')],
  ["hidden and read-only properties", Object.defineProperty({ a: 1 }, "hidden", { value: 2 })],
  ["frozen parts", withFrozenParts()],
  ["instances", [new Point(3, 4), Object.assign(new Point3(1, 2), { z: 3 }), new Tags([["k", new Point(0, 1)]])]],
  ["errors", [new HttpError("a", 404, { cause: new RangeError("b") }), new AggregateError([new TypeError("c")], "d")]],
];

describe("kinds of values", () => {
  test.each(plain)("%s", async (_, value) => {
    for (const result of await everyWay(value)) deepStrictEqual(result, value);
  });

  test("dates, also the one that is none", async () => {
    for (const [date, none] of await everyWay([new Date(1234), new Date(Number.NaN)])) {
      expect(date).toEqual(new Date(1234));
      expect(none).toBeInstanceOf(Date);
      expect(none.getTime()).toBeNaN();
    }
  });

  test("the bits of a NaN and the kind of a Buffer", async () => {
    for (const [array, buffer] of await everyWay([nan, Buffer.from("x")] as const)) {
      expect(new Uint8Array(array.buffer, array.byteOffset)[1]).toBe(7);
      expect(Buffer.isBuffer(buffer)).toBe(true);
    }
  });

  test("resizable buffers", async () => {
    const Resizable = ArrayBuffer as new (size: number, options: { maxByteLength: number }) => ArrayBuffer;
    for (const view of await everyWay(new Uint8Array(new Resizable(8, { maxByteLength: 64 })).fill(5))) {
      (view.buffer as unknown as { resize(size: number): void }).resize(16);
      expect([...view]).toEqual([...new Array<number>(8).fill(5), ...new Array<number>(8).fill(0)]);
    }
  });

  test("what was one object is one object", async () => {
    const shared = { a: 1 };
    const view = new Uint8Array(100_000);
    const value = { list: [shared, shared], map: new Map([[shared, shared]]), views: [view, view.subarray(1)] };
    for (const { list, map, views } of await everyWay(value)) {
      expect(list[0]).toBe(list[1]);
      expect(map.get(list[0])).toBe(list[0]);
      views[1][0] = 9;
      expect(views[0][1]).toBe(9);
    }
  });

  test("getters of plain objects are read; those of classes stay getters", async () => {
    let reads = 0;
    const value = {
      get now(): number {
        return ++reads;
      },
    };
    const result = await get(echo.remote(value)) as typeof value;
    expect(Object.getOwnPropertyDescriptor(result, "now")).toMatchObject({ value: reads, writable: true });
    expect(((await get(echo.remote(new Point(3, 4)))) as Point).norm).toBe(5);
  });

  test("Arrow tables, batches and vectors", async () => {
    const names = Array.from({ length: 20_000 }, (_, i) => `s${i % 9}`);
    const table = tableFromArrays({ x: new Float64Array(20_000).map((_, i) => i), names });
    const small = vectorFromArray([1, null, 3]);
    for (const result of await everyWay({ table, batch: table.batches[0], small, column: table.getChild("x") })) {
      expect([result.table, result.batch, result.small].map((it) => it.constructor)).toEqual([Table, RecordBatch, Vector]);
      expect(result.table.get(19_999)?.toJSON()).toEqual(table.get(19_999)?.toJSON());
      expect(result.small.toJSON()).toEqual([1, null, 3]);
      expect(result.column?.get(7)).toBe(7);
    }
  });
});

describe("shape and size", () => {
  test("a list of a million links, and arrays as deep", async () => {
    let list: unknown = "end";
    let nested: unknown = "end";
    for (let i = 0; i < 1_000_000; i++) {
      list = { next: list };
      nested = [nested];
    }
    const depths = remote((chain: unknown, arrays: unknown) => {
      let links = 0;
      for (let at = chain; at !== "end"; at = (at as { next: unknown }).next) links++;
      let levels = 0;
      for (let at = arrays; at !== "end"; at = (at as unknown[])[0]) levels++;
      return [links, levels, chain];
    });
    const [links, levels, back] = (await get(depths.remote(list, nested))) as [number, number, unknown];
    expect([links, levels]).toEqual([1_000_000, 1_000_000]);
    let found = 0;
    for (let at = back; at !== "end"; at = (at as { next: unknown }).next) found++;
    expect(found).toBe(1_000_000);
  }, 180_000);

  test("ten million elements, many keys", async () => {
    const elements = Array.from({ length: 10_000_000 }, (_, i) => i & 0xff);
    const keys = Object.fromEntries(Array.from({ length: 200_000 }, (_, i) => [`key ${i}`, i]));
    const measure = remote((list: number[], record: Record<string, number>) => (
      [list.length, list[9_999_999], Object.keys(record).length, record["key 199999"]]
    ));
    expect(await get(measure.remote(elements, keys))).toEqual([10_000_000, 9_999_999 & 0xff, 200_000, 199_999]);
    const ref = await put({ elements, keys });
    const back = await get(ref);
    expect(back.elements.length).toBe(10_000_000);
    expect(back.keys["key 100000"]).toBe(100_000);
  }, 180_000);
});

describe("refs, handles and code inside values", () => {
  test("refs as map keys, in sets, fields of instances and of errors", async () => {
    const refs = await Promise.all([put(1), put(2), put(3), put(4)]);
    type Ref = ObjectRef<number>;
    const sum = remote(async (value: { map: Map<Ref, string>; set: Set<Ref>; point: Point; error: Error }) => {
      const inner = [
        ...value.map.keys(), ...value.set, value.point.x as unknown as Ref, value.error.cause as Ref,
      ];
      return (await get(inner)).reduce((total, each) => total + each, 0);
    });
    const value = {
      map: new Map([[refs[0], "a"]]), set: new Set([refs[1]]), point: new Point(refs[2] as never, 0),
      error: new Error("with a ref", { cause: refs[3] }),
    };
    expect(await get(sum.remote(value))).toBe(10);
  });

  test("a ref in a thrown error is kept for who reads it", async () => {
    const fail = remote(async () => {
      throw Object.assign(new HttpError("see details", 500), { details: await put("x".repeat(100_000)) });
    });
    const error = await failureOf(() => get(fail.remote())) as unknown as HttpError & { details: ObjectRef<string> };
    expect(error).toBeInstanceOf(HttpError);
    expect(error.details).toBeInstanceOf(ObjectRef);
    expect((await get(error.details)).length).toBe(100_000);
  });

  test("actor handles, remote functions and classes, functions and classes", async () => {
    const double = remote((n: number) => n * 2);
    const factor = 3;
    interface Tools {
      readonly boxes: Map<string, typeof box>;
      readonly double: typeof double;
      readonly Actor: typeof BoxActor;
      readonly triple: (n: number) => number;
      readonly Type: typeof Point;
    }
    const use = remote(async (tools: Tools) => [
      await get(tools.boxes.get("one")!.take.remote(5)), await get(tools.double.remote(21)),
      await get(tools.Actor.remote(7).give.remote()), tools.triple(2), new tools.Type(3, 4).norm,
    ]);
    const tools = {
      boxes: new Map([["one", box]]), double, Actor: BoxActor, triple: (n: number) => n * factor, Type: Point,
    };
    expect(await get(use.remote(tools))).toEqual([5, 42, 7, 6, 5]);
  });

  test("classes and functions come back as the ones that left", async () => {
    const increment = (n: number): number => n + 1;
    const [type, fn, made] = await get(remote((Type: typeof Point, it: typeof increment) => (
      [Type, it, new Type(it(2), 4)] as const
    )).remote(Point, increment));
    expect(type).toBe(Point);
    expect(fn).toBe(increment);
    expect(made).toBeInstanceOf(Point);
    expect(made.norm).toBe(5);
  });
});

describe("what cannot travel", () => {
  const socket = new Socket();
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

  test.each([
    ["a promise", { items: [0, 1, 2, { cb: pause(1) }] }, "items[3].cb", /is a Promise: await it first/],
    ["a function that holds one", { items: [{ cb: () => socket }] }, "items[0].cb", /is a function that cannot travel.*Socket/],
    ["a stream in a Map", new Map([["log", [Readable.from([1])]]]), 'get("log")[0]', /is a Readable of node:stream/],
    ["a socket in an instance", new Point(socket as never, 0), "x", /Socket of node:net/],
    ["a symbol in an error", new Error("e", { cause: { s: Symbol("own") } }), "cause.s", /Symbol\(own\)/],
  ])("%s is named with its path, wherever it is given", async (_, value, path, message) => {
    const ways: readonly (readonly [string, () => unknown])[] = [
      ["args[1]", () => get(remote((_first: number, second: unknown) => second).remote(1, value))],
      ["args[0]", () => get(box.take.remote(value))],
      ["args[0]", () => get(BoxActor.remote(value).give.remote())],
      ["value", () => put(value)],
    ];
    for (const [root, action] of ways) {
      const error = await failureOf(action);
      expect(error).toBeInstanceOf(SerializationError);
      expect(error.path).toBe(`${root}.${path}`);
      expect(error.message).toMatch(message);
      expect(error.message.startsWith(`${root}.${path} `)).toBe(true);
    }
  });

  test("a result that cannot travel fails the task with its path, and the worker lives on", async () => {
    const error = await failureOf(() => get(remote(() => ({ rows: [1, { wait: Promise.resolve(1) }] })).remote()));
    expect(error).toBeInstanceOf(SerializationError);
    expect(error.path).toBe("result.rows[1].wait");
    expect(await get(echo.remote("still here"))).toBe("still here");
  });

  test("what an actor keeps to itself stays its own: the handle goes on working after a refusal", async () => {
    await failureOf(() => get(box.take.remote(pause(1))));
    expect(await get(box.take.remote(5))).toBe(5);
  });
});
