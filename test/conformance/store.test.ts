// What every object store does, in shared memory or in the memory of one process.

import { createHash, randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import type { ObjectHandle, ObjectOwner, StoreClient } from "../../runtime/store/store.ts";
import { makeWorld, STORE_KINDS, type StoreWorld } from "./fixtures/store-worlds.ts";

const MIB = 1024 * 1024;
const SIZES = [1, 4095, 4096, 4097, 65_537, 512 * 1024, 512 * 1024 + 1, 5 * MIB];

async function putBytes(store: StoreClient, bytes: Uint8Array): Promise<ObjectHandle> {
  const object = await store.create(bytes.length);
  await object.write(0, bytes);
  return object.seal();
}

function readBytes(store: StoreClient, handle: ObjectHandle): Buffer | undefined {
  const object = store.open(handle);
  if (object === undefined) return undefined;
  const copy = Buffer.from(new Uint8Array(object.buffer()));
  object.release();
  return copy;
}

/** Pages of large objects are given back off the loop. */
async function untilSwept(world: StoreWorld): Promise<void> {
  for (let tries = 0; tries < 200 && world.host.stats().freedAndPinned > 0; tries += 1) {
    world.host.sweep();
    await sleep(5);
  }
  expect(world.host.stats().freedAndPinned).toBe(0);
}

describe.each(STORE_KINDS)("store: %s", (kind) => {
  let world: StoreWorld;
  const start = (capacity = 64 * MIB) => (world = makeWorld(kind, capacity));
  afterEach(() => world.close());

  it("gives back what was put, of any size, to every client", async () => {
    const { store: writer } = start().client();
    const { store: reader } = world.client();
    for (const size of SIZES) {
      const bytes = randomBytes(size);
      const handle = await putBytes(writer, bytes);
      expect(readBytes(reader, handle)?.equals(bytes)).toBe(true);
      expect(readBytes(writer, handle)?.equals(bytes)).toBe(true);
    }
    expect(reader.pinned().objects).toBeLessThanOrEqual(1);
    expect(world.host.stats().objects).toBe(SIZES.length);
  });

  it("gives more objects to read at once than can be pinned", async () => {
    const { store: writer } = start().client();
    const { store: reader } = world.client();
    const readers: { readonly bytes: Uint8Array; readonly n: number; release(): void }[] = [];
    for (let n = 0; n < 2100; n += 1) {
      const object = reader.open(await putBytes(writer, new Uint8Array(5000).fill(n)));
      if (object === undefined) continue;
      readers.push({ bytes: new Uint8Array(object.buffer()), n: n & 0xff, release: () => object.release() });
    }
    expect(readers).toHaveLength(2100);
    expect(readers.every(({ bytes, n }) => bytes[0] === n && bytes[4999] === n)).toBe(true);
    for (const one of readers) one.release();
    expect(reader.pinned().objects).toBe(0);
    expect(reader.open(await putBytes(writer, new Uint8Array(7)))?.size).toBe(7);
  });

  it("shows nobody an object that is not sealed", async () => {
    const { store } = start().client();
    for (const size of [8192, MIB]) {
      const object = await store.create(size);
      expect(store.open(object)).toBeUndefined();
      expect(object.bytes.length).toBe(size);
      object.seal();
      expect(object.bytes.length).toBe(0);
      expect(() => object.chunk(0, 1)).toThrow();
      const reader = store.open(object);
      expect(reader?.size).toBe(size);
      reader?.release();
    }
  });

  it("refuses what lies outside an object", async () => {
    const { store } = start().client();
    const object = await store.create(10_000);
    expect(() => object.write(9_999, new Uint8Array(2))).toThrow();
    const handle = object.seal();
    const reader = store.open(handle);
    expect(() => reader?.buffer(9_999, 2)).toThrow();
    expect(() => reader?.buffer(-1, 2)).toThrow();
    expect(reader?.buffer(9_999, 1).byteLength).toBe(1);
    reader?.release();
    for (const slot of [-1, 1e9, Number.NaN]) {
      expect(store.open({ slot, generation: handle.generation })).toBeUndefined();
      expect(world.host.free({ slot, generation: handle.generation })).toBe(false);
    }
  });

  it("keeps a reader's writes to that reader", async () => {
    const { store: writer } = start().client();
    const { store: reader } = world.client();
    const handle = await putBytes(writer, new Uint8Array(20_000).fill(7));
    const mine = reader.open(handle);
    const view = new Uint8Array(mine?.buffer() as ArrayBuffer);
    view.fill(9);
    expect(readBytes(writer, handle)?.every((byte) => byte === 7)).toBe(true);
    expect(view.every((byte) => byte === 9)).toBe(true);
    mine?.release();
    expect(readBytes(reader, handle)?.every((byte) => byte === 7)).toBe(true);
  });

  it("ends an object once: later readers miss it, earlier ones keep it", async () => {
    const { store } = start().client();
    for (const size of [70_000, 6 * MIB]) {
      const handle = await putBytes(store, new Uint8Array(size).fill(3));
      const early = store.open(handle);
      const view = new Uint8Array(early?.buffer() as ArrayBuffer);
      expect(world.host.free(handle)).toBe(true);
      expect(world.host.free(handle)).toBe(false);
      expect(store.open(handle)).toBeUndefined();
      await putBytes(store, new Uint8Array(size).fill(4));
      expect(view.every((byte) => byte === 3)).toBe(true);
      expect(world.host.stats().freedAndPinned).toBe(1);
      early?.release();
      early?.release();
      await untilSwept(world);
    }
  });

  it("takes back what was aborted", async () => {
    const { store } = start(16 * MIB).client();
    for (let round = 0; round < 20; round += 1) {
      const object = await store.create(5 * MIB);
      object.abort();
      object.abort();
      expect(store.open(object)).toBeUndefined();
    }
    world.host.sweep();
    expect(world.host.stats().objects).toBe(0);
  });

  it.each([5000, 5 * MIB])("lends parts of an object of %i bytes to who reads and writes them in its own time", async (size) => {
    const { store: writer } = start().client();
    const bytes = randomBytes(size);
    const object = await writer.create(size);
    const written = [[0, 1000], [1000, size - 1000]].map(([offset, length]) => {
      const loan = object.lend(offset, length, "written");
      loan.bytes.set(bytes.subarray(offset, offset + length));
      return loan;
    });
    written[0].end();
    expect(() => object.seal()).toThrow("still being written");
    written[1].end();
    written[1].end();
    const read = object.lend(10, 1000, "read");
    const handle = object.seal();
    world.host.free(handle);
    world.host.sweep();
    for (let other = 0; other < 3; other += 1) await putBytes(writer, new Uint8Array(size));
    expect(bytes.subarray(10, 1010).equals(read.bytes)).toBe(true);
    read.end();
    const aborted = await writer.create(size);
    const { bytes: place, end } = aborted.lend(0, size, "written");
    aborted.abort();
    const after = await putBytes(writer, bytes);
    place.fill(1);
    end();
    expect(readBytes(writer, after)?.equals(bytes)).toBe(true);
    await untilSwept(world);
  });

  it("makes pages later where it is asked to: as parts are filled, or not at all when it is aborted", async () => {
    const { store } = start(64 * MIB).client();
    const size = 20 * MIB + 100;
    const bytes = randomBytes(size);
    const aborted = await store.create(size, "later");
    const making = aborted.makePages(0, MIB);
    aborted.abort();
    await making;
    for (let round = 0; round < 3; round += 1) {
      const object = await store.create(size, "later");
      for (let offset = 0; offset < size; offset += MIB) {
        const length = Math.min(MIB, size - offset);
        await object.makePages(offset, length);
        await object.write(offset, bytes.subarray(offset, offset + length));
      }
      const handle = object.seal();
      expect(readBytes(store, handle)?.equals(bytes)).toBe(true);
      world.host.free(handle);
      // What comes there next finds a mapping that is whole.
      const next = await putBytes(store, bytes);
      expect(readBytes(store, next)?.equals(bytes)).toBe(true);
      world.host.free(next);
      world.host.sweep();
    }
    await untilSwept(world);
  });

  it("gives out the whole memory again and again", async () => {
    const { store } = start(32 * MIB).client();
    const kept: ObjectHandle[] = [];
    for (let round = 0; round < 300; round += 1) {
      const size = SIZES[round % SIZES.length];
      const handle = await putBytes(store, new Uint8Array(size).fill(round));
      kept.push(handle);
      if (kept.length > 3) world.host.free(kept.shift() as ObjectHandle);
      expect(readBytes(store, handle)?.every((byte) => byte === round % 256)).toBe(true);
    }
    for (const handle of kept) world.host.free(handle);
    await untilSwept(world);
    expect(world.host.stats().objects).toBe(0);
  });

  it("tells what a process owns, or all of a node, whoever made it", async () => {
    const [first, second] = [start().client().store, world.client().store];
    const sealFor = async (store: StoreClient, owner?: ObjectOwner) => {
      const object = await store.create(100_000);
      return object.seal(owner);
    };
    const mine = await sealFor(first, { process: "0123456789abcdef", node: "n1" });
    const made = await sealFor(second, { process: "0123456789abcdef", node: "n1" });
    const other = await sealFor(second, { process: "fedcba9876543210", node: "n1" });
    const far = await sealFor(first, { process: "0000000000000001", node: "n2" });
    await sealFor(first);
    await first.create(100_000);
    const sorted = (handles: readonly ObjectHandle[]) => [...handles].map(({ slot }) => slot).sort((a, b) => a - b);
    expect(sorted(world.host.ownedBy({ process: "0123456789abcdef" }))).toEqual(sorted([mine, made]));
    expect(sorted(world.host.ownedBy({ node: "n1" }))).toEqual(sorted([mine, made, other]));
    expect(sorted(world.host.ownedBy({ node: "n2" }))).toEqual(sorted([far]));
    for (const handle of world.host.ownedBy({ node: "n1" })) world.host.free(handle);
    expect(world.host.ownedBy({ process: "0123456789abcdef" })).toEqual([]);
    // What is in the place of one that was freed is not its owner's.
    await sealFor(second);
    await sealFor(first);
    expect(world.host.ownedBy({ node: "n1" })).toEqual([]);
  });

  it("takes back what a client that ended did not seal, and leaves the rest to its heir", async () => {
    const { store, id } = start().client();
    const other = world.client();
    const sealed = await putBytes(store, new Uint8Array(100_000).fill(1));
    await store.create(100_000);
    await store.create(MIB);
    store.close();
    world.host.expel(id, -5);
    expect(world.host.stats()).toMatchObject({ objects: 1, clients: 1 });
    expect(readBytes(other.store, sealed)?.length).toBe(100_000);
    world.host.freeAllOf(-5);
    expect(other.store.open(sealed)).toBeUndefined();
    expect(world.host.stats().objects).toBe(0);
  });

  it("says it is full, and has room after a free", async () => {
    const { id } = start(8 * MIB).client();
    const first = world.host.allocate(id, 6 * MIB);
    expect(first).toBeDefined();
    expect(world.host.allocate(id, 6 * MIB)).toBeUndefined();
    world.host.free(first as ObjectHandle);
    expect(world.host.allocate(id, 6 * MIB)).toBeDefined();
  });

  it("survives random puts, reads and frees with every value checked by hash", async () => {
    start(96 * MIB);
    const clients = [world.client(), world.client(), world.client()];
    const live = new Map<ObjectHandle, string>();
    for (let step = 0; step < 600; step += 1) {
      const { store } = clients[step % 3];
      const known = [...live.keys()];
      if (known.length > 12 || (known.length > 0 && Math.random() < 0.3)) {
        const handle = known[Math.floor(Math.random() * known.length)];
        live.delete(handle);
        world.host.free(handle);
        continue;
      }
      const bytes = randomBytes(1 + Math.floor(Math.random() ** 4 * MIB));
      live.set(await putBytes(store, bytes), hash(bytes));
      for (const [handle, expected] of live) {
        const object = clients[(step + 1) % 3].store.open(handle);
        const view = new Uint8Array(object?.buffer() as ArrayBuffer);
        expect(hash(view)).toBe(expected);
        view[0] ^= 1;
        object?.release();
      }
    }
  });
});

function hash(bytes: Uint8Array): string {
  return createHash("sha1").update(bytes).digest("hex");
}
