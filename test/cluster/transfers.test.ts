// Objects that go from node to node, with real nodes: once however many read, from each other, and whoever is killed meanwhile.

import { afterEach, describe, expect, test } from "vitest";
import { get, GetTimeoutError, list, onNode, put, remote, run, wait, type ObjectRef } from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";

const MIB = 1024 * 1024;
/** Slower than nodes pass on what they have, on a machine that is busy with much else. */
const ORIGIN_RATE = 16 * MIB;

let cluster: TestCluster;
afterEach(() => cluster.stop());

/** Nodes beside the head's, all known to each other. */
async function start(nodes: number): Promise<string[]> {
  cluster = await testCluster({ head: { numCpus: 1, objectStoreMemory: "256MiB" } });
  await cluster.connect();
  const ids: string[] = [];
  for (let node = 0; node < nodes; node += 1) ids.push(await cluster.addNode({ numCpus: 2, objectStoreMemory: "256MiB" }));
  await Promise.all(ids.map((id) => run(remote(() => {}, { schedulingStrategy: onNode(id) }))));
  return ids;
}

async function storeOf(node: string) {
  const [row] = await list.stores({ filters: { nodeId: node } });
  return row;
}

/** Waits until a part of an object has come there. */
async function receives(node: string): Promise<void> {
  const copied = async () => (await storeOf(node))?.copiedBytes ?? 0;
  await expect.poll(copied, { interval: 5, timeout: 20_000 }).toBeGreaterThan(2 * MIB);
}

/** Reads an object there: its length, and whether all of it is what `pattern` made. */
function readerOn(node: string) {
  return remote(async ([ref]: ObjectRef<Uint8Array>[]) => {
    const bytes = await get(ref);
    for (let at = 0; at < bytes.length; at += 4093) if (bytes[at] !== ((at * 7) & 255)) return `wrong at ${at}`;
    return bytes.length;
  }, { schedulingStrategy: onNode(node), numCpus: 0, maxRetries: 0 });
}

function pattern(size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += 4093) bytes[at] = (at * 7) & 255;
  return bytes;
}

test("two nodes that can't reach each other get objects by way of a third, and let go of all copies", async () => {
  const [maker, reader] = await start(2);
  const make = remote((size: number) => {
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size; at += 4093) bytes[at] = (at * 7) & 255;
    return bytes;
  }, { schedulingStrategy: onNode(maker), numCpus: 0, maxRetries: 0 });
  const sizes = [9 * MIB, 300_000];
  const refs = sizes.map((size) => make.remote(size));
  await wait(refs, { numReturns: 2, fetchLocal: false });
  await cluster.partition([maker], { from: reader, direction: "both" });
  const read = readerOn(reader);
  expect(await get(refs.map((ref) => read.remote([ref])))).toEqual(sizes);
  const { transfers } = await storeOf(maker);
  expect(await get(refs.map((ref) => read.remote([ref])))).toEqual(sizes);
  expect((await storeOf(maker)).transfers).toBe(transfers);
  refs.forEach((ref) => ref.release());
  const left = async () => (await list.stores()).map(({ objects }) => objects);
  await expect.poll(left).toEqual([0, 0, 0]);
});

describe("copies", () => {
  test("ten readers on a node cause one transfer", async () => {
    const [there] = await start(1);
    const ref = await put(pattern(8 * MIB));
    const before = await storeOf(there);
    const reads = Array.from({ length: 10 }, () => run(readerOn(there), [ref]));
    expect(await Promise.all(reads)).toEqual(Array(10).fill(8 * MIB));
    const after = await storeOf(there);
    expect(after.transfers - before.transfers).toBe(1);
    // The value has a few bytes of its own before the array.
    expect(after.copiedBytes - before.copiedBytes - 8 * MIB).toBeLessThan(4096);
    expect(after).toMatchObject({ damagedChunks: 0, inFlightBytes: 0 });
  });

  test("nodes that read the same object at once get it from each other", async () => {
    const nodes = await start(5);
    const size = 48 * MIB;
    // With workers that are there: readers that come one after the other may each find the origin idle.
    const small = await put(pattern(1));
    await Promise.all(nodes.map((node) => run(readerOn(node), [small])));
    const ref = await put(pattern(size));
    // On one machine no link is the bottleneck, and the origin may be the first to answer everybody.
    const head = (await list.stores()).find(({ nodeId }) => !nodes.includes(nodeId))!.nodeId;
    await cluster.slow(head, { bytesPerSecond: ORIGIN_RATE });
    expect(await Promise.all(nodes.map((node) => run(readerOn(node), [ref])))).toEqual(nodes.map(() => size));
    const stores = await list.stores();
    const origin = stores.find(({ nodeId }) => nodeId === head);
    expect(origin!.servedBytes).toBeLessThan(2.5 * size);
    const relayed = stores.filter(({ nodeId }) => nodes.includes(nodeId)).reduce((sum, { servedBytes }) => sum + servedBytes, 0);
    expect(relayed + origin!.servedBytes).toBeGreaterThanOrEqual(5 * size);
    ref.release();
    // What was relayed is freed with the object.
    await expect.poll(async () => (await list.stores()).map(({ used }) => used < size))
      .toEqual(stores.map(() => true));
  });
});

