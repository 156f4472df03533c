// Rows about large amounts: Ray's single-node limits with their names and sizes (release/benchmarks/single_node), streams, deep
// nesting and many queued tasks.

import { setTimeout as delay } from "node:timers/promises";
import { availableParallelism } from "node:os";
import { cancel, get, type ObjectRef, put, remote } from "troupe";
import type { Row } from "./rows.ts";
import { rates } from "./timing.ts";

const ARGS = 10_000;
const RETURNS = 3000;
const GETS = 10_000;
const QUEUED = 1_000_000;
const CANCELLED = 100_000;
/** Of each argument, result and object. */
const LENGTH = 10_000;
const DEPTH = 1000;
const ITEMS = 10_000;
const AHEAD = 256;
const REPEATS = 3;
const FOREVER_MS = 1_000_000;
const SETTLE_MS = 500;

const list = (): number[] => Array.from({ length: LENGTH }, (_, index) => index);
const times = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make);

const nothing = remote(() => undefined);
const sumOfAll = remote((...lists: number[][]) => lists.reduce((sum, one) => sum + one.length, 0));
const returnsMany = remote(
  (count: number, length: number) => Array.from({ length: count }, () => Array.from({ length }, (_, index) => index)),
  { numReturns: RETURNS },
);
const blocks = remote((ms: number) => delay(ms));
const depth = remote(async (left: number): Promise<number> => (left === 0 ? 0 : 1 + (await get(depth.remote(left - 1)))));
const fib = remote(async (n: number): Promise<number> => {
  if (n < 2) return n;
  const [one, other] = await get([fib.remote(n - 1), fib.remote(n - 2)]);
  return one + other;
});
const items = remote(function* (count: number) {
  for (let item = 0; item < count; item += 1) yield item;
});
class Source {
  *items(count: number) {
    for (let item = 0; item < count; item += 1) yield item;
  }
}
const readsAll = remote(async (stream: ReturnType<typeof items.remote>) => {
  let count = 0;
  for await (const ref of stream) count += ref.id === "" ? 0 : 1;
  return count;
});

async function seconds(action: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await action();
  return (performance.now() - started) / 1000;
}

/** Every CPU is taken, so that what is submitted waits. */
async function whileBlocked<T>(work: () => Promise<T>): Promise<T> {
  const taken = times(availableParallelism(), () => blocks.remote(FOREVER_MS));
  await delay(SETTLE_MS);
  const done = await work();
  await cancel(taken, { force: true });
  return done;
}

async function cancelledSeconds(): Promise<number> {
  return whileBlocked(async () => {
    const queued = times(CANCELLED, () => nothing.remote());
    return seconds(() => cancel(queued));
  });
}

async function queuedSeconds(): Promise<number> {
  let queued: ObjectRef<undefined>[] = [];
  return seconds(async () => {
    await whileBlocked(async () => void (queued = times(QUEUED, () => nothing.remote())));
    await get(queued);
  });
}

async function bytesOfQueued(): Promise<number> {
  return whileBlocked(async () => {
    const before = process.memoryUsage.rss();
    const queued = times(QUEUED, () => nothing.remote());
    const bytes = (process.memoryUsage.rss() - before) / queued.length;
    await cancel(queued);
    return bytes;
  });
}

async function readHere(stream: AsyncIterable<ObjectRef<number>>): Promise<void> {
  for await (const ref of stream) await get(ref);
}

function once(name: string, unit: string, measure: () => Promise<number>, repeats = 1): Row {
  return {
    name, unit, better: "lower",
    async measure() {
      const found: number[] = [];
      for (let repeat = 0; repeat < repeats; repeat += 1) found.push(await measure());
      return found;
    },
  };
}

function itemRate(name: string, prepare: () => () => Promise<unknown>): Row {
  return { name, unit: "1/s", better: "higher", measure: (windows) => rates(prepare(), ITEMS, windows) };
}

export const limitRows: readonly Row[] = [
  once(`${ARGS}_args_time`, "s", async () => {
    const lists = times(ARGS, list);
    return seconds(() => get(sumOfAll.remote(...lists)));
  }),
  once(`${RETURNS}_returns_time`, "s", () =>
    seconds(async () => {
      const refs = returnsMany.remote(RETURNS, LENGTH) as unknown as ObjectRef<number[]>[];
      for (const ref of refs) await get(ref);
    })),
  once(`${GETS}_get_time`, "s", async () => {
    const refs: ObjectRef<number[]>[] = [];
    for (let index = 0; index < GETS; index += 1) refs.push(await put(list()));
    return seconds(() => get(refs));
  }),
  once(`${QUEUED}_queued_time`, "s", queuedSeconds),
  once("queued_task_bytes", "bytes", bytesOfQueued),
  once("cancel_100k_queued_s", "s", cancelledSeconds, REPEATS),
  once("fib_10_by_tasks_ms", "ms", async () => {
    await get(fib.remote(3));
    return 1000 * (await seconds(() => get(fib.remote(10))));
  }, REPEATS),
  once("nested_depth_1000_ms", "ms", async () => 1000 * (await seconds(() => get(depth.remote(DEPTH)))), REPEATS),
  itemRate("stream_items", () => () => readHere(items.remote(ITEMS))),
  itemRate("stream_items_256_ahead", () => () => readHere(items.options({ streamBackpressure: AHEAD }).remote(ITEMS))),
  itemRate("actor_stream_items", () => {
    const source = remote(Source).remote();
    return () => readHere(source.items.remote(ITEMS));
  }),
  itemRate("stream_items_to_a_task", () => () => get(readsAll.remote(items.remote(ITEMS)))),
];
