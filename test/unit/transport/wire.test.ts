// The static code, as this project uses it, against protobufjs' own reflection, over random messages of every type of the
// contract.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import protobuf from "protobufjs";
import { beforeAll, describe, expect, it } from "vitest";
import * as contract from "../../../proto/generated/contract.ts";
import { type Codec, fromBytes, Reader, toBytes, WireError, Writer } from "../../../proto/wire.ts";
import { RELEASE } from "../../../runtime/release.ts";
import packageJson from "../../../package.json" with { type: "json" };
import { randomOf } from "../../seeded.ts";

const root = new protobuf.Root().loadSync(new URL("../../../proto/troupe.proto", import.meta.url).pathname).resolveAll();
const types = (root.lookup("troupe.v1") as protobuf.Namespace).nestedArray
  .filter((entry): entry is protobuf.Type => entry instanceof protobuf.Type && !["Frame", "Message"].includes(entry.name));
const codecOf = (name: string): Codec<object> => (contract as unknown as Record<string, Codec<object>>)[name];
const random = randomOf(7);

const TEXTS = ["", "a", "0123456789abcdef", "naïve", "x".repeat(31) + "é", "日本語", "y".repeat(200), "__proto__", "\u0000"];
const LONGS = [0, 1, 127, 128, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 35 + 3, Number.MAX_SAFE_INTEGER];

function scalarOf(type: string): unknown {
  switch (type) {
    case "string": return random.pick(TEXTS);
    case "bytes": return Buffer.alloc(random.pick([0, 1, 20, 47, 49, 300, 70_000]), random.below(256));
    case "bool": return random.below(2) === 1;
    case "uint32": return random.pick([0, 1, 127, 128, 300, 2 ** 31, 2 ** 32 - 1]);
    case "sint32": return random.pick([0, 1, -1, 2 ** 31 - 1, -(2 ** 31)]);
    case "uint64": return random.pick(LONGS);
    case "sint64": return random.pick(LONGS) * random.pick([1, -1]) || 0;
    default: return random.below(5);
  }
}

function bodyOf(type: protobuf.Type, depth: number): Record<string, unknown> {
  const body: Record<string, unknown> = {};
  const chosen = new Set(type.oneofsArray.map((oneof) => random.pick(oneof.fieldsArray).name));
  for (const field of type.fieldsArray) {
    if (field.partOf ? !chosen.has(field.name) : random.below(3) === 0) continue;
    const nested = field.resolvedType instanceof protobuf.Type ? field.resolvedType : undefined;
    if (nested && depth > 3) continue;
    const one = (): unknown => (nested ? bodyOf(nested, depth + 1) : scalarOf(field.type));
    if (field.map) body[field.name] = Object.fromEntries(
      Array.from({ length: random.below(4) }, (_, i) => [TEXTS[i + 1], one()]));
    else if (field.repeated) body[field.name] = Array.from({ length: random.below(4) }, one);
    else body[field.name] = one();
  }
  return body;
}

const digest = (bytes: Uint8Array): string => (bytes.length === 0 ? "" : createHash("sha256").update(bytes).digest("hex"));

/** Numbers as strings, bytes as digests, only what is set: one form for both libraries. */
function plain(type: protobuf.Type, body: Record<string, unknown>): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const field of type.fieldsArray) {
    const value = Object.hasOwn(body, field.name) ? body[field.name] : undefined;
    if (value === undefined || value === null) continue;
    const nested = field.resolvedType instanceof protobuf.Type ? field.resolvedType : undefined;
    const one = (item: unknown): unknown =>
      nested ? plain(nested, item as Record<string, unknown>) : item instanceof Uint8Array ? digest(item) : String(item);
    if (field.map) {
      const entries = Object.entries(value as object).map(([key, item]) => [key, one(item)] as const);
      if (entries.length > 0) out[field.name] = entries.sort(([a], [b]) => (a < b ? -1 : 1));
    } else if (field.repeated) {
      if ((value as unknown[]).length > 0) out[field.name] = (value as unknown[]).map(one);
    } else if (field.partOf || nested || !["0", "", "false"].includes(String(one(value)))) out[field.name] = one(value);
  }
  return out;
}

