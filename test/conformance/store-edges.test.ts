// The edges of the store's contract: what is kept after its end, what is collected, what nobody should ask for.

import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { InvalidArgumentError, ObjectStoreFullError } from "../../runtime/errors.ts";
import type { ObjectHandle, ReadableObject, StoreClient, StoreHost } from "../../runtime/store/store.ts";
import { makeWorld, STORE_KINDS, type StoreWorld } from "./fixtures/store-worlds.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const CAPACITY = 32 * MIB;
const HEIR = -7;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** A full collection, and the turns in which finalizers run. */
async function collectGarbage(): Promise<void> {
  for (let times = 0; times < 2; times += 1) {
    // Weak references hold their target until the turn ends.
    await sleep(1);
    collect();
    await sleep(1);
  }
}

async function soon(holds: () => boolean): Promise<boolean> {
  for (let times = 0; times < 200 && !holds(); times += 1) await sleep(5);
  return holds();
}

/** Bytes that tell where they belong. */
function patternOf(seed: number, length: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let at = 0; at < words.length; at += 1) words[at] = Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(at + 1, 0x85ebca6b);
  return new Uint8Array(words.buffer, 0, length);
}

const isPattern = (bytes: Uint8Array, seed: number): boolean => Buffer.compare(bytes, patternOf(seed, bytes.length)) === 0;

async function put(store: StoreClient, size: number, seed: number): Promise<ObjectHandle> {
  const object = await store.create(size);
  await object.write(0, patternOf(seed, size));
  return object.seal();
}

function opened(store: StoreClient, handle: ObjectHandle): ReadableObject {
  const object = store.open(handle);
  if (object === undefined) throw new Error(`object ${handle.slot}/${handle.generation} is gone`);
  return object;
}

function holds(store: StoreClient, handle: ObjectHandle, seed: number): boolean {
  const object = opened(store, handle);
  const found = isPattern(new Uint8Array(object.buffer()), seed);
  object.release();
  return found;
}

