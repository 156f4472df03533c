// Objects that go from node to node, with real nodes: once however many read, from each other, and whoever is killed meanwhile.

import { afterEach, describe, expect, test } from "vitest";
import { get, list, onNode, put, remote, run, type ObjectRef } from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";

const MIB = 1024 * 1024;

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
    const ref = await put(pattern(size));
    expect(await Promise.all(nodes.map((node) => run(readerOn(node), [ref])))).toEqual(nodes.map(() => size));
    const stores = await list.stores();
    const origin = stores.find(({ nodeId }) => !nodes.includes(nodeId));
    expect(origin!.servedBytes).toBeLessThan(2.5 * size);
    const relayed = stores.filter(({ nodeId }) => nodes.includes(nodeId)).reduce((sum, { servedBytes }) => sum + servedBytes, 0);
    expect(relayed + origin!.servedBytes).toBeGreaterThanOrEqual(5 * size);
    ref.release();
    // What was relayed is freed with the object.
    await expect.poll(async () => (await list.stores()).map(({ used }) => used < size), { timeout: 10_000 })
      .toEqual(stores.map(() => true));
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
