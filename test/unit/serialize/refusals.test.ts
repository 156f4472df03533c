import { EventEmitter } from "node:events";
import { generateKeyPairSync, createHash } from "node:crypto";
import { Readable } from "node:stream";
import { Socket } from "node:net";
import { expect, test } from "vitest";
import { CaptureError, SerializationError } from "../../../runtime/errors.ts";
import { registerSerializer } from "../../../runtime/serialize/index.ts";
import { codec, copy, hooks } from "./fixtures.ts";

class Secret {
  #hidden = 1;
  read(): number {
    return this.#hidden;
  }
}
class Derived extends Secret {
  open = 2;
}
class PrivateMethod {
  a = "#notPrivate";
  static #shared = 1;
  static read(): number {
    return PrivateMethod.#shared;
  }
  #run(): void {}
  go(): void {
    this.#run();
  }
}
class Harmless {
  // #comment
  text = "#text" + `#template ${"#nested"}`;
  pattern = /[#/]#x/;
  static #counter = 0;
  static next(): number {
    return ++Harmless.#counter;
  }
}
class Emitter extends EventEmitter {}
class Failure extends Error {}
class Labels extends Map<string, string> {}
class Account {
  #balance = 1;
  readonly give: (account: Account) => unknown;
  constructor(give: (account: Account) => unknown) {
    this.give = give;
  }
  get balance(): number {
    return this.#balance;
  }
}
function* generate(): Generator<number> {
  yield 1;
}
function argumentsOf(..._: unknown[]): unknown {
  return arguments;
}
const detached = new Uint8Array(8);
structuredClone(detached.buffer, { transfer: [detached.buffer] });
const revoked = Proxy.revocable({}, {});
revoked.revoke();

const cases: readonly (readonly [unknown, string, RegExp])[] = [
  [
    { items: [0, 1, 2, { cb: Promise.resolve() }] },
    "args[0].items[3].cb",
    /is a Promise: await it first, or pass the ObjectRef$/,
  ],
  [{ m: new Map([["k", [new WeakMap()]]]) }, 'args[0].m.get("k")[0]', /is a WeakMap/],
  [{ s: new Set([1, new WeakSet()]) }, "args[0].s.<item 1>", /is a WeakSet/],
  [new Map([[new WeakRef({}), 1]]), "args[0].<key <object>>", /is a WeakRef/],
  [{ "a-b": { p: new Proxy({}, {}) } }, 'args[0]["a-b"].p', /is a Proxy/],
  [{ p: revoked.proxy }, "args[0].p", /is a Proxy/],
  [{ b: new SharedArrayBuffer(8) }, "args[0].b", /SharedArrayBuffer.*send a copy/],
  [{ b: new Uint8Array(new SharedArrayBuffer(8)) }, "args[0].b", /view of a SharedArrayBuffer/],
  [{ stream: Readable.from([1]) }, "args[0].stream", /is a Readable of node:stream.*read it first/],
  [{ socket: new Socket() }, "args[0].socket", /Socket of node:net/],
  [{ it: generate() }, "args[0].it", /is a generator/],
  [{ it: new Map().entries() }, "args[0].it", /is an iterator/],
  [{ hash: createHash("sha1") }, "args[0].hash", /Hash of node:crypto/],
  [{ key: generateKeyPairSync("ed25519").publicKey }, "args[0].key", /key of node:crypto/],
  [{ format: new Intl.NumberFormat() }, "args[0].format", /native to the engine/],
  [{ timer: setTimeout(() => {}, 0).unref() }, "args[0].timer", /symbol of this process/],
  [{ secret: new Secret() }, "args[0].secret", /class Secret, which has a private field #hidden.*registerSerializer\(Secret,/],
  [{ secret: new Derived() }, "args[0].secret", /class Derived \(in its base Secret\)/],
  [{ p: new PrivateMethod() }, "args[0].p", /private field #run/],
  [{ e: new Emitter() }, "args[0].e", /Emitter, a kind of EventEmitter of node:events/],
  [{ symbol: Symbol("mine") }, "args[0].symbol", /Symbol\(mine\).*Symbol\.for/],
  [{ inner: { [Symbol("mine")]: 1 } }, "args[0].inner", /key Symbol\(mine\)/],
  [{ made: Object.create({ inherited: 1 }) }, "args[0].made", /a prototype that no class has/],
  [{ fake: Object.create(Map.prototype) }, "args[0].fake", /native to the engine/],
  [{ headers: new Headers() }, "args[0].headers", /Headers/],
  [{ blob: new Blob([]) }, "args[0].blob", /Blob/],
  [{ controller: new AbortController() }, "args[0].controller", /AbortController/],
  [{ params: new URLSearchParams() }, "args[0].params", /URLSearchParams/],
  [{ math: Math }, "args[0].math", /object of the engine/],
  [{ lost: detached }, "args[0].lost", /lost its memory/],
  [{ it: argumentsOf(1, 2) }, "args[0].it", /is an arguments object: send \[\.\.\.arguments\]/],
  [{ signal: new AbortController().signal }, "args[0].signal", /AbortSignal/],
  [{ module: new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0)) }, "args[0].module", /native to the engine/],
  [{ own: Object.defineProperty(new Harmless(), "now", { get: () => 1 }) }, "args[0].own.now", /a getter of one object only/],
];

test.each(cases)("case %# is refused with its path and a remedy", (value, path, message) => {
  let error: unknown;
  try {
    codec.encode([value], hooks, "args");
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(SerializationError);
  expect((error as SerializationError).path).toBe(path);
  expect((error as SerializationError).message).toMatch(message);
  expect((error as SerializationError).message.startsWith(path)).toBe(true);
  expect(codec.encodeSmall([value], Buffer.alloc(1000), 0, hooks)).toBe(-1);
});

test("a hash in text, comments, patterns or static members is no private field", () => {
  const result = copy(new Harmless());
  expect(result).toBeInstanceOf(Harmless);
  expect(result.text).toBe("#text#template #nested");
});

test("a real class is still copied after an impostor with its prototype was refused", () => {
  expect(() => copy(Object.create(Set.prototype))).toThrow(SerializationError);
  expect(copy(new Set([1]))).toEqual(new Set([1]));
});

test("a getter that throws is named, with its error as the cause", () => {
  const value = {
    get bad(): number {
      throw new RangeError("no");
    },
  };
  expect(() => copy(value)).toThrow(/value cannot be read: no/);
});

test("a function that cannot be captured is named with its path, and says why as the cause", () => {
  const about = { captureCode: "CAPTURE_NATIVE", variable: "it", path: [] };
  const cause = new CaptureError("can't send it: it captures a socket", about);
  const strict = {
    ...hooks,
    code: () => {
      throw cause;
    },
  };
  const refusalOf = (value: unknown): SerializationError => {
    try {
      codec.encode(value, strict, "args");
    } catch (error) {
      return error as SerializationError;
    }
    throw new Error("it was encoded");
  };
  const error = refusalOf([{ items: [0, { cb: () => 1 }] }]);
  expect(error).toMatchObject({ path: "args[0].items[1].cb", cause });
  expect(error.message).toBe("args[0].items[1].cb is a function that cannot travel: can't send it: it captures a socket");
  expect(refusalOf([[new Harmless()]])).toMatchObject({ path: "args[0][0]", cause });
  expect(refusalOf([[new Harmless()]]).message).toMatch(/is an instance of class Harmless, which cannot travel: can't send it/);
  expect(refusalOf({ error: new Failure() })).toMatchObject({ path: "args.error", cause });
  expect(refusalOf({ tags: new Labels() })).toMatchObject({ path: "args.tags", cause });
});

test("serializers: what throws, takes time, or names itself is refused at the door", () => {
  registerSerializer(Account, {
    serialize: (account) => account.give(account),
    deserialize: () => new Account(() => 0),
  });
  const gives = (give: (account: Account) => unknown): unknown => ({ accounts: [new Account(give)] });
  const cause = new RangeError("no");
  const throwing = gives(() => {
    throw cause;
  });
  expect(() => codec.encode(throwing, hooks, "args"))
    .toThrow(/^args\.accounts\[0\] cannot be copied because the serializer of Account threw: no/);
  const slow = gives(async () => 1);
  expect(() => codec.encode(slow, hooks, "args"))
    .toThrow(/has a serializer \(of Account\) that gives a Promise: serialize must be synchronous/);
  const circular = gives((account) => ({ deep: [account] }));
  expect(() => codec.encode(circular, hooks, "args")).toThrow(/^args\.accounts\[0\] holds itself in what its serializer gives/);
});

test("a subclass of a class with a serializer needs one of its own, whenever that was registered", () => {
  class Base {
    a = 1;
  }
  class Sub extends Base {
    b = 2;
  }
  expect(copy(new Sub())).toMatchObject({ a: 1, b: 2 });
  registerSerializer(Base, { serialize: ({ a }) => a, deserialize: (a) => Object.assign(new Base(), { a }) });
  expect(() => codec.encode({ sub: new Sub() }, hooks, "args"))
    .toThrow(/^args\.sub is an instance of class Sub, whose base Base has a serializer.*registerSerializer\(Sub,/);
  registerSerializer(Sub, {
    serialize: ({ a, b }) => [a, b],
    deserialize: ([a, b]) => Object.assign(new Sub(), { a, b: b * 2 }),
  });
  const result = copy([new Sub(), new Base()] as const);
  expect(result[0]).toBeInstanceOf(Sub);
  expect(result[0].b).toBe(4);
  expect(result[1].constructor).toBe(Base);
});

test("what deserialize throws is named, with its error as the cause; so is a Promise", () => {
  class Throwing {
    it = 1;
  }
  registerSerializer(Throwing, {
    serialize: () => 1,
    deserialize: () => {
      throw new RangeError("cannot");
    },
  });
  expect(() => copy([new Throwing()]))
    .toThrow(/^deserialize of the serializer of Throwing threw where the value arrived: cannot/);
  class Slow {
    it = 1;
  }
  registerSerializer(Slow, { serialize: () => 1, deserialize: (async () => new Slow()) as never });
  expect(() => copy([new Slow()])).toThrow(/gave a Promise/);
});

test("what a serializer gives is named through its object", () => {
  class Wrapped {
    readonly it: unknown = 1;
  }
  registerSerializer(Wrapped, { serialize: () => ({ bad: [Promise.resolve()] }), deserialize: () => new Wrapped() });
  expect(() => codec.encode({ a: new Wrapped() }, hooks, "args")).toThrow(/^args\.a\.<serialized>\.bad\[0\] is a Promise/);
});

test("a path through a million links is cut short, not a crash", () => {
  let value: unknown = Promise.resolve();
  for (let i = 0; i < 1_000_000; i++) value = { next: value };
  expect(() => codec.encode(value, hooks, "args")).toThrow(/^args(?:\.next)+….*more.*is a Promise/);
});
