// Detached objects live on when their creator, its job, or a node that has a copy is gone, until they are freed or their time is
// over.

import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  createBuffer, free, get, getObject, init, InvalidArgumentError, list, NameTakenError, NotFoundError, ObjectFreedError,
  ObjectLostError,
  type ObjectRef, put, remote, run, scope, shutdown, TaskError, wait,
} from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";

const MIB = 1024 * 1024;

function pattern(bytes: number): Uint8Array {
  const made = new Uint8Array(bytes);
  for (let index = 0; index < bytes; index += 1) made[index] = (index * 31 + (index >> 8)) & 255;
  return made;
}

const hashOf = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

async function objectsLeft(): Promise<number> {
  return (await list.stores()).reduce((sum, { objects, evicted }) => sum + objects + evicted, 0);
}

async function nothingLeft(): Promise<void> {
  await expect.poll(objectsLeft, { interval: 50 }).toBe(0);
}

/** Detaches what it made, and is killed. */
class Maker {
  pid() {
    return process.pid;
  }
  async make(bytes: number) {
    const large = await put(new Uint8Array(bytes).fill(5));
    const small = await put("small");
    const holder = await put({ large, small });
    await holder.detach({ name: "holder" });
    return { holder, lone: await put(new Uint8Array(bytes)) };
  }
}

