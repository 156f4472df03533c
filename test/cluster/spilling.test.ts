// Stores that are too small for what is put into them, with real processes: objects leave for the disk, come back right, and
// leave nothing behind; what can't be kept anywhere is a typed error.

import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  closeSync, fstatSync, mkdtempSync, openSync, readdirSync, readlinkSync, readSync, rmdirSync, writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  createBuffer, get, getRuntimeContext, GetTimeoutError, list, ObjectLostError, ObjectStoreFullError, OutOfDiskError, put, remote,
  type ObjectRef, wait,
} from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";

const MIB = 1024 * 1024;

/** Different in every part and for every seed. */
function valueOf(seed: number, size: number): Uint8Array {
  const words = new Uint32Array(size / 4);
  for (let at = 0; at < words.length; at += 1) words[at] = Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(at + 1, 0x85ebca6b);
  return new Uint8Array(words.buffer);
}
const hashOf = (bytes: Uint8Array): string => createHash("sha1").update(bytes).digest("hex");

const hash = remote((bytes: Uint8Array) => hashOf(bytes), { name: "hash" });
const both = remote((one: Uint8Array, other: Uint8Array) => [hashOf(one), hashOf(other)], { name: "both" });
const make = remote((seed: number, size: number) => valueOf(seed, size), { name: "make" });

describe("a store of 32 MiB", () => {
  let cluster: TestCluster;
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "troupe-spill-"));
    cluster = await testCluster({ head: { numCpus: 2, objectStoreMemory: "32MiB", spillFolder: folder } });
    await cluster.connect();
  });
  afterAll(async () => {
    await cluster.stop();
    expect(readdirSync(folder)).toEqual([]);
    rmdirSync(folder);
  });

  test("holds ten times as much, read in any order by tasks and by the driver", async () => {
    const sizes = [100 * 1024, MIB, 3 * MIB, 7 * MIB];
    const refs: { ref: ObjectRef<Uint8Array>; hash: string }[] = [];
    let total = 0;
    for (let seed = 0; total < 320 * MIB; seed += 1) {
      const value = valueOf(seed, sizes[seed % sizes.length]);
      total += value.length;
      refs.push({ ref: await put(value), hash: hashOf(value) });
    }
    const order = refs.map((_, index) => refs[(index * 37) % refs.length]);
    expect(await get(order.map(({ ref }) => hash.remote(ref)))).toEqual(order.map((one) => one.hash));
    const [store] = await list.stores();
    expect(store).toMatchObject({ capacity: 32 * MIB, waiting: 0 });
    expect(store.evicted).toBeGreaterThan(0);
    expect(store.spillFileBytes).toBeGreaterThan(280 * MIB);
    expect(store.holders.map((holder) => holder.pid)).toContain(process.pid);
    for (const one of order.slice(0, 20)) expect(hashOf(await get(one.ref))).toBe(one.hash);
    const pairs = order.slice(0, 40).map((one, index) => [one, order[(index * 11) % 40]] as const);
    expect(await get(pairs.map(([one, other]) => both.remote(one.ref, other.ref))))
      .toEqual(pairs.map(([one, other]) => [one.hash, other.hash]));
  });

  test("shuffles more than it holds", async () => {
    const parts = 14;
    const size = 400 * 1024;
    const split = remote((from: number) => Array.from({ length: parts }, (_, to) => valueOf(from * parts + to, size)), {
      numReturns: parts, name: "split",
    });
    const join = remote((...blocks: Uint8Array[]) => blocks.map(hashOf), { name: "join" });
    const blocks = Array.from({ length: parts }, (_, from) => split.remote(from) as unknown as ObjectRef<Uint8Array>[]);
    const joined = await get(Array.from({ length: parts }, (_, to) => join.remote(...blocks.map((row) => row[to]))));
    for (const [to, hashes] of joined.entries()) {
      expect(hashes).toEqual(hashes.map((_, from) => hashOf(valueOf(from * parts + to, size))));
    }
  });

  test("takes more on disk while everything in it is being read, and the views stay right", async () => {
    const held: { bytes: Uint8Array; hash: string }[] = [];
    for (let seed = 0; seed < 14; seed += 1) {
      const bytes = await get(await put(valueOf(500 + seed, 4 * MIB)));
      held.push({ bytes, hash: hashOf(valueOf(500 + seed, 4 * MIB)) });
    }
    const ref = await put(valueOf(600, 4 * MIB));
    expect(await get(hash.remote(ref))).toBe(hashOf(valueOf(600, 4 * MIB)));
    for (const { bytes, hash: expected } of held) expect(hashOf(bytes)).toBe(expected);
  });

  test("keeps every value right while workers that make and read it are killed", async () => {
    // Each dies in its first attempt, somewhere between its start and the moment its reader is told.
    const dying = remote((seed: number, size: number) => {
      if (getRuntimeContext().attempt === 0) setTimeout(() => process.kill(process.pid, "SIGKILL"), seed % 12);
      return valueOf(seed, size);
    }, { maxRetries: -1, name: "dying" });
    const reading = remote(async (bytes: Uint8Array, seed: number) => {
      if (getRuntimeContext().attempt === 0 && seed % 3 === 0) setTimeout(() => process.kill(process.pid, "SIGKILL"), seed % 5);
      await new Promise((resolve) => setTimeout(resolve, seed % 7));
      return hashOf(bytes);
    }, { maxRetries: -1, name: "reading" });
    const results = Array.from({ length: 40 }, (_, seed) => (seed % 4 === 0 ? dying : make).remote(seed, 2 * MIB));
    const found = await get(results.map((ref, seed) => reading.remote(ref, seed)));
    expect(found).toEqual(found.map((_, seed) => hashOf(valueOf(seed, 2 * MIB))));
  });
});

