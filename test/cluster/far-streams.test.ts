// Streams between machines: real agents, the generator on one node, its reader on another, and either of them killed.

import { setTimeout as delay } from "node:timers/promises";
import { get, getRuntimeContext, type ObjectRefStream, remote, run } from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";
import { afterEach, beforeEach, expect, test } from "vitest";

let cluster: TestCluster;

beforeEach(async () => {
  const nodes = [{ numCpus: 1, resources: { a: 2 } }, { numCpus: 1, resources: { a: 2, b: 2 } }];
  cluster = await testCluster({ head: { numCpus: 1 }, nodes });
  await cluster.connect();
});
afterEach(() => cluster.stop());

const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);

const produce = remote(async function* (to: number, bytes: number) {
  for (let n = 0; n < to; n += 1) {
    if (n % 8 === 0) await delay(5);
    yield { n, node: getRuntimeContext().nodeId, pid: process.pid, body: new Uint8Array(bytes).fill(n) };
  }
}, { resources: { a: 1 }, numCpus: 0, streamBackpressure: 4 });
type Item = { readonly n: number; readonly node: string; readonly pid: number; readonly body: Uint8Array };

test("items come from another machine, small ones and large ones", async () => {
  const here = getRuntimeContext().nodeId;
  for (const bytes of [10, 200_000]) {
    const seen: number[] = [];
    for await (const ref of produce.remote(30, bytes)) {
      const { n, node, body } = await get(ref);
      expect(node).not.toBe(here);
      expect(body[bytes - 1]).toBe(n);
      seen.push(n);
    }
    expect(seen).toEqual(numbers(30));
  }
});

test("a third machine reads what the second makes for the first, and leaves when it wants", async () => {
  const read = remote(async (stream: ObjectRefStream<Item>, most: number) => {
    const seen: number[] = [];
    for await (const ref of stream) {
      const { n, body } = await get(ref);
      if (body.at(-1) === n) seen.push(n);
      if (seen.length === most) break;
    }
    return seen;
  }, { resources: { b: 1 }, numCpus: 0 });
  expect(await run(read, produce.remote(25, 100_000), 100)).toEqual(numbers(25));
  const stream = produce.remote(1_000_000, 10);
  expect(await run(read, stream, 7)).toEqual(numbers(7));
  expect((await stream.next()).done).toBe(true);
});

test("the worker of the generator is killed there: each item comes once", async () => {
  const seen: number[] = [];
  for await (const ref of produce.options({ maxRetries: -1 }).remote(60, 10)) {
    const { n, pid } = await get(ref);
    seen.push(n);
    if (n === 13 || n === 31) process.kill(pid, "SIGKILL");
  }
  expect(seen).toEqual(numbers(60));
});

test("its whole node is killed: another one goes on, each item comes once", async () => {
  const seen: number[] = [];
  const nodes = new Set<string>();
  for await (const ref of produce.remote(60, 10)) {
    const { n, node } = await get(ref);
    seen.push(n);
    nodes.add(node);
    if (n === 20) await cluster.removeNode(node, { graceful: false });
  }
  expect(seen).toEqual(numbers(60));
  expect(nodes.size).toBe(2);
});
