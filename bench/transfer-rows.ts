// Rows about objects that go from node to node, over loopback: of a driver on one node and objects that are made on the other.

import { get, type ObjectRef, onNode, remote, shutdown, wait } from "troupe";
import { testCluster } from "troupe/testing";
import type { Row } from "./rows.ts";
import { median } from "./timing.ts";

const MIB = 1024 * 1024;
const SMALL_BYTES = 100_000;
const SMALL_OBJECTS = 200;
const LARGE_BYTES = 256 * MIB;
const REPEATS = 5;

type Make = (bytes: number) => ObjectRef<Uint8Array>;

/** With two nodes; `make` gives objects of the other one. */
async function apart(measure: (make: Make) => Promise<number[]>): Promise<number[]> {
  const cluster = await testCluster({ head: { numCpus: 1, objectStoreMemory: "2GiB" } });
  try {
    await cluster.connect();
    const there = await cluster.addNode({ numCpus: 1, objectStoreMemory: "2GiB" });
    const made = remote((bytes: number) => new Uint8Array(bytes), { schedulingStrategy: onNode(there) });
    await get(made.remote(SMALL_BYTES));
    return await measure((bytes) => made.remote(bytes));
  } finally {
    await shutdown();
    await cluster.stop();
  }
}

async function millis(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

/** Microseconds of each get, one after the other, of objects that are made and not here. */
async function smallGets(make: Make): Promise<number[]> {
  const refs = Array.from({ length: SMALL_OBJECTS }, () => make(SMALL_BYTES));
  await wait(refs, { numReturns: refs.length, fetchLocal: false });
  const took: number[] = [];
  for (const ref of refs) took.push((await millis(() => get(ref))) * 1000);
  return took;
}

async function smallGetsBeside(make: Make): Promise<number[]> {
  const large = Array.from({ length: 3 }, () => make(LARGE_BYTES));
  await wait(large, { numReturns: large.length, fetchLocal: false });
  const whole = get(large);
  const took = await smallGets(make);
  await whole;
  return took;
}

async function largeGet(make: Make): Promise<number> {
  const ref = make(LARGE_BYTES);
  await wait([ref], { fetchLocal: false });
  const took = await millis(() => get(ref));
  ref.release();
  return LARGE_BYTES / 1e6 / took;
}

async function repeated(work: () => Promise<number>): Promise<number[]> {
  const figures: number[] = [];
  for (let times = 0; times < REPEATS; times += 1) figures.push(await work());
  return figures;
}

export const transferRows: readonly Row[] = [
  {
    name: "remote_get_100kb_us", unit: "µs", better: "lower", alone: true,
    measure: async () => [median(await apart(smallGets))],
  },
  {
    name: "remote_get_100kb_beside_large_us", unit: "µs", better: "lower", alone: true,
    measure: async () => [median(await apart(smallGetsBeside))],
  },
  {
    name: "remote_get_256mib_gbps", unit: "GB/s", better: "higher", alone: true,
    measure: () => apart((make) => repeated(() => largeGet(make))),
  },
];
