import { deepStrictEqual } from "node:assert";
import fc from "fast-check";
import { expect, test } from "vitest";
import { SerializationError, TroupeError, ObjectLostError } from "../../../runtime/errors.ts";
import { registerSerializer } from "../../../runtime/serialize/index.ts";
import { Handle, Point, Reduced, Ref, Tags, UserError, codec, copy, everything, hooks, restoreReduced } from "./fixtures.ts";

test.each(everything().map((value, index) => [index, value]))("value %i keeps its kind and contents", (_, value) => {
  const result = copy(value);
  if (value instanceof Reduced) expect((result as Reduced).text).toBe(value.text);
  else if (value instanceof Date) expect(Object.is(value.getTime(), (result as Date).getTime())).toBe(true);
  else deepStrictEqual(result, value);
});

test("the size of a plan is what is written, and its parts are the block", () => {
  for (const value of [...everything(), everything()]) {
    const encoded = codec.encode(value, hooks);
    const bytes = encoded.toBytes();
    expect(bytes.length).toBe(encoded.size);
    const fromParts = Buffer.alloc(encoded.size, 0xaa);
    let at = 0;
    for (const part of encoded.parts()) {
      expect(part.offset).toBe(at);
      at += part.bytes.length;
      fromParts.set(part.bytes, part.offset);
    }
    expect(at).toBe(encoded.size);
    expect(fromParts.equals(bytes)).toBe(true);
    const target = new Uint8Array(encoded.size + 8).fill(0xaa);
    encoded.writeTo(target);
    expect(Buffer.from(target.subarray(encoded.size)).every((byte) => byte === 0xaa)).toBe(true);
  }
});

test("arbitrary values with shared parts and cycles come back equal", () => {
  const leaf = fc.anything({
    withBigInt: true,
    withMap: true,
    withSet: true,
    withTypedArray: true,
    withSparseArray: true,
    withNullPrototype: true,
    withBoxedValues: true,
    maxDepth: 4,
  });
  const value = fc.tuple(leaf, leaf, fc.array(leaf)).map(([a, b, more]) => {
    const root: Record<string, unknown> = { a, b, again: a, more, map: new Map([[b, a]]), set: new Set([a, b]) };
    root.self = root;
    root.list = [root, more, { a }];
    return root;
  });
  fc.assert(
    fc.property(value, (it) => deepStrictEqual(copy(it), it)),
    { numRuns: 1500 },
  );
});

test("strings of any code units are exact", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => copy(text) === text),
    { numRuns: 2000 },
  );
  const units = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 100 }).map((codes) => String.fromCharCode(...codes));
  fc.assert(
    fc.property(units, (text) => copy({ [text]: text })[text] === text),
    { numRuns: 1000 },
  );
});

test("identity: what was one object is one object", () => {
  const item = { a: 1 };
  const fn = (): void => {};
  const point = new Point(1, 2);
  const result = copy({ list: [item, item], map: new Map([[item, item]]), fns: [fn, fn], point, points: new Set([point]) });
  expect(result.list[0]).toBe(result.list[1]);
  expect(result.map.get(result.list[0])).toBe(result.list[0]);
  expect(result.fns).toEqual([fn, fn]);
  expect(result.points.has(result.point)).toBe(true);
});

test("__proto__ is data and pollutes nothing", () => {
  const result = copy(JSON.parse('{"__proto__": {"polluted": true}}')) as object;
  expect(Object.getPrototypeOf(result)).toBe(Object.prototype);
  expect(Object.hasOwn(result, "__proto__")).toBe(true);
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  const rows = Array.from({ length: 20 }, () => JSON.parse('{"__proto__": 1, "b": 2}') as object);
  deepStrictEqual(copy(rows), rows);
});

test("sparse arrays stay sparse, and huge ones cost nothing", () => {
  const huge: unknown[] = new Array(4_000_000_000);
  huge[5] = "five";
  huge[3_999_999_999] = { last: true };
  const result = copy(huge);
  expect(result.length).toBe(4_000_000_000);
  expect(Object.keys(result)).toEqual(["5", "3999999999"]);
  expect(codec.encode(huge, hooks).size).toBeLessThan(100);
  const long = Object.assign(
    Array.from({ length: 500 }, (_, i) => i),
    { extra: "kept" },
  );
  expect(copy(long).extra).toBe("kept");
});