describe("generated codecs", () => {
  it.each(types.map((type) => [type.name, type] as const))("%s is read and written as protobufjs does", (_name, type) => {
    const codec = codecOf(type.name);
    for (let round = 0; round < 40; round++) {
      const body = bodyOf(type, 0);
      const expected = plain(type, body);
      const ours = Buffer.from(toBytes(codec, body as never));
      expect(plain(type, type.decode(ours) as never)).toEqual(expected);
      const theirs = Buffer.from(type.encode(type.fromObject(body)).finish());
      expect(plain(type, fromBytes(codec, theirs) as never)).toEqual(expected);
      expect(plain(type, fromBytes(codec, ours) as never)).toEqual(expected);
      expect(Buffer.compare(toBytes(codec, fromBytes(codec, ours) as never), ours)).toBe(0);
    }
  });

  it("knows which member of a oneof is set", () => {
    const value = fromBytes(contract.Value, toBytes(contract.Value, { failure: { code: "X" } }));
    expect(value.kind).toBe("failure");
    expect(fromBytes(contract.Value, toBytes(contract.Value, { value: new Uint8Array(0) })).value).toEqual(new Uint8Array(0));
    expect(fromBytes(contract.Value, new Uint8Array(0)).kind).toBeUndefined();
  });

  it("passes over fields it does not know", () => {
    const known = Buffer.from(toBytes(contract.Suspended, { lease: "abc" }));
    const unknown = Buffer.from([0xf8, 0x7f, 0x05, 0xfa, 0x7f, 0x02, 1, 2, 0xfd, 0x7f, 1, 2, 3, 4, 0xf9, 0x7f, 1, 2, 3, 4, 5,
      6, 7, 8]);
    expect(fromBytes(contract.Suspended, Buffer.concat([unknown, known, unknown])).lease).toBe("abc");
  });

  it("maps have no prototype, so no key can reach one", () => {
    const entry = toBytes(contract.NodeInfo, { labels: Object.fromEntries([["__proto__", "x"], ["constructor", "y"]]) });
    const { labels } = fromBytes(contract.NodeInfo, entry);
    expect(Object.getPrototypeOf(labels)).toBeNull();
    expect(Object.keys(labels)).toEqual(["__proto__", "constructor"]);
  });

  it("refuses numbers it cannot hold, both ways", () => {
    expect(() => toBytes(contract.Ping, { nonce: 2 ** 53 })).toThrow(RangeError);
    expect(() => toBytes(contract.Ping, { nonce: -1 })).toThrow(RangeError);
    expect(() => toBytes(contract.Ping, { nonce: 1.5 })).toThrow(RangeError);
    for (const number of [2 ** 53, -1, 1.5, Number.NaN]) {
      expect(() => toBytes(contract.Borrow, { objects: [1, number] })).toThrow(RangeError);
      const resources = { CPU: number === -1 ? -(2 ** 53) : number };
      expect(() => toBytes(contract.LeaseRequest, { resources })).toThrow(RangeError);
    }
    const beyond = root.lookupType("troupe.v1.Ping").encode({ nonce: 2 ** 53 }).finish();
    expect(() => fromBytes(contract.Ping, beyond)).toThrow(WireError);
  });

  it("refuses nesting without end, both ways", () => {
    let failure: contract.Failure | undefined;
    for (let i = 0; i < 200; i++) failure = { code: "X", text: "", fields: "", cause: failure };
    expect(() => toBytes(contract.Failure, failure!)).toThrow("max depth");
    // A cause of itself, a thousand times over: field 4, as many bytes as follow.
    let bytes = Buffer.alloc(0);
    for (let i = 0; i < 1000; i++)
      bytes = Buffer.concat([Buffer.from([34, (bytes.length & 127) | 128, bytes.length >> 7]), bytes]);
    expect(() => fromBytes(contract.Failure, bytes)).toThrow(WireError);
  });

  it("writes every text as UTF-8, and refuses what is not", () => {
    for (const length of [3, 40, 200]) {
      const lease = "\ud800".padEnd(length, "x");
      expect(fromBytes(contract.Suspended, toBytes(contract.Suspended, { lease })).lease).toBe(`\ufffd${lease.slice(1)}`);
      const bytes = Buffer.from([10, (length & 127) | 128, length >> 7, ...Buffer.alloc(length, 0xff)]);
      expect(() => fromBytes(contract.Suspended, bytes)).toThrow(WireError);
    }
  });

  it("holds every field, also of a sender that writes defaults or leaves out those of a map's entry", () => {
    const absent = { index: 0, value: undefined, owner: "", object: 0, ownerNode: "" };
    for (const bytes of [[], [8, 0, 26, 0, 32, 0]]) {
      const bound = fromBytes(contract.BoundArg, Buffer.from(bytes));
      expect({ ...bound }).toEqual(absent);
      expect(toBytes(contract.BoundArg, bound)).toHaveLength(0);
    }
    const node = fromBytes(contract.NodeInfo, Buffer.from([34, 3, 10, 1, 67]));
    expect({ ...node.total }).toEqual({ C: 0 });
  });

  it("leaves protobufjs as it is for the program around it", () => {
    expect(protobuf.util.Long).toBeTruthy();
    expect(protobuf.util.recursionLimit).toBe(100);
    expect("protobuf" in globalThis).toBe(false);
  });

  it.each([1_000, 1_024, 20_000, 3_000_000])("%i nested bytes are read as they were written", (length) => {
    const bytes = Buffer.alloc(length, 7);
    const failure = { code: "C", text: "t".repeat(200), cause: { code: "D" } };
    const written = toBytes(contract.TaskDone, { task: 5, results: [{ value: bytes }, { failure }, { error: bytes }], pid: 9 });
    const done = fromBytes(contract.TaskDone, written);
    expect([done.task, done.pid, done.results.map((result) => result.kind)]).toEqual([5, 9, ["value", "failure", "error"]]);
    expect(bytes.equals(done.results[0].value!) && bytes.equals(done.results[2].error!)).toBe(true);
    const type = root.lookupType("troupe.v1.TaskDone");
    expect(plain(type, type.decode(written) as never)).toEqual(plain(type, done as never));
  });

  it("large bytes of an owned frame are views of it; of a lent one they are copies", () => {
    const bytes = Buffer.from(toBytes(contract.Chunk, { bytes: Buffer.alloc(64 * 1024, 1) }));
    const reader = new Reader();
    reader.open(bytes, 0, bytes.length, true);
    const view = contract.Chunk.decode(reader, bytes.length).bytes;
    reader.open(bytes, 0, bytes.length, false);
    const copy = contract.Chunk.decode(reader, bytes.length).bytes;
    bytes.fill(2, 100);
    expect([view.at(-1), copy.at(-1)]).toEqual([2, 1]);
  });

  it("a write that throws leaves the writer as it was", () => {
    const writer = new Writer(16);
    contract.Ping.encode({ nonce: 5 }, writer);
    const before = writer.pos;
    const unencodable = { code: "x".repeat(100), cause: { get text(): string { throw new Error("no"); } } };
    expect(() => contract.Failure.encode(unencodable, writer.fork())).toThrow();
    writer.rewind(before);
    contract.Ping.encode({ nonce: 6 }, writer);
    expect(writer.buf.subarray(0, writer.pos)).toEqual(Buffer.from([8, 5, 8, 6]));
  });
});

describe("the checked-in code", () => {
  let output = "";
  beforeAll(() => {
    output = execFileSync(process.execPath, ["scripts/generate-proto.mjs", "--check"], { encoding: "utf8" });
  });
  it("is what the contract generates", () => expect(output).toBe(""));
  it("carries the package's version", () => expect(RELEASE).toBe(packageJson.version));
});
