// Hooks of a process that knows every function it was ever asked about, and values of every kind.

import type { DecodeHooks, EncodeHooks } from "../../../runtime/serialize/index.ts";
import { HANDLE_BRAND, REDUCE_BRAND, REF_BRAND, createCodec } from "../../../runtime/serialize/index.ts";

export const codec = createCodec();

export class Ref {
  readonly id: number;
  constructor(id: number) {
    this.id = id;
  }
}
Object.defineProperty(Ref.prototype, REF_BRAND, { value: true });

export class Handle {
  readonly id: number;
  constructor(id: number) {
    this.id = id;
  }
}
Object.defineProperty(Handle.prototype, HANDLE_BRAND, { value: true });

const functions: Function[] = [];
export const hooks: EncodeHooks & DecodeHooks = {
  ref: ((it: Ref | Uint8Array) => (it instanceof Uint8Array ? new Ref(it[0]) : Uint8Array.of(it.id))) as EncodeHooks["ref"] &
    DecodeHooks["ref"],
  handle: ((it: Handle | Uint8Array) =>
    it instanceof Uint8Array ? new Handle(it[0]) : Uint8Array.of(it.id)) as EncodeHooks["ref"] & DecodeHooks["ref"],
  code: ((it: Function | Uint8Array) => {
    if (it instanceof Uint8Array) {
      const found = functions[it[0] + it[1] * 256];
      if (found === undefined) throw new Error("code is not known here");
      return found;
    }
    let index = functions.indexOf(it);
    if (index < 0) index = functions.push(it) - 1;
    return Uint8Array.of(index & 255, index >> 8);
  }) as EncodeHooks["code"] & DecodeHooks["code"],
};

/** Through both ways of encoding, which must agree. */
export function copy<T>(value: T): T {
  const encoded = codec.encode(value, hooks);
  const bytes = encoded.toBytes();
  const target = Buffer.alloc(64 * 1024, 0xee);
  const end = codec.encodeSmall(value, target, 3, hooks);
  if (end >= 0 && !target.subarray(3, end).equals(bytes)) throw new Error("encodeSmall and encode differ");
  return codec.decode(bytes, hooks) as T;
}

export class Point {
  x: number;
  y: number;
  constructor(x: number, y: number) {
    this.x = x;
    this.y = y;
  }
  get length(): number {
    return Math.hypot(this.x, this.y);
  }
}
export class Tags extends Map<string, number> {
  label = "";
}
export class UserError extends Error {
  status = 418;
  override name = "UserError";
}
export class Reduced {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
  [REDUCE_BRAND](): readonly [Function, readonly unknown[]] {
    return [restoreReduced, [this.text]];
  }
}
export function restoreReduced(text: string): Reduced {
  return new Reduced(text);
}

const PRIMITIVES: readonly unknown[] = [
  undefined, null, true, false, 0, -0, 1, 127, 128, -1, -128, -129, 32767, -32768, 2 ** 31 - 1, -(2 ** 31), 2 ** 31,
  2 ** 53, 0.1, NaN, Infinity, -Infinity, 0n, -1n, 123456789012345678901234567890n, "", "a", "latin1 é", "snowman ☃",
  "lone \ud800 x", "x".repeat(31), "x".repeat(41), "é".repeat(500), "☃".repeat(500), Symbol.for("registered"),
  Symbol.iterator,
];

/** A value of every kind the format knows. */
export function everything(): unknown[] {
  const cyclic: Record<string, unknown> = { name: "cycle" };
  cyclic.self = cyclic;
  const shared = { shared: true };
  const buffer = new ArrayBuffer(64);
  const large = new Float64Array(9000).map((_, i) => i / 3);
  const match = /(?<word>b.)/.exec("abc");
  const tags = Object.assign(new Tags([["a", 1]]), { label: "extra" });
  return [
    ...PRIMITIVES,
    new Date(0),
    new Date(NaN),
    /a+/giu,
    new Map<unknown, unknown>([
      [1, "a"],
      [shared, shared],
    ]),
    new Set<unknown>([1, shared]),
    Object(1),
    Object("boxed"),
    Object(false),
    Object(7n),
    Object(Symbol.for("s")),
    buffer,
    new Uint8Array(buffer, 8, 8),
    new Int16Array(buffer),
    new DataView(buffer, 4, 4),
    Buffer.from("pooled"),
    Buffer.alloc(70_000, 7),
    large,
    large.subarray(10, 20),
    [1, , 3],
    new Array(5),
    match,
    cyclic,
    shared,
    shared,
    Object.assign(Object.create(null), { a: 1 }),
    JSON.parse('{"__proto__": {"evil": true}, "constructor": 1}'),
    Object.defineProperty({ seen: 1 }, "hidden", { value: 2, enumerable: false }),
    { [Symbol.for("key")]: 1 },
    new Error("message", { cause: new TypeError("cause") }),
    new AggregateError([new RangeError("one")], "many"),
    new UserError("mine"),
    new DOMException("stopped", "AbortError"),
    new URL("https://example.org/a?b#c"),
    new Point(3, 4),
    tags,
    new Ref(5),
    new Handle(6),
    restoreReduced,
    new Reduced("again"),
    Array.from({ length: 30 }, (_, id) => ({ id, name: `row ${id}`, inner: { id } })),
  ];
}