describe.each(STORE_KINDS)("the edges of a store: %s", (kind) => {
  let world: StoreWorld;
  let host: StoreHost;
  let writer: { readonly id: number; readonly store: StoreClient };
  let reader: StoreClient;

  beforeEach(() => {
    world = makeWorld(kind, CAPACITY);
    ({ host } = world);
    writer = world.client("writer");
    reader = world.client("reader").store;
  });
  afterEach(() => world.close());

  describe("a writer", () => {
    it("makes objects of no bytes, and of one page more or less", async () => {
      for (const size of [0, 1, 4095, 4096, 4097, 2 * MIB, 2 * MIB + 1]) {
        const handle = await put(writer.store, size, size);
        expect(opened(reader, handle).size).toBe(size);
        expect(holds(reader, handle, size)).toBe(true);
      }
    });

    it("writes in place, in parts, and none of it is lost", async () => {
      const size = 3 * MIB;
      const pattern = patternOf(3, size);
      const object = await writer.store.create(size);
      object.bytes.set(pattern.subarray(0, MIB));
      object.chunk(MIB, 1000).set(pattern.subarray(MIB, MIB + 1000));
      await object.write(MIB + 1000, pattern.subarray(MIB + 1000));
      expect(holds(reader, object.seal(), 3)).toBe(true);
    });

    it.each([100, 64 * KIB, 2 * MIB])("has no bytes in hand after a seal or an abort (%d bytes)", async (size) => {
      for (const end of ["seal", "abort"] as const) {
        const object = await writer.store.create(size);
        const bytes = object.bytes;
        const part = object.chunk(10, 20);
        object[end]();
        expect([bytes.length, part.length, object.bytes.length]).toEqual([0, 0, 0]);
        expect(() => object.write(0, new Uint8Array(1))).toThrow(InvalidArgumentError);
      }
    });

    it("ends an object once", async () => {
      const object = await writer.store.create(100);
      object.seal();
      expect(() => object.seal()).toThrow(InvalidArgumentError);
      object.abort();
      expect(opened(reader, object).size).toBe(100);
    });

    it("is told that a size is none", async () => {
      for (const size of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
        await expect((async () => writer.store.create(size))(), `${size}`).rejects.toThrow(InvalidArgumentError);
        expect(() => writer.store.tryCreate(size), `${size}`).toThrow(InvalidArgumentError);
      }
    });

    it("that gives up hundreds of objects leaves room for others", async () => {
      for (const size of [5000, 300 * KIB, 3 * MIB]) {
        for (let times = 0; times < 300; times += 1) (await writer.store.create(size)).abort();
      }
      const handle = await put(writer.store, 20 * MIB, 1);
      expect(holds(reader, handle, 1)).toBe(true);
    });

    it("gets the whole store for one object after many small ones", async () => {
      const handles: ObjectHandle[] = [];
      for (let index = 0; index < 100; index += 1) handles.push(await put(writer.store, 100 * KIB, index));
      for (let index = 0; index < 3; index += 1) handles.push(await put(writer.store, 3 * MIB, index));
      for (const handle of handles) host.free(handle);
      const object = await writer.store.create(CAPACITY);
      expect(object.size).toBe(CAPACITY);
      object.abort();
    });
  });

  describe("a reader", () => {
    it("is refused every part that is not inside", async () => {
      const object = opened(reader, await put(writer.store, 10_000, 1));
      expect(isPattern(new Uint8Array(object.buffer()).slice(), 1)).toBe(true);
      expect(new Uint8Array(object.buffer(4090, 20))).toEqual(patternOf(1, 10_000).slice(4090, 4110));
      for (const [offset, length] of [[-1, 5], [9_990, 11], [10_001, 0], [0, -1], [Number.NaN, 1], [0.5, 1], [0, 0.5]]) {
        expect(() => object.buffer(offset, length), `${offset}, ${length}`).toThrow(InvalidArgumentError);
      }
      object.release();
    });

    it("loses all its buffers when it releases, and nobody else does", async () => {
      const handle = await put(writer.store, 9000, 4);
      const first = opened(reader, handle);
      const second = opened(reader, handle);
      const whole = new Uint8Array(first.buffer());
      const part = new Uint8Array(first.buffer(100, 50));
      const other = new Uint8Array(second.buffer(0, 8999));
      first.release();
      first.release();
      expect(part).toHaveLength(0);
      expect(() => first.buffer()).toThrow(InvalidArgumentError);
      expect(isPattern(other, 4)).toBe(true);
      second.release();
      expect([whole.length, other.length]).toEqual([0, 0]);
      expect(await soon(() => reader.pinned().objects === 0)).toBe(true);
      expect(reader.pinned().bytes).toBe(0);
    });

    it.each([9000, 6 * MIB])("leaves no trace of its writes for the next reader of the same pages (%d bytes)", async (size) => {
      for (let round = 0; round < 20; round += 1) {
        const handle = await put(writer.store, size, round);
        const object = opened(reader, handle);
        const bytes = new Uint8Array(object.buffer());
        expect(isPattern(bytes, round), `round ${round}`).toBe(true);
        bytes.fill(0xee);
        object.release();
        host.free(handle);
        host.sweep();
      }
    });

    it("keeps what it reads while that is freed and everything else is written over", async () => {
      const handle = await put(writer.store, 9000, 1);
      const object = opened(reader, handle);
      const bytes = new Uint8Array(object.buffer());
      host.free(handle);
      for (let index = 0; index < 500; index += 1) host.free(await put(writer.store, 9000, 1000 + index));
      expect(isPattern(bytes, 1)).toBe(true);
      object.release();
      host.sweep();
      expect(host.stats().freedAndPinned).toBe(0);
    });

    it("reads one object thousands of times at once", async () => {
      const handle = await put(writer.store, 5000, 1);
      const objects = Array.from({ length: 3000 }, () => opened(reader, handle));
      for (const object of objects) expect(new Uint8Array(object.buffer())[4999]).toBe(patternOf(1, 5000)[4999]);
      for (const object of objects) object.release();
      expect(reader.pinned()).toEqual({ objects: 0, bytes: 0, share: 0 });
    });

    it("that forgets what it reads holds nothing back after a collection", async () => {
      const handle = await put(writer.store, 9000, 1);
      const sum = (): number => new Uint8Array(opened(reader, handle).buffer()).reduce((total, byte) => total + byte, 0);
      for (let times = 0; times < 5; times += 1) sum();
      host.free(handle);
      await collectGarbage();
      expect(await soon(() => reader.pinned().objects === 0)).toBe(true);
      host.sweep();
      expect(host.stats().freedAndPinned).toBe(0);
    });

    it("is told whether somebody may still look at its buffers", async () => {
      const object = opened(reader, await put(writer.store, 9000, 1));
      expect(object.unreferenced).toBe(true);
      const look = (): number => new Uint8Array(object.buffer())[0];
      look();
      await collectGarbage();
      expect(await soon(() => object.unreferenced)).toBe(true);
      object.release();
      expect(object.unreferenced).toBe(true);
    });

    it("finds nothing by a handle that is none", async () => {
      const { slot, generation } = await put(writer.store, 100, 1);
      for (const odd of [-1, 0.5, Number.NaN, 2 ** 31, 2 ** 40, Number.POSITIVE_INFINITY, 500_000]) {
        expect(reader.open({ slot: odd, generation }), `slot ${odd}`).toBeUndefined();
        expect(host.free({ slot: odd, generation }), `slot ${odd}`).toBe(false);
        expect(reader.open({ slot, generation: odd }), `generation ${odd}`).toBeUndefined();
        expect(host.free({ slot, generation: odd }), `generation ${odd}`).toBe(false);
      }
      expect(host.free({ slot, generation })).toBe(true);
    });
  });

  describe("the end of a client", () => {
    it("leaves its place to many others", async () => {
      for (let index = 0; index < 600; index += 1) {
        const { id, store } = world.client();
        if (index % 100 === 0) host.free(await put(store, 5000, index));
        store.close();
        host.expel(id, HEIR);
      }
      expect(host.stats()).toMatchObject({ clients: 2, objects: 0 });
    });

    it("that closed leaves what it reads valid until it lets go", async () => {
      const handle = await put(writer.store, 5000, 1);
      const object = opened(reader, handle);
      const bytes = new Uint8Array(object.buffer());
      reader.close();
      reader.close();
      expect(reader.open(handle)).toBeUndefined();
      host.free(handle);
      for (let index = 0; index < 50; index += 1) host.free(await put(writer.store, 5000, 1000 + index));
      expect(isPattern(bytes, 1)).toBe(true);
      object.release();
      host.sweep();
      expect(host.stats().freedAndPinned).toBe(0);
    });

    it("closes while it makes objects: each is made or refused, none is left", async () => {
      const making = [5000, 5000, 3 * MIB, 300 * KIB].map((size) => writer.store.create(size));
      writer.store.close();
      for (const outcome of await Promise.allSettled(making)) {
        if (outcome.status === "fulfilled") outcome.value.abort();
        else expect(outcome.reason).toBeInstanceOf(InvalidArgumentError);
      }
      host.expel(writer.id, HEIR);
      expect(host.stats()).toMatchObject({ objects: 0, used: 0, freedAndPinned: 0 });
    });

    it("gives back every byte, whatever it had open", async () => {
      const kept = await put(writer.store, 5000, 1);
      for (const size of [5000, 64 * KIB, 3 * MIB]) await writer.store.create(size);
      opened(writer.store, await put(writer.store, 7000, 2)).buffer();
      writer.store.close();
      host.expel(writer.id, HEIR);
      host.expel(writer.id, HEIR);
      expect(holds(reader, kept, 1)).toBe(true);
      host.freeAllOf(HEIR);
      await collectGarbage();
      expect(await soon(() => host.sweep() || host.stats().used === 0)).toBe(true);
      expect(host.stats()).toMatchObject({ objects: 0, freedAndPinned: 0 });
    });
  });

  it("refuses what does not fit beside a reader, and grants it when that lets go", async () => {
    const half = await put(writer.store, CAPACITY / 2, 1);
    const object = opened(reader, half);
    host.free(half);
    await expect(writer.store.create(CAPACITY)).rejects.toThrow(/full/);
    object.release();
    expect((await writer.store.create(CAPACITY)).size).toBe(CAPACITY);
  });

  it("has a typed error for too many clients", () => {
    if (kind === "local") return;
    expect(() => {
      for (let index = 0; index < 5000; index += 1) host.admit("somebody");
    }).toThrow(ObjectStoreFullError);
  });
});