test("arrays keep enumerable properties; hidden ones only when frozen, as template literals are", () => {
  for (const length of [5, 500]) {
    const list = Array.from({ length }, (_, i) => i);
    expect("secret" in copy(Object.defineProperty(list, "secret", { value: 1 }))).toBe(false);
    expect(copy(Object.assign(list, { extra: "kept" })).extra).toBe("kept");
  }
  const strings = ((parts: TemplateStringsArray, ..._: unknown[]) => parts)`a\n${1}b`;
  expect(copy(strings).raw).toEqual(["a\\n", "b"]);
  const many = Object.freeze(Object.defineProperty(new Array(500).fill(0), "raw", { value: 1 }));
  expect(Object.getOwnPropertyDescriptor(copy(many), "raw")).toMatchObject({ value: 1, enumerable: false });
});

test("a list of a million links, deep arrays, maps and instances go both ways", () => {
  class Link {
    next: unknown;
    constructor(next: unknown) {
      this.next = next;
    }
  }
  const links: readonly ((next: unknown) => unknown)[] = [
    (next) => ({ next }),
    (next) => [next],
    (next) => new Map([["next", next]]),
    (next) => new Set([next]),
    (next) => new Link(next),
    (next) => Object.assign(new Tags(), { next }),
    (next) => new Error("deep", { cause: next }),
  ];
  for (const [index, link] of links.entries()) {
    const depth = index === 0 ? 1_000_000 : 50_000;
    let value: unknown = "end";
    for (let i = 0; i < depth; i++) value = link(value);
    let at: unknown = copy(value);
    let found = 0;
    for (; at !== "end"; found++) at = nextOf(at);
    expect(found).toBe(depth);
  }
}, 180_000);

function nextOf(value: unknown): unknown {
  if (Array.isArray(value)) return value[0];
  if (value instanceof Tags) return (value as unknown as { next: unknown }).next;
  if (value instanceof Map) return value.get("next");
  if (value instanceof Set) return [...value][0];
  return value instanceof Error ? value.cause : (value as { next: unknown }).next;
}

test("wide values go both ways", () => {
  const wide = {
    list: Array.from({ length: 1_000_000 }, (_, i) => i),
    dictionary: Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`k${i}`, { i }])),
  };
  const result = copy(wide);
  expect(result.list.length).toBe(1_000_000);
  expect(result.list[999_999]).toBe(999_999);
  expect(Object.keys(result.dictionary).length).toBe(50_000);
  expect(result.dictionary.k49999).toEqual({ i: 49999 });
});

test("classes: instances, subclasses of built-ins, hidden and read-only properties", () => {
  const point = new Point(3, 4);
  Object.defineProperty(point, "hidden", { value: 9, enumerable: false, writable: false, configurable: true });
  const result = copy(point);
  expect(result).toBeInstanceOf(Point);
  expect(result.length).toBe(5);
  deepStrictEqual(Object.getOwnPropertyDescriptors(result), Object.getOwnPropertyDescriptors(point));
  class Vec extends Float64Array {}
  class List extends Array<number> {}
  const vec = Vec.of(1, 2);
  const list = List.of(1, 2, 3);
  const both = copy({ vec, list, dated: Object.assign(new Date(5), { note: "x" }) });
  expect(both.vec).toBeInstanceOf(Vec);
  expect([...both.vec]).toEqual([1, 2]);
  expect(both.list).toBeInstanceOf(List);
  expect([...both.list]).toEqual([1, 2, 3]);
  expect(both.dated.note).toBe("x");
});