test("a loop of gets of large values, none of them kept, never fills the store with what only garbage views", async () => {
  await using cluster = await testCluster({ head: { numCpus: 1, objectStoreMemory: "32MiB", spillFolder: false } });
  await cluster.connect();
  for (let seed = 0; seed < 60; seed += 1) {
    const value = await get(make.remote(seed, 4 * MIB));
    expect(value[4 * MIB - 1]).toBe(valueOf(seed, 4 * MIB)[4 * MIB - 1]);
  }
});

test("a process that idles gives back what its garbage views; a view that is kept is counted, and stays", async () => {
  await using cluster = await testCluster({ head: { numCpus: 2, objectStoreMemory: "32MiB" } });
  await cluster.connect();
  class Reader {
    kept: Uint8Array | undefined;
    look(bytes: Uint8Array) {
      return bytes[0];
    }
    keep(bytes: Uint8Array) {
      this.kept = bytes.subarray(1);
      return process.pid;
    }
  }
  const reader = remote(Reader, { numCpus: 0 }).remote();
  const refs = [await put(valueOf(1, 4 * MIB)), await put(valueOf(2, 4 * MIB))];
  await get(reader.look.remote(refs[0]));
  const pid = await get(reader.keep.remote(refs[1]));
  const pinned = async () => (await list.stores())[0].holders.find((holder) => holder.pid === pid)?.pinnedObjects;
  await expect.poll(pinned, { interval: 1000 }).toBe(1);
});

describe("a /dev/shm of 64 KiB", () => {
  const MOUNT = "mount -t tmpfs -o size=64k tmpfs /dev/shm";
  const unshared = (command: string, ...args: string[]) => (
    spawnSync("unshare", ["-m", "sh", "-c", `${MOUNT} && ${command}`, "sh", ...args], { encoding: "utf8", timeout: 100_000 })
  );
  const { status, stderr } = unshared("true");

  test.skipIf(status !== 0)(`is no limit: the store is not in it ${status === 0 ? "" : stderr}`, () => {
    const program = `
      import { get, init, put, remote, shutdown } from "troupe";
      await init({ numCpus: 1, objectStoreMemory: "64MiB" });
      const ref = await put(new Uint8Array(48 * 1024 * 1024).fill(7));
      const sum = remote((bytes) => bytes[0] + bytes[bytes.length - 1]);
      console.log(await get(sum.remote(ref)));
      await shutdown();
    `;
    const said = unshared('exec "$1" --input-type=module -e "$2"', process.execPath, program);
    expect([said.status, said.stdout, said.signal]).toEqual([0, "14\n", null]);
  });
});

test("what was spilled is read by other nodes from where it lies", async () => {
  await using cluster = await testCluster({
    head: { numCpus: 1, objectStoreMemory: "16MiB" }, nodes: [{ numCpus: 1, resources: { far: 1 }, objectStoreMemory: "16MiB" }],
  });
  await cluster.connect();
  const values = Array.from({ length: 10 }, (_, seed) => valueOf(seed, 3 * MIB + 4096));
  const refs = [];
  for (const value of values) refs.push(await put(value));
  const far = hash.options({ resources: { far: 1 } });
  for (let round = 0; round < 2; round += 1) {
    expect(await get(refs.map((ref) => far.remote(ref)))).toEqual(values.map(hashOf));
  }
});