describe("on two nodes", () => {
  let cluster: TestCluster;

  beforeEach(async () => {
    cluster = await testCluster({ head: { numCpus: 2 }, nodes: [{ numCpus: 2, resources: { far: 2 } }] });
    await cluster.connect();
  });
  afterEach(() => cluster.stop());

  test("an object and what is inside it are there when the worker that made them was killed", async () => {
    const maker = remote(Maker, { resources: { far: 1 }, numCpus: 0 }).remote();
    const { holder, lone } = await get(maker.make.remote(3 * MIB));
    const before = await objectsLeft();
    process.kill(await get(maker.pid.remote()), "SIGKILL");
    // Until its agent has seen it, the value can still be read.
    await expect.poll(objectsLeft).toBeLessThan(before);
    await expect(get(lone)).rejects.toThrow(ObjectLostError);
    const { large, small } = await get(holder);
    expect(await get(small)).toBe("small");
    expect((await get(large)).at(-1)).toBe(5);
    const found = await getObject<{ small: ObjectRef<string> }>("holder");
    expect(found.id).toBe(holder.id);
    expect(await get((await get(found)).small)).toBe("small");
    const [row] = await list.objects({ filters: { name: "holder" } });
    expect(row).toMatchObject({ id: holder.id, state: "READY", lifetime: "detached" });
    await free(found);
    for (const ref of [holder, large, small, found]) await expect(get(ref as ObjectRef)).rejects.toThrow(ObjectFreedError);
    await expect(getObject("holder")).rejects.toThrow(NotFoundError);
    await nothingLeft();
  });

  test("a later driver finds it by name, also results made on another node", async () => {
    const ref = await put(pattern(2 * MIB));
    await ref.detach({ name: "put" });
    const made = remote((bytes: number) => new Uint8Array(bytes).fill(3), { resources: { far: 1 } }).remote(2 * MIB);
    await made.detach({ name: "made" });
    await made.detach({ name: "also made" });
    expect((await list.objects({ filters: { id: made.id } }))[0].name).toBe("also made");
    const ids = [ref.id, made.id];
    await shutdown();
    await cluster.connect();
    expect(await objectsLeft()).toBe(2);
    await expect(free(ref)).rejects.toThrow(NotFoundError);
    await expect(ref.detach()).rejects.toThrow(NotFoundError);
    const found = await getObject<Uint8Array>("put");
    const other = await getObject<Uint8Array>("made");
    expect([found.id, other.id]).toEqual(ids);
    expect(hashOf(await get(found))).toBe(hashOf(pattern(2 * MIB)));
    const sum = remote((one: Uint8Array, two: Uint8Array) => one.length + two[0], { resources: { far: 1 } });
    expect(await run(sum, found as never, other as never)).toBe(2 * MIB + 3);
    await free([found, other]);
    await free([found, other]);
    await expect(getObject("also made")).rejects.toThrow(NotFoundError);
    await nothingLeft();
  });

  test("instances of classes are read when the job that made them has ended", async () => {
    class Point {
      constructor(readonly x: number, readonly y: number) {}
      length() {
        return Math.hypot(this.x, this.y);
      }
    }
    const ref = await put({ points: [new Point(3, 4)], double: (n: number) => 2 * n });
    await ref.detach({ name: "points" });
    await shutdown();
    await cluster.connect();
    const read = remote(async (name: string) => {
      const { points, double } = await get(await getObject<{ points: Point[]; double: (n: number) => number }>(name));
      return double(points[0].length());
    }, { resources: { far: 1 } });
    // This process made the class, and knows it still; a worker of the new job does not.
    expect(await run(read, "points")).toBe(10);
  });

  test("a name is one object's in its namespace", async () => {
    const one = await put(1);
    const two = await put(2);
    await one.detach({ name: "n" });
    await one.detach({ name: "n" });
    await expect(two.detach({ name: "n" })).rejects.toThrow(NameTakenError);
    expect(await get(two)).toBe(2);
    await two.detach({ name: "n", namespace: "other" });
    expect(await get(await getObject("n"))).toBe(1);
    expect(await get(await getObject("n", { namespace: "other" }))).toBe(2);
    await free(one);
    await two.detach({ name: "n" });
    expect((await getObject("n")).id).toBe(two.id);
    await free([two]);
    await expect(getObject("n", { namespace: "other" })).rejects.toThrow(NotFoundError);
    await expect(getObject("")).rejects.toThrow(InvalidArgumentError);
    await expect(two.detach({ replicas: 0 })).rejects.toThrow(/option replicas/);
    await expect(two.detach({ ttl: 5 } as never)).rejects.toThrow(InvalidArgumentError);
  });

  test("what a job has freed is not seen by another, in none of its buffers", async () => {
    const sizes = [70_000, 300_000, 20 * MIB];
    for (const size of sizes) {
      const refs = await Promise.all(Array.from({ length: 6 }, () => put(new Uint8Array(size).fill(0xa7))));
      for (const ref of refs) ref.release();
    }
    await nothingLeft();
    await shutdown();
    await cluster.connect();
    for (const size of sizes) {
      for (let times = 0; times < 6; times += 1) {
        using buffer = await createBuffer(size);
        expect(buffer.bytes.includes(0xa7), `${size} bytes`).toBe(false);
      }
    }
  });

  test("drivers of one namespace share names, and others don't", async () => {
    await shutdown();
    await init({ address: cluster.socket, token: cluster.token, namespace: "red" });
    const ref = await put("red");
    await ref.detach({ name: "colour" });
    const within = remote(async () => get(await getObject("colour")));
    expect(await run(within)).toBe("red");
    await shutdown();
    await init({ address: cluster.socket, token: cluster.token, namespace: "blue" });
    await expect(getObject("colour")).rejects.toThrow(NotFoundError);
    expect(await get(await getObject("colour", { namespace: "red" }))).toBe("red");
  });

  test("its time is over after ttlMs, and a later detach may give it more", async () => {
    const short = await put(new Uint8Array(2 * MIB));
    const longer = await put("longer");
    await short.detach({ name: "short", ttlMs: 300 });
    await longer.detach({ name: "longer", ttlMs: 300 });
    await longer.detach({ ttlMs: 600_000 });
    const errorOf = () => get(short).then(() => "", (error: Error) => error.constructor);
    await expect.poll(errorOf).toBe(ObjectFreedError);
    await expect(get(short)).rejects.toMatchObject({ freedBy: "ttl", message: expect.stringContaining("ttlMs") });
    await expect.poll(() => getObject("short").catch((error: Error) => error.constructor)).toBe(NotFoundError);
    expect(await get(longer)).toBe("longer");
    expect(await get(await getObject("longer"))).toBe("longer");
    await free([longer]);
    await nothingLeft();
  });

  test("free ends also what was never detached, and what is being made; a task that fails can't be detached", async () => {
    const plain = await put(new Uint8Array(2 * MIB));
    const far = remote((bytes: Uint8Array) => bytes.length, { resources: { far: 1 } });
    expect(await run(far, plain as never)).toBe(2 * MIB);
    const slow = remote(async () => {
      await new Promise((resolve) => setTimeout(resolve, 500));
      return new Uint8Array(2 * 1024 * 1024);
    }).remote();
    await free([plain, slow]);
    await expect(get(plain)).rejects.toThrow(ObjectFreedError);
    await expect(get(plain)).rejects.toMatchObject({ freedBy: "free", message: expect.stringContaining("by free()") });
    await expect(get(slow)).rejects.toThrow(ObjectFreedError);
    await expect(run(far, plain as never)).rejects.toThrow(ObjectFreedError);
    const failing = remote(() => {
      throw new RangeError("no value");
    }).remote();
    await expect(failing.detach()).rejects.toThrow(RangeError);
    await expect(failing.detach()).rejects.toThrow(TaskError);
    await expect(free(5 as never)).rejects.toThrow(InvalidArgumentError);
    await nothingLeft();
  });

  test("names and scopes are there when the head was killed, and what was freed meanwhile is gone", async () => {
    const kept = await scope("kept");
    const ended = await scope("ended");
    const inKept = await put("in kept", { scope: kept });
    const inEnded = await put("in ended", { scope: ended });
    const named = await put("named");
    await named.detach({ name: "named" });
    await cluster.killHead();
    const ending = ended.free();
    await cluster.restartHead();
    await ending;
    await expect(get(inEnded)).rejects.toThrow(ObjectFreedError);
    expect((await scope("kept")).id).toBe(kept.id);
    expect(await get(inKept)).toBe("in kept");
    expect(await get(await getObject("named"))).toBe("named");
    expect(await get(await put("more", { scope: kept }))).toBe("more");
    await kept.free();
    await free(named);
    await nothingLeft();
  });
});

