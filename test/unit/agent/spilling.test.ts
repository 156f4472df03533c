// Spilling and restoring over a disk with faults: what comes back is right or a typed error, and nothing is lost that was not
// damaged.

import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { AgentRoom } from "../../../runtime/agent/objects/agent-room.ts";
import { AgentSpilling, SpillSpace } from "../../../runtime/agent/objects/agent-spilling.ts";
import { ConnectionError, ObjectLostError, ObjectStoreFullError, OutOfDiskError } from "../../../runtime/errors.ts";
import { openStore, type SealedObject, type StoreClient } from "../../../runtime/store/index.ts";
import { systemClock } from "../../../runtime/system.ts";
import { brokerOf, makeWorld, STORE_KINDS, type StoreWorld } from "../../conformance/fixtures/store-worlds.ts";
import { FaultyDisk } from "./fixtures.ts";

const MIB = 1024 * 1024;
const BLOCK = MIB;
/** Whose patience ends soon. */
const hurried = { ...systemClock, now: () => systemClock.now() * 20 };

function fill(seed: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += 1) bytes[at] = (seed * 31 + at * 7 + (at >> 12)) & 255;
  return bytes;
}

describe.each(STORE_KINDS)("spilling from a store: %s", (kind) => {
  let world: StoreWorld;
  afterEach(() => world.close());

  function start(capacity = 64 * MIB) {
    world = makeWorld(kind, capacity);
    const { store, id } = world.client("me");
    const disk = new FaultyDisk();
    const space = new SpillSpace(disk);
    const spilling = new AgentSpilling(world.host, space, () => false);
    return { host: world.host, store, id, disk, space, spilling };
  }

  async function put(store: StoreClient, seed: number, size: number): Promise<SealedObject> {
    const object = await store.create(size);
    await object.write(0, fill(seed, size));
    return { ...object.seal(), size };
  }

  function read(store: StoreClient, object: SealedObject): Buffer | undefined {
    const opened = store.open(object);
    const copy = opened && Buffer.from(new Uint8Array(opened.buffer()));
    opened?.release();
    return copy;
  }

  /** Asks for more than there is, so that what can leave does. */
  async function spillAll({ host, spilling }: Pick<ReturnType<typeof start>, "host" | "spilling">): Promise<number> {
    return spilling.spill(host.map().units);
  }

  async function restore({ host, spilling }: Pick<ReturnType<typeof start>, "host" | "spilling">, object: SealedObject) {
    const range = host.restore(object);
    if (range === undefined) throw new Error("no room");
    await spilling.restore(object, range);
  }

  it("brings back every byte under the same name, and writes an object once", async () => {
    const parts = start();
    const { host, store, disk, spilling } = parts;
    const sizes = [1, 4096, MIB + 1, 3 * MIB, 5 * MIB - 7];
    const objects = await Promise.all(sizes.map((size, seed) => put(store, seed, size)));
    for (let round = 0; round < 3; round += 1) {
      await spillAll(parts);
      for (const [seed, object] of objects.entries()) {
        if (host.whereabouts(object) === "here") continue;
        expect(read(store, object)).toBeUndefined();
        const part = await spilling.readRange(object, Math.floor(object.size / 3), 1000);
        expect(Buffer.from(part?.bytes ?? []).equals(fill(seed, object.size).subarray(
          Math.floor(object.size / 3), Math.floor(object.size / 3) + 1000,
        ))).toBe(true);
        await restore(parts, object);
        expect(read(store, object)?.equals(fill(seed, object.size))).toBe(true);
      }
    }
    expect(disk.written).toBeLessThanOrEqual(sizes.reduce((sum, size) => sum + size, 0));
    expect(host.stats().evicted).toBe(0);
  });

  it("says of what is being written that it is here", async () => {
    const parts = start();
    const { host, store, disk } = parts;
    const object = await put(store, 1, 2 * MIB);
    const said: string[] = [];
    disk.fault = () => void said.push(host.whereabouts(object));
    await spillAll(parts);
    expect([...new Set(said), host.whereabouts(object)]).toEqual(["here", "evicted"]);
  });

  it("takes copies with their objects, and leaves what is being read", async () => {
    const parts = start();
    const { host, store, disk, spilling } = parts;
    const [read1, gone] = [await put(store, 1, 2 * MIB), await put(store, 2, 3 * MIB)];
    const reader = store.open(read1);
    await spillAll(parts);
    expect(host.whereabouts(read1)).toBe("here");
    expect(host.whereabouts(gone)).toBe("evicted");
    expect(reader?.size).toBe(2 * MIB);
    host.free(gone);
    spilling.sweep();
    expect(host.whereabouts(gone)).toBe("gone");
    expect(disk.blocks.size).toBe(0);
    expect(spilling.stats().spillFileBytes).toBe(0);
    reader?.release();
  });

  it("never hands out damaged bytes: the object is lost, by name, and others are not", async () => {
    const parts = start();
    const { store, disk } = parts;
    const [bad, good] = [await put(store, 1, 3 * MIB), await put(store, 2, 3 * MIB)];
    await spillAll(parts);
    const second = [...disk.blocks.keys()].sort((a, b) => a - b)[1];
    (disk.blocks.get(second) as Uint8Array)[BLOCK - 1] ^= 1;
    const outcomes = await Promise.allSettled([restore(parts, bad), restore(parts, good)]);
    const lost = outcomes.filter((one) => one.status === "rejected");
    expect(lost.map(({ reason }) => reason)).toEqual([expect.any(ObjectLostError)]);
    expect((lost[0].reason as Error).message).toMatch("damaged");
    const right = outcomes[0].status === "fulfilled" ? { object: bad, seed: 1 } : { object: good, seed: 2 };
    expect(read(store, right.object)?.equals(fill(right.seed, right.object.size))).toBe(true);
    // It is gone from here, with its place on the disk: whoever asks is told to look elsewhere.
    expect(parts.host.whereabouts(right.seed === 1 ? good : bad)).toBe("gone");
    expect(parts.host.stats().evicted).toBe(0);
    expect(parts.spilling.stats().spillFileBytes).toBe(right.object.size);
  });

  it("reads again what could not be read once", async () => {
    const parts = start();
    const object = await put(parts.store, 1, 2 * MIB);
    await spillAll(parts);
    let faults = 1;
    parts.disk.fault = (what) => {
      if (what === "read" && faults-- > 0) throw new ConnectionError("EIO");
    };
    await restore(parts, object);
    expect(read(parts.store, object)?.equals(fill(1, object.size))).toBe(true);
    await spillAll(parts);
    parts.disk.fault = () => { throw new ConnectionError("EIO"); };
    await expect(restore(parts, object)).rejects.toThrow("can't be read");
    parts.disk.fault = () => {};
    await restore(parts, object);
    expect(read(parts.store, object)?.equals(fill(1, object.size))).toBe(true);
  });

  it("gives up an object that can't be read however often it is asked for", async () => {
    const parts = start();
    const object = await put(parts.store, 1, 2 * MIB);
    await spillAll(parts);
    parts.disk.fault = () => { throw new ConnectionError("EIO"); };
    for (let times = 0; times < 3; times += 1) {
      expect(parts.host.whereabouts(object)).toBe("evicted");
      await expect(restore(parts, object)).rejects.toThrow("can't be read");
    }
    expect(parts.host.whereabouts(object)).toBe("gone");
    expect(parts.spilling.stats().spillFileBytes).toBe(0);
  });

  it("keeps in memory what a full disk does not take", async () => {
    const parts = start();
    parts.disk.capacity = MIB;
    const object = await put(parts.store, 1, 3 * MIB);
    await expect(spillAll(parts)).rejects.toBeInstanceOf(OutOfDiskError);
    expect(read(parts.store, object)?.equals(fill(1, object.size))).toBe(true);
    expect(parts.spilling.stats().spillFileBytes).toBe(0);
  });

  it("survives a free at every step of a spill and of a restore", async () => {
    await fc.assert(fc.asyncProperty(fc.integer({ min: 0, max: 12 }), fc.boolean(), async (at, whileSpilling) => {
      const parts = start();
      const { host, store, spilling, disk } = parts;
      const object = await put(store, 1, 4 * MIB);
      const other = await put(store, 2, 4 * MIB);
      let steps = 0;
      const freeAt = () => {
        if (steps++ === at) {
          host.free(object);
          spilling.freed(object);
        }
      };
      if (whileSpilling) disk.fault = freeAt;
      await spillAll(parts);
      disk.fault = whileSpilling ? () => {} : freeAt;
      for (const one of [object, other]) if (host.whereabouts(one) === "evicted") await restore(parts, one);
      disk.fault = () => {};
      host.sweep();
      spilling.sweep();
      // Where it was is written anew: nothing that came late lands there.
      const after = await put(store, 3, 4 * MIB);
      for (const [one, seed] of [[other, 2], [after, 3]] as const) {
        expect(read(store, one)?.equals(fill(seed, one.size))).toBe(true);
      }
      world.close();
    }), { numRuns: 30 });
    start();
  });

  describe("room", () => {
    const room = (parts: ReturnType<typeof start>, spilled = true) => new AgentRoom({
      clock: hurried, nodeId: "n", host: parts.host, press: () => {},
      spilling: spilled ? parts.spilling : undefined, space: spilled ? parts.space : undefined,
    });
    const asks = ({ host, id }: ReturnType<typeof start>, mib: number) => ({
      client: id, bytes: mib * MIB, need: { pages: mib * 256, align: 1 },
      attempt: (page?: number) => host.allocate(id, mib * MIB, page),
    });

    it("is made by spilling, ten times over", async () => {
      const parts = start(16 * MIB);
      const keeper = room(parts);
      const broker = { ...brokerOf(parts.host, parts.id), allocate: (bytes: number) => keeper.take(asks(parts, bytes / MIB)) };
      const grant = parts.host.admit("other");
      const store = openStore(grant, { ...broker, allocate: (bytes) => keeper.take({
        ...asks(parts, bytes / MIB), attempt: (page) => parts.host.allocate(grant.client, bytes, page),
      }) });
      const objects: SealedObject[] = [];
      for (let seed = 0; seed < 40; seed += 1) objects.push(await put(store, seed, 4 * MIB));
      for (let round = 0; round < 80; round += 1) {
        const seed = (round * 27) % 40;
        const object = objects[seed];
        if (parts.host.whereabouts(object) === "evicted") {
          const range = await keeper.take({ ...asks(parts, 4), attempt: (page) => parts.host.restore(object, page) });
          await parts.spilling.restore(object, range);
        }
        expect(read(store, object)?.equals(fill(seed, object.size))).toBe(true);
      }
      store.close();
    });

    it("is there without the disk when it is asked for next: what leaves then was written before", async () => {
      const parts = start(16 * MIB);
      const keeper = room(parts);
      const objects: SealedObject[] = [];
      for (let seed = 0; seed < 4; seed += 1) objects.push(await put(parts.store, seed, 4 * MIB));
      const wheres = () => objects.map((object) => parts.host.whereabouts(object));
      const fillOne = async () => {
        const taken = await keeper.take(asks(parts, 4));
        expect(taken).toBeDefined();
      };
      await fillOne();
      await expect.poll(() => objects.filter((object) => parts.space.book.has(object)).length).toBe(2);
      expect(wheres()).toEqual(["evicted", "here", "here", "here"]);
      parts.disk.capacity = 0;
      await fillOne();
      expect(wheres()).toEqual(["evicted", "evicted", "here", "here"]);
      await expect(keeper.take(asks(parts, 4))).rejects.toThrow(OutOfDiskError);
      for (const seed of [2, 3]) expect(read(parts.store, objects[seed])?.equals(fill(seed, 4 * MIB))).toBe(true);
    });

    it("that a full disk can't make is an OutOfDiskError; without spilling a full store names who fills it", async () => {
      const full = start(16 * MIB);
      await put(full.store, 1, 12 * MIB);
      full.disk.capacity = 0;
      const starved = start(16 * MIB);
      await put(starved.store, 1, 12 * MIB);
      const [disk, memory] = await Promise.all([
        room(full).take(asks(full, 8)).catch((error: unknown) => error),
        room(starved, false).take(asks(starved, 8)).catch((error: unknown) => error),
      ]);
      full.host.close();
      expect(disk).toBeInstanceOf(OutOfDiskError);
      expect((disk as Error).message).toMatch(/process me .*no space left/s);
      expect(memory).toBeInstanceOf(ObjectStoreFullError);
      expect((memory as Error).message).toMatch(/process me .*made 12582912/);
    });

    it("goes to nobody who has left", async () => {
      const parts = start(16 * MIB);
      const object = await put(parts.store, 1, 12 * MIB);
      const reader = parts.store.open(object);
      const keeper = room(parts);
      const asked = keeper.take(asks(parts, 8));
      keeper.clientGone(parts.id);
      keeper.clientGone(parts.id);
      await expect(asked).rejects.toThrow("has ended");
      expect(keeper.waiting).toBe(0);
      reader?.release();
    });
  });
});
