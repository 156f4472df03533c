import { expect, test } from "vitest";
import { tableFromArrays } from "apache-arrow";
import { SerializationError, TroupeError } from "../../../runtime/errors.ts";
import { decodeThrown, encodeThrown } from "../../../runtime/serialize/index.ts";
import { UserError, codec, everything, hooks } from "./fixtures.ts";

// TROUPE_FUZZ=1000000 for a longer run; the seed is printed with a failure.
const RUNS = Number(process.env.TROUPE_FUZZ ?? 200_000);
const SEED = Number(process.env.TROUPE_FUZZ_SEED ?? 20260);

function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

function mutate(source: Buffer, next: () => number, other: Buffer): Buffer {
  let bytes = Buffer.from(source);
  for (let changes = 1 + Math.floor(next() * 4); changes > 0; changes--) {
    const at = Math.floor(next() * Math.min(bytes.length, next() < 0.8 ? 400 : bytes.length));
    switch (Math.floor(next() * 6)) {
      case 0:
        bytes[at] = Math.floor(next() * 256);
        break;
      case 1:
        bytes[at] ^= 1 << Math.floor(next() * 8);
        break;
      case 2:
        bytes = bytes.subarray(0, at);
        break;
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, at), other.subarray(0, Math.floor(next() * 40)), bytes.subarray(at)]);
        break;
      case 4:
        bytes[at] = 0xff;
        bytes[at + 1] = 0xff;
        bytes[at + 2] = 0xff;
        bytes[at + 3] = 0xff;
        break;
      default:
        bytes[at] = 0xb0 + Math.floor(next() * 0x50);
    }
    if (bytes.length === 0) break;
  }
  return bytes;
}

test(`${RUNS} mutated blocks give a value or a SerializationError`, () => {
  const next = random(SEED);
  const small = everything().filter((value) => !(ArrayBuffer.isView(value) && value.byteLength > 4096));
  const corpus = [...everything(), small, tableFromArrays({ a: [1, 2, 3] })].map((value) =>
    Buffer.from(codec.encode(value, hooks).toBytes()),
  );
  const outcomes = { value: 0, refused: 0 };
  const names = Object.getOwnPropertyNames(Object.prototype).length;
  for (let i = 0; i < RUNS; i++) {
    const bytes = mutate(corpus[Math.floor(next() * corpus.length)], next, corpus[Math.floor(next() * corpus.length)]);
    try {
      codec.decode(bytes, hooks);
      outcomes.value++;
    } catch (error) {
      if (!(error instanceof TroupeError))
        throw new Error(`seed ${SEED}, input ${i}: ${bytes.toString("hex").slice(0, 400)}`, { cause: error });
      outcomes.refused++;
    }
  }
  expect(Object.getOwnPropertyNames(Object.prototype).length).toBe(names);
  expect(outcomes.refused).toBeGreaterThan(RUNS / 10);
}, 600_000);

test("lengths that go past the bytes are refused before anything is made", () => {
  const claims = [
    "c100 d2 ffffffffffffff0f",
    "c100 d2 ffffff7f",
    "c100 ca ffffffff0f 61",
    "c100 cb ffffff7f",
    "c100 d9 ffffff7f",
    "c100 da ffffff7f",
    "c100 e4 ffffff7f",
    "c100 e5 00 ffffff7f",
    "c100 c9 00 ffffff7f",
    "c100 d5 ffffff7f",
    "c100 d7 ffffff7f",
    "c100 d0 05",
    "c100 d6 00",
    "c101 0000 ffffffff 000000000000f03f",
    "c101",
    "c1",
    "",
    "00",
    "c100",
    "c1000000",
    "c100 e6 08 00 08 0000000000000000 00 7f",
    "c100 f2 02 ffff",
    "c100 dc c0 f2 02 0000 00",
    "c100 dd 07",
    "c100 c4",
    "c102 00",
  ];
  for (const claim of claims) {
    expect(() => codec.decode(Buffer.from(claim.replaceAll(" ", ""), "hex"), hooks), claim).toThrow(SerializationError);
  }
});

test("a length alone makes no room", () => {
  const one = codec.encode(Object.assign([], { x: 1 }), hooks).toBytes();
  const claim = Buffer.concat([
    Buffer.from(one.subarray(0, 3)),
    Buffer.from([0x80, 0x80, 0x80, 0x0e]),
    Buffer.from(one.subarray(4)),
  ]);
  const list = Buffer.concat([
    Buffer.from([0xc1, 0, 0xd2, 0xe8, 0x07]),
    ...Array.from({ length: 1000 }, () => claim.subarray(2)),
  ]);
  const before = process.memoryUsage().rss;
  expect((codec.decode(list, hooks) as unknown[][])[999].length).toBe(14 * 2 ** 21);
  expect(process.memoryUsage().rss - before).toBeLessThan(200 * 2 ** 20);
});

test("bytes that nest without end are refused, not a crash", () => {
  for (const tag of [0xa1, 0xd1, 0xf4, 0xdc]) {
    expect(() => codec.decode(Buffer.concat([Buffer.from([0xc1, 0]), Buffer.alloc(1_000_000, tag)]), hooks)).toThrow(
      SerializationError,
    );
  }
  const pairs = Buffer.alloc(1_000_000);
  for (let i = 0; i < pairs.length; i += 2) pairs.set([0xd1, 0xa1], i);
  expect(() => codec.decode(Buffer.concat([Buffer.from([0xc1, 0]), pairs]), hooks)).toThrow(SerializationError);
});

test("no object that a hook returned gets another prototype or properties", () => {
  const code = Buffer.from(codec.encode([UserError], hooks).toBytes());
  const decorated = Buffer.concat([Buffer.from([0xc1, 0, 0xdc, 0xc1]), code.subarray(3), Buffer.from([1, 0x81, 0x78, 7, 1])]);
  expect(() => codec.decode(decorated, hooks)).toThrow(SerializationError);
  expect(Object.hasOwn(UserError, "x")).toBe(false);
});

test("mutated thrown errors give an error, never a crash", () => {
  const next = random(SEED + 1);
  const task = { taskName: "t", taskId: "1", workerPid: 1, nodeId: "n" };
  const corpus = [new UserError("u"), "text", new DOMException("d", "AbortError")].map((error) =>
    Buffer.from(encodeThrown(error, hooks, task)),
  );
  for (let i = 0; i < RUNS / 10; i++) {
    const bytes = mutate(corpus[i % corpus.length], next, corpus[0]);
    try {
      expect(decodeThrown(bytes, hooks)).toBeInstanceOf(Error);
    } catch (error) {
      if (!(error instanceof SerializationError)) throw error;
    }
  }
}, 120_000);