test("errors keep class, message, stack, cause, errors and own fields", () => {
  const cause = new RangeError("inner");
  const error = Object.assign(new UserError("outer", { cause }), { extra: new Map([[1, 2]]) });
  const result = copy(error);
  expect(result).toBeInstanceOf(UserError);
  expect(result.stack).toBe(error.stack);
  expect(result.cause).toBeInstanceOf(RangeError);
  expect(result.extra).toEqual(error.extra);
  expect(result.status).toBe(418);
  const lost = copy(new ObjectLostError("gone", { objectId: "x" }, cause));
  expect(lost).toBeInstanceOf(ObjectLostError);
  expect(lost).toBeInstanceOf(TroupeError);
  expect([lost.code, lost.objectId, (lost.cause as Error).message]).toEqual(["OBJECT_LOST", "x", "inner"]);
  const abort = copy(new DOMException("stop", "AbortError"));
  expect([abort.name, abort.code, abort instanceof DOMException]).toEqual(["AbortError", 20, true]);
  let node: unknown;
  try {
    Buffer.alloc("x" as unknown as number);
  } catch (thrown) {
    node = thrown;
  }
  expect(copy(node)).toBeInstanceOf(TypeError);
  expect((copy(node) as { code: string }).code).toBe("ERR_INVALID_ARG_TYPE");
  const selfCaused = new Error("loop");
  selfCaused.cause = selfCaused;
  expect(copy(selfCaused).cause).toBeInstanceOf(Error);
});

test("hooks carry refs, handles and functions; reduce supplies a stand-in", () => {
  const ref = new Ref(7);
  const result = copy({ refs: [ref, ref], handle: new Handle(3), fn: restoreReduced, reduced: new Reduced("text") });
  expect(result.refs[0]).toBeInstanceOf(Ref);
  expect(result.refs[0].id).toBe(7);
  expect(result.refs[0]).toBe(result.refs[1]);
  expect(result.handle.id).toBe(3);
  expect(result.fn).toBe(restoreReduced);
  expect(result.reduced.text).toBe("text");
  const proxied = new Proxy(function target() {}, {
    has: (_, key) => key === Symbol.for("troupe.handle"),
    get: (_, key) => (key === "id" ? 9 : undefined),
  });
  expect((copy([proxied]) as unknown as Handle[])[0].id).toBe(9);
});

test("registerSerializer copies what has private state, also nested and shared", () => {
  class Account {
    #balance: number;
    readonly owner: unknown;
    constructor(balance: number, owner: unknown) {
      this.#balance = balance;
      this.owner = owner;
    }
    get balance(): number {
      return this.#balance;
    }
  }
  registerSerializer(Account, {
    serialize: (account) => ({ balance: account.balance, owner: account.owner }),
    deserialize: ({ balance, owner }) => new Account(balance, owner),
  });
  const inner = new Account(1, "nobody");
  const result = copy([new Account(2, { deep: inner }), inner]);
  expect(result[0].balance).toBe(2);
  expect((result[0] as Account).owner).toEqual({ deep: inner });
  expect((result[0].owner as { deep: unknown }).deep).toBe(result[1]);
  let nested = inner;
  for (let i = 0; i < 90; i++) nested = new Account(i, nested);
  expect(copy(nested).balance).toBe(89);
  for (let i = 0; i < 90; i++) nested = new Account(i, nested);
  expect(() => copy(nested)).toThrow(SerializationError);
});

test("an encoder may be used inside a getter of a value that is being encoded", () => {
  const value = {
    get nested(): unknown {
      return copy({ inner: [1, 2, 3] });
    },
    after: "x",
  };
  expect(copy(value)).toEqual({ nested: { inner: [1, 2, 3] }, after: "x" });
});

test("encodeSmall says -1 when it does not fit, needs buffers or refuses, and leaves nothing behind", () => {
  const target = Buffer.alloc(32);
  expect(codec.encodeSmall("x".repeat(100), target, 0, hooks)).toBe(-1);
  expect(codec.encodeSmall(new Uint8Array(5000), Buffer.alloc(10_000), 0, hooks)).toBe(-1);
  expect(codec.encodeSmall(Promise.resolve(), target, 0, hooks)).toBe(-1);
  const end = codec.encodeSmall([1, "x", { a: 1 }], target, 0, hooks, true);
  expect(codec.decode(target.subarray(0, end), hooks)).toEqual([1, "x", { a: 1 }]);
});