/** Kills one of the nodes that have it, and waits until there are two again. This driver's node stays. */
async function loseOne(cluster: TestCluster, homes: () => Promise<readonly string[]>): Promise<void> {
  const head = (await list.nodes()).find(({ isHead }) => isHead)?.id;
  const lost = (await homes()).find((home) => home !== head) as string;
  await cluster.removeNode(lost, { graceful: false });
  await expect.poll(async () => (await homes()).filter((home) => home !== lost).length).toBe(2);
}

test("with replicas it outlives nodes, and each that is lost is replaced", async () => {
  const nodes = [1, 2, 3].map((index) => ({ numCpus: 1, resources: { [`n${index}`]: 1 } }));
  await using cluster = await testCluster({ head: { numCpus: 1 }, nodes });
  await cluster.connect();
  const bytes = 5 * MIB + 77;
  const make = remote(pattern, { resources: { n1: 1 }, numCpus: 0 });
  const ref = make.remote(bytes);
  await ref.detach({ name: "safe", replicas: 2 });
  const homes = async () => (await list.objects({ filters: { id: ref.id } }))[0]?.locations ?? [];
  const first = await homes();
  expect(first).toHaveLength(2);
  await loseOne(cluster, homes);
  await loseOne(cluster, homes);
  expect(hashOf(await get(ref))).toBe(hashOf(pattern(bytes)));
  await shutdown();
  await cluster.connect();
  const found = await getObject<Uint8Array>("safe");
  expect(hashOf(await get(found))).toBe(hashOf(pattern(bytes)));
  await free(found);
  await nothingLeft();
});

test("what is lost with its node is made again while its maker's driver lives, and is kept as it was", async () => {
  const node = { numCpus: 1, resources: { far: 1 } };
  await using cluster = await testCluster({ head: { numCpus: 1 }, nodes: [node] });
  await cluster.connect();
  const [first] = (await list.nodes({ filters: { isHead: false } })).map(({ id }) => id);
  const all = await scope("all");
  const make = remote(pattern, { resources: { far: 1 } });
  const ref = make.remote(2 * MIB);
  const scoped = make.options({ scope: all }).remote(3 * MIB);
  await ref.detach({ name: "again" });
  await wait([scoped], { fetchLocal: false });
  await cluster.removeNode(first, { graceful: false });
  await expect.poll(async () => (await list.nodes({ filters: { id: first } }))[0].state).toBe("DEAD");
  const second = await cluster.addNode(node);
  expect(hashOf(await get(await getObject<Uint8Array>("again")))).toBe(hashOf(pattern(2 * MIB)));
  expect(hashOf(await get(scoped))).toBe(hashOf(pattern(3 * MIB)));
  const rowOf = async ({ id }: ObjectRef) => {
    return (await list.objects({ filters: { id } })).find(({ lifetime }) => lifetime !== undefined);
  };
  await expect.poll(async () => (await rowOf(ref))?.name).toBe("again");
  expect(await rowOf(scoped)).toMatchObject({ lifetime: "scope", scopes: ["all"], locations: expect.arrayContaining([second]) });
  await shutdown();
  await cluster.connect();
  const found = await getObject<Uint8Array>("again");
  expect(hashOf(await get(found))).toBe(hashOf(pattern(2 * MIB)));
  await free(found);
  await expect(getObject("again")).rejects.toThrow(NotFoundError);
  await (await scope("all")).free();
  await nothingLeft();
});

test("without replicas it goes with its node, and says so; its name can be given again", async () => {
  await using cluster = await testCluster({ head: { numCpus: 1 }, nodes: [{ numCpus: 1, resources: { far: 1 } }] });
  await cluster.connect();
  const ref = remote(pattern, { resources: { far: 1 }, maxRetries: 0 }).remote(2 * MIB);
  await ref.detach({ name: "lost" });
  const [node] = (await list.objects({ filters: { id: ref.id } }))[0].locations;
  await cluster.removeNode(node, { graceful: false });
  await expect(get(ref)).rejects.toThrow(ObjectLostError);
  const found = await getObject("lost");
  await expect(get(found)).rejects.toThrow(ObjectLostError);
  const other = await put("other");
  await other.detach({ name: "lost" });
  expect(await get(await getObject("lost"))).toBe("other");
  await free(found);
  expect((await getObject("lost")).id).toBe(other.id);
  await free(other);
  await expect(getObject("lost")).rejects.toThrow(NotFoundError);
});

test("what was spilled is freed with its file", async () => {
  const folder = mkdtempSync(join(tmpdir(), "troupe-spill-"));
  try {
    await using cluster = await testCluster({ head: { numCpus: 1, objectStoreMemory: "32MiB", spillFolder: folder } });
    await cluster.connect();
    const all = await scope("all");
    const refs: ObjectRef<Uint8Array>[] = [];
    for (let index = 0; index < 12; index += 1) refs.push(await put(new Uint8Array(8 * MIB).fill(index), { scope: all }));
    const spilled = async () => (await list.stores())[0].spillFileBytes ?? 0;
    expect(await spilled()).toBeGreaterThan(32 * MIB);
    await shutdown();
    await cluster.connect();
    expect(await objectsLeft()).toBe(12);
    await (await scope("all")).free();
    await nothingLeft();
    await expect.poll(spilled).toBe(0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
