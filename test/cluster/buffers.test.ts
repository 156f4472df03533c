// Objects that are written where they lie, read in parts, and shared by readers that write.

import { constants } from "node:buffer";
import { createHash } from "node:crypto";
import { get, getRange, createBuffer, InvalidArgumentError, put, remote, type ObjectRef, type StoreBuffer } from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const MIB = 1024 * 1024;
/** Longer than any array of Node 20. */
const SIZE = 5 * 2 ** 30;
const hashOf = (bytes: Uint8Array): string => createHash("sha1").update(bytes).digest("hex");
const hash = remote((bytes: Uint8Array) => hashOf(bytes), { name: "hash" });

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await testCluster({
    head: { numCpus: 2, objectStoreMemory: SIZE + 96 * MIB },
    nodes: [{ numCpus: 1, resources: { far: 1 }, objectStoreMemory: "32MiB" }],
  });
  await cluster.connect();
});
afterAll(() => cluster.stop());

function filled(buffer: StoreBuffer, seed: number): StoreBuffer {
  for (let at = 0; at < buffer.size; at += 1) buffer.bytes[at] = (seed + at * 7 + (at >> 10)) & 255;
  return buffer;
}

describe("createBuffer", () => {
  test.each([0, 1, 100, 70_000, 5 * MIB + 3])("of %i bytes is written in place and is an object once sealed", async (size) => {
    const buffer = await createBuffer(size);
    expect(buffer.size).toBe(size);
    expect(buffer.bytes.length).toBe(size);
    filled(buffer, size);
    const expected = Uint8Array.from(buffer.bytes);
    const { bytes } = buffer;
    const ref = await buffer.seal();
    expect(bytes.length).toBe(0);
    expect(buffer.bytes.length).toBe(0);
    const read = await get(ref);
    expect(read).toBeInstanceOf(Uint8Array);
    expect(Buffer.compare(read, expected)).toBe(0);
    expect(await get([hash.remote(ref), hash.options({ resources: { far: 1 } }).remote(ref)]))
      .toEqual([hashOf(expected), hashOf(expected)]);
    await expect(buffer.seal()).rejects.toBeInstanceOf(InvalidArgumentError);
  });

  test("is made in tasks as well, and outlives its worker", async () => {
    const make = remote(async (size: number) => {
      const { createBuffer: create } = await import("troupe");
      const buffer = await create(size);
      buffer.bytes.fill(7);
      return [await buffer.seal()];
    }, { maxCalls: 1 } as never);
    const [inner] = await get(make.remote(2 * MIB));
    expect(hashOf(await get(inner as ObjectRef<Uint8Array>))).toBe(hashOf(new Uint8Array(2 * MIB).fill(7)));
  });

  test("that is given up leaves its bytes to others", async () => {
    for (let times = 0; times < 20; times += 1) {
      const buffer = await createBuffer(20 * MIB);
      buffer.bytes[0] = 1;
      buffer.abort();
      buffer.abort();
      expect(buffer.bytes.length).toBe(0);
    }
  });

  test("a size may be text", async () => {
    using buffer = await createBuffer("1MiB");
    expect(buffer.bytes.length).toBe(MIB);
  });

  test("refuses what is no size", async () => {
    for (const size of [-1, 1.5, Number.NaN, "1 box", "", null as never]) {
      await expect(createBuffer(size)).rejects.toBeInstanceOf(InvalidArgumentError);
    }
  });
});

describe("getRange", () => {
  test("gives bytes of an object here, spilled, or on another node, without the rest of it", async () => {
    const size = 12 * MIB;
    const make = remote((seed: number) => Float64Array.from({ length: size / 8 }, (_, at) => seed + at), { name: "make" });
    const far = make.options({ resources: { far: 1 } });
    const refs = [make.remote(1), far.remote(2), far.remote(3), far.remote(4)];
    for (let round = 0; round < 2; round += 1) {
      for (const [index, ref] of refs.entries()) {
        const whole = new Uint8Array(Float64Array.from({ length: size / 8 }, (_, at) => index + 1 + at).buffer);
        for (const [offset, length] of [[0, 0], [0, 8], [3 * MIB - 5, 2 * MIB], [size - 9, 9], [0, size]] as const) {
          const part = await getRange(ref, offset, length);
          expect(Buffer.compare(part, whole.subarray(offset, offset + length))).toBe(0);
        }
      }
    }
    await expect(getRange(refs[0], size - 8, 9)).rejects.toThrow(`has ${size}`);
  });

  test("takes buffers and views of every size, and refuses anything else", async () => {
    const small = await put(new Uint8Array([1, 2, 3, 4]));
    expect([...await getRange(small, 1, 2)]).toEqual([2, 3]);
    const view = new Uint16Array(new Uint16Array(100_000).map((_, at) => at).buffer, 2000, 50_000);
    const part = await getRange(await put(view), 20, 4);
    expect([...new Uint16Array(part.slice().buffer)]).toEqual([1010, 1011]);
    expect((await getRange(await put(new ArrayBuffer(80_000)), 79_990, 10)).length).toBe(10);
    const other = await put({ bytes: new Uint8Array(100_000) });
    await expect(getRange(other as never, 0, 1)).rejects.toThrow("not one buffer");
    await expect(getRange(await put("text") as never, 0, 1)).rejects.toThrow("not one buffer");
    await expect(getRange(small, -1, 1)).rejects.toBeInstanceOf(InvalidArgumentError);
    const failing = remote((): Uint8Array => { throw new RangeError("none"); });
    await expect(getRange(failing.remote(), 0, 1)).rejects.toBeInstanceOf(RangeError);
  });
});

test("what a reader writes is its own: every other reader, now and later, has what was sealed", async () => {
  const value = new Uint8Array(3 * MIB).map((_, at) => at & 255);
  const expected = hashOf(value);
  const ref = await put(value);
  const scribble = remote((bytes: Uint8Array, by: number) => {
    bytes.fill(by);
    return bytes.every((byte) => byte === by);
  }, { name: "scribble" });
  for (let round = 0; round < 5; round += 1) {
    const mine = await get(ref);
    expect(await get([1, 2, 3].map((by) => scribble.remote(ref, by)))).toEqual([true, true, true]);
    expect(hashOf(mine)).toBe(expected);
    expect(await get(hash.remote(ref))).toBe(expected);
  }
});

describe("an object of 5 GiB", () => {
  test("is written in parts and read by range, also where no array is as long", async () => {
    const buffer = await createBuffer(SIZE);
    expect(() => buffer.bytes).toThrow("chunk()");
    // Memory is taken by what is written only.
    const places = [0, 2 ** 32 - 3, SIZE - 10];
    for (const [index, at] of places.entries()) buffer.chunk(at, 10).fill(index + 1);
    const ref = await buffer.seal();
    for (const [index, at] of places.entries()) expect([...await getRange(ref, at, 10)]).toEqual(new Array(10).fill(index + 1));
    await expect(getRange(ref, SIZE - 9, 10)).rejects.toBeInstanceOf(InvalidArgumentError);
    const ends = remote(async (refs: ObjectRef<Uint8Array>[], at: number) => {
      const { getRange: range } = await import("troupe");
      return [...await range(refs[0], at, 10)];
    });
    expect(await get(ends.remote([ref], SIZE - 10))).toEqual(new Array(10).fill(3));
    if (constants.MAX_LENGTH < SIZE) await expect(get(ref)).rejects.toThrow("getRange");
    else expect((await get(ref)).length).toBe(SIZE);
  });
});