describe("a wait", () => {
  const made = (node: string, size: number) => remote((bytes: number) => new Uint8Array(bytes).fill(5), {
    schedulingStrategy: onNode(node),
  }).remote(size);
  const transfers = async () => (await list.stores()).reduce((sum, store) => sum + store.transfers, 0);

  test("with fetchLocal false moves nothing; without, what is ready is here, however often it is asked", async () => {
    const [there] = await start(1);
    const refs = [made(there, 3 * MIB), made(there, 100_000), made(there, 10)];
    const far = await wait(refs, { numReturns: 3, fetchLocal: false });
    expect(far).toEqual({ ready: refs, pending: [] });
    expect(await transfers()).toBe(0);
    expect(await wait(refs, { numReturns: 3 })).toEqual({ ready: refs, pending: [] });
    expect(await transfers()).toBe(2);
    expect(await wait(refs, { numReturns: 3, timeoutMs: 0 })).toEqual({ ready: refs, pending: [] });
    const values = await get(refs);
    expect(values.map((value) => [value.length, value[0]])).toEqual([[3 * MIB, 5], [100_000, 5], [10, 5]]);
    expect(await transfers()).toBe(2);
  });

  test("that has no time brings an object all the same: it is ready at a later look", async () => {
    const [there] = await start(1);
    const ref = made(there, 4 * MIB);
    await wait([ref], { fetchLocal: false });
    expect(await wait([ref], { timeoutMs: 0 })).toEqual({ ready: [], pending: [ref] });
    await expect.poll(async () => (await wait([ref], { timeoutMs: 0 })).ready.length).toBe(1);
    expect(await transfers()).toBe(1);
  });

  test("counts what has failed as ready, and what is lost when it was made again and is here", async () => {
    const [there] = await start(1);
    const failed = remote(() => {
      throw new Error("no");
    }, { schedulingStrategy: onNode(there) }).remote();
    const lost = remote(() => new Uint8Array(2 * MIB).fill(6), { schedulingStrategy: onNode(there, { soft: true }) }).remote();
    await wait([failed, lost], { numReturns: 2, fetchLocal: false });
    await cluster.removeNode(there, { graceful: false });
    expect(await wait([failed, lost], { numReturns: 2 })).toEqual({ ready: [failed, lost], pending: [] });
    expect((await get(lost))[0]).toBe(6);
  });

  test("and a get end at their timeout also while an object is on its way", async () => {
    const [there] = await start(1);
    const ref = made(there, 64 * MIB);
    await wait([ref], { fetchLocal: false });
    const { agents } = cluster.pids();
    process.kill(agents.get(there) as number, "SIGSTOP");
    try {
      await expect(get(ref, { timeoutMs: 300 })).rejects.toBeInstanceOf(GetTimeoutError);
      expect(await wait([ref], { timeoutMs: 300 })).toEqual({ ready: [], pending: [ref] });
    } finally {
      process.kill(agents.get(there) as number, "SIGCONT");
    }
    expect((await get(ref)).length).toBe(64 * MIB);
  });
});

describe("a node that is killed", () => {
  test("while it relays an object: the others get it all the same", async () => {
    const nodes = await start(4);
    const size = 96 * MIB;
    const ref = await put(pattern(size));
    const reads = nodes.map((node) => run(readerOn(node), [ref]).catch((error: Error) => error.name));
    const relay = nodes[0];
    await receives(relay);
    await cluster.removeNode(relay, { graceful: false });
    const ends = await Promise.all(reads);
    expect(ends.slice(1)).toEqual([size, size, size]);
  });

  test("while it sends what others have whole: the reader goes on with them", async () => {
    const [source, holder, reader] = await start(3);
    const size = 96 * MIB;
    const make = remote((bytes: number) => {
      const made = new Uint8Array(bytes);
      for (let at = 0; at < bytes; at += 4093) made[at] = (at * 7) & 255;
      return made;
    }, { schedulingStrategy: onNode(source), maxRetries: 0 });
    const ref = make.remote(size);
    expect(await run(readerOn(holder), [ref])).toBe(size);
    const reading = run(readerOn(reader), [ref]);
    await receives(reader);
    await cluster.removeNode(source, { graceful: false });
    expect(await reading).toBe(size);
  });
});