test("what the disk has damaged is made again; what nothing can make is an ObjectLostError, and never wrong", async () => {
  const spillFolder = mkdtempSync(join(tmpdir(), "troupe-damaged-"));
  await using cluster = await testCluster({ head: { numCpus: 1, objectStoreMemory: "16MiB", spillFolder } });
  await cluster.connect();
  const made = Array.from({ length: 4 }, (_, seed) => make.remote(seed, 4 * MIB));
  await wait(made, { numReturns: 4 });
  const puts: ObjectRef<Uint8Array>[] = [];
  for (let seed = 10; seed < 14; seed += 1) puts.push(await put(valueOf(seed, 4 * MIB)));
  for (let seed = 20; seed < 24; seed += 1) puts.push(await put(valueOf(seed, 4 * MIB)));
  const [agent] = [...cluster.pids().agents.values()];
  expect(damageFiles(agent, spillFolder)).toBeGreaterThan(0);
  for (const [seed, ref] of made.entries()) expect(hashOf(await get(ref))).toBe(hashOf(valueOf(seed, 4 * MIB)));
  for (const ref of puts.slice(0, 4)) {
    await expect(get(ref)).rejects.toThrow(ObjectLostError);
    await expect(get(ref)).rejects.toThrow(/its copy on disk is damaged/);
  }
  await cluster.stop();
  rmdirSync(spillFolder);
});

/** A bit of every block of the files without a name that a process has in that folder. How many files there are. */
function damageFiles(pid: number, folder: string): number {
  const isThere = (fd: string) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith(`${folder}/`);
    } catch {
      // It was closed meanwhile.
      return false;
    }
  };
  const files = readdirSync(`/proc/${pid}/fd`).filter(isThere);
  for (const file of files) {
    const fd = openSync(`/proc/${pid}/fd/${file}`, "r+");
    for (let at = MIB / 2; at < fstatSync(fd).size; at += MIB) {
      const byte = Buffer.alloc(1);
      readSync(fd, byte, 0, 1, at);
      writeSync(fd, Buffer.of(byte[0] ^ 1), 0, 1, at);
    }
    closeSync(fd);
  }
  return files.length;
}

test("a full store that may not spill says who fills it", async () => {
  await using cluster = await testCluster({ head: { numCpus: 1, objectStoreMemory: "16MiB", spillFolder: false } });
  await cluster.connect();
  const kept = [];
  for (let seed = 0; seed < 3; seed += 1) kept.push(await put(valueOf(seed, 4 * MIB)));
  const stop = new AbortController();
  const stopped = put(valueOf(9, 8 * MIB), { signal: stop.signal });
  await expect(put(valueOf(9, 8 * MIB), { timeoutMs: 20 })).rejects.toThrow(GetTimeoutError);
  await expect(createBuffer(8 * MIB, { timeoutMs: 20 })).rejects.toThrow(GetTimeoutError);
  stop.abort(new Error("enough"));
  await expect(stopped).rejects.toThrow("enough");
  const error = await put(valueOf(9, 8 * MIB)).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(ObjectStoreFullError);
  expect((error as Error).message).toMatch(new RegExp(`pid ${process.pid}\\) made \\d+`));
  for (const [seed, ref] of kept.entries()) expect(hashOf(await get(ref))).toBe(hashOf(valueOf(seed, 4 * MIB)));
});

describe("a disk of 8 MiB", () => {
  const folder = mkdtempSync(join(tmpdir(), "troupe-small-disk-"));
  const obstacle = (() => {
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], { stdio: "pipe" });
      return undefined;
    } catch (error) {
      return `no file system can be mounted (root can): ${(error as Error).message.trim()}`;
    }
  })();
  afterAll(() => {
    if (obstacle === undefined) execFileSync("umount", [folder]);
    rmdirSync(folder);
  });

  test.skipIf(obstacle !== undefined)("and a full store are a typed error, and what they hold stays right", async () => {
    await using cluster = await testCluster({ head: { numCpus: 1, objectStoreMemory: "16MiB", spillFolder: folder } });
    await cluster.connect();
    const kept: ObjectRef<Uint8Array>[] = [];
    let refused: unknown;
    while (refused === undefined && kept.length < 20) {
      try {
        kept.push(await put(valueOf(kept.length, 3 * MIB)));
      } catch (error) {
        refused = error;
      }
    }
    expect(refused).toBeInstanceOf(OutOfDiskError);
    expect((refused as Error).message).toMatch(/no space left on device/i);
    expect(kept.length).toBeGreaterThan(4);
    expect(await get(kept.map((ref) => hash.remote(ref)))).toEqual(kept.map((_, seed) => hashOf(valueOf(seed, 3 * MIB))));
    // Room on the disk is room again.
    kept.splice(0, 3).forEach((ref) => ref.release());
    kept.push(await put(valueOf(90, 3 * MIB)));
    expect(hashOf(await get(kept.at(-1) as ObjectRef<Uint8Array>))).toBe(hashOf(valueOf(90, 3 * MIB)));
  });
});
