import { tableFromArrays, Table, Vector, vectorFromArray, makeVector, RecordBatch } from "apache-arrow";
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { codec, copy, hooks } from "./fixtures.ts";

/** As the store gives it: memory of its own that starts on a page. */
function stored(value: unknown): Uint8Array {
  const encoded = codec.encode(value, hooks);
  const block = new Uint8Array(new ArrayBuffer(encoded.size));
  encoded.writeTo(block);
  return block;
}

test("large typed arrays are views of the block at 64-byte boundaries; small ones are copies", () => {
  const value = {
    big: new Float64Array(10_000).fill(1.5),
    middle: new Uint8Array(5000).fill(3),
    small: new Int16Array([1, 2]),
    buffer: Buffer.alloc(70_000, 9),
  };
  const block = stored(value);
  const result = codec.decode(block, hooks) as typeof value;
  expect(result.big.buffer).toBe(block.buffer);
  expect(result.big.byteOffset % 64).toBe(0);
  expect(result.buffer.buffer).toBe(block.buffer);
  expect(Buffer.isBuffer(result.buffer)).toBe(true);
  expect(result.middle.buffer).not.toBe(block.buffer);
  expect(result.small.buffer).not.toBe(block.buffer);
  expect(result).toEqual(value);
  expect(codec.encode(value, hooks).outOfBandBytes).toBe(80_000 + 5000 + 70_000);
});

test("views of one ArrayBuffer keep sharing it, also with the buffer itself", () => {
  for (const bytes of [64, 8192, 100_000]) {
    const buffer = new ArrayBuffer(bytes);
    const value = { bytes: new Uint8Array(buffer), words: new Uint32Array(buffer, 8, 4), view: new DataView(buffer, 2) };
    const result = codec.decode(stored(value), hooks) as typeof value;
    result.words[0] = 0xffffffff;
    expect(result.bytes[8]).toBe(255);
    expect(result.view.getUint8(6)).toBe(255);
    expect(result.words.buffer).toBe(result.bytes.buffer);
    const whole = codec.decode(stored({ ...value, buffer }), hooks) as typeof value & { buffer: ArrayBuffer };
    expect(whole.bytes.buffer).toBe(whole.buffer);
    expect(whole.buffer.byteLength).toBe(bytes);
    expect(whole.words.byteOffset).toBe(8);
  }
});

test("a small view of a large buffer costs what it shows, and pooled buffers show nothing else", () => {
  const large = new Uint8Array(1 << 20);
  expect(codec.encode(large.subarray(100_003, 100_013), hooks).size).toBeLessThan(256);
  expect(copy(large.subarray(100_003, 100_013)).length).toBe(10);
  const pooled = Buffer.from("hello");
  expect(codec.encode(pooled, hooks).size).toBeLessThan(16);
});

test("resizable buffers stay resizable, with views that track them and views that do not", () => {
  const Resizable = ArrayBuffer as new (size: number, options: { maxByteLength: number }) => ArrayBuffer;
  for (const size of [16, 100_000]) {
    const buffer = new Resizable(size, { maxByteLength: size * 2 });
    new Uint8Array(buffer).fill(7);
    const result = copy({
      whole: new Uint8Array(buffer), rest: new Uint16Array(buffer, 8), data: new DataView(buffer, 4),
      part: new Uint8Array(buffer, 4, 4), buffer,
    });
    const { whole, rest, data, part } = result;
    const grown = result.buffer as ArrayBuffer & { resizable: boolean; maxByteLength: number; resize(size: number): void };
    expect([grown.resizable, grown.maxByteLength, whole.buffer === grown]).toEqual([true, size * 2, true]);
    grown.resize(size + 8);
    expect([whole.length, rest.length, data.byteLength, part.length]).toEqual([size + 8, size / 2, size + 4, 4]);
    expect([whole[size - 1], whole[size], part[3]]).toEqual([7, 0, 7]);
  }
  const many = Array.from({ length: 300 }, () => new Resizable(1, { maxByteLength: 2 }));
  expect(() => copy(many)).toThrow(/\[256\] is or has one of more than 256 resizable ArrayBuffers/);
});

test("a block at an odd address is still read, by copy", () => {
  const block = stored(new Float64Array(10_000).fill(2.5));
  const shifted = new Uint8Array(block.length + 1).subarray(1);
  shifted.set(block);
  expect((codec.decode(shifted, hooks) as Float64Array)[9999]).toBe(2.5);
});

test("the large parts of a plan are the user's memory, not copies", () => {
  const big = new Uint8Array(100_000);
  expect([...codec.encode([big], hooks).parts()].some((part) => part.bytes.buffer === big.buffer)).toBe(true);
});

test("Arrow tables, batches and vectors are read in place", () => {
  const table = tableFromArrays({
    x: new Float64Array(20_000).map((_, i) => i),
    name: Array.from({ length: 20_000 }, (_, i) => `n${i % 7}`),
  });
  const block = stored({ table, again: table, vector: table.getChild("x"), batch: table.batches[0] });
  const result = codec.decode(block, hooks) as { table: typeof table; again: unknown; vector: Vector; batch: RecordBatch };
  expect(result.table).toBeInstanceOf(Table);
  expect(result.again).toBe(result.table);
  expect(result.batch).toBeInstanceOf(RecordBatch);
  expect(result.vector).toBeInstanceOf(Vector);
  expect(result.table.numRows).toBe(20_000);
  expect(result.table.get(19_999)!.toJSON()).toEqual(table.get(19_999)!.toJSON());
  const values = result.table.getChild("x")!.data[0].values as Float64Array;
  expect(values.buffer).toBe(block.buffer);
  expect(values.byteOffset).toBeGreaterThan(0);
  expect((result.vector.data[0].values as Float64Array).buffer).toBe(block.buffer);
  expect((result.batch.getChild("x")!.data[0].values as Float64Array).buffer).toBe(block.buffer);
});

test("small Arrow data, many batches, nulls and the other copy of the package", () => {
  const vector = vectorFromArray([1, null, 3]);
  expect(copy(vector).toJSON()).toEqual([1, null, 3]);
  const table = tableFromArrays({ a: [1, 2] }).concat(tableFromArrays({ a: [3] }));
  expect(copy(table).batches.length).toBe(2);
  expect(copy(table).toArray().map(String)).toEqual(table.toArray().map(String));
  expect(copy(makeVector(new Int32Array([5, 6]))).toArray()).toEqual(new Int32Array([5, 6]));
  const required = createRequire(import.meta.url)("apache-arrow") as typeof import("apache-arrow");
  const other = copy(required.tableFromArrays({ a: new Int32Array([1]) }));
  expect(other).toBeInstanceOf(required.Table);
});

test("a program under a loader has its own copy of apache-arrow written and read", () => {
  const program = fileURLToPath(new URL("./arrow-program.fixture.ts", import.meta.url));
  const output = execFileSync(process.execPath, ["--import", "tsx", program], {
    encoding: "utf8",
    env: { ...process.env, NODE_OPTIONS: "" },
  });
  expect(output).toBe("true true true\n");
});
