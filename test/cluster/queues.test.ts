// Queues, semaphores and the brake on submitting, between real processes, some of which die.

import { afterAll, beforeAll, expect, test } from "vitest";
import {
  get, GetTimeoutError, init, InvalidArgumentError, list, Queue, QueueClosedError, remote, run, Semaphore, shutdown,
  submitCapacity, wait, WorkerCrashedError,
} from "troupe";
import { until } from "../until.ts";

beforeAll(async () => {
  await init({ numCpus: 4 });
});
afterAll(() => shutdown());

test("items come out in the order in which they went in, whoever puts and takes", async () => {
  const queue = new Queue<number>({ maxSize: 3 });
  const produce = remote(async (to: Queue<number>, count: number) => {
    for (let n = 0; n < count; n += 1) await to.put(n);
    await to.close();
  });
  const consume = remote(async (from: Queue<number>) => {
    const got: number[] = [];
    for await (const n of from) got.push(n);
    return got;
  });
  const all = consume.remote(queue);
  await get(produce.remote(queue, 100));
  expect(await get(all)).toEqual(Array.from({ length: 100 }, (_, n) => n));
  await expect(queue.put(1)).rejects.toThrow(QueueClosedError);
  await expect(queue.get()).rejects.toThrow(QueueClosedError);
});

test("many producers and many consumers: each item once", async () => {
  const queue = new Queue<string>({ maxSize: 10 });
  const produce = remote(async (to: Queue<string>, who: number) => {
    await to.putMany(Array.from({ length: 200 }, (_, n) => `${who}/${n}`));
  }, { numCpus: 0.5 });
  const consume = remote(async (from: Queue<string>) => {
    const got: string[] = [];
    for (;;) {
      try {
        got.push(...(await from.getMany(7)));
      } catch (error) {
        if ((error as { code?: string }).code === "QUEUE_CLOSED") return got;
        throw error;
      }
    }
  }, { numCpus: 0.5 });
  const consumers = [1, 2, 3].map(() => consume.remote(queue));
  await get([1, 2, 3].map((who) => produce.remote(queue, who)));
  await queue.close();
  const got = (await get(consumers)).flat();
  expect(got).toHaveLength(600);
  expect(new Set(got).size).toBe(600);
});

test("is bounded: a put waits for room, and ends at its timeout or signal; a get the same for items", async () => {
  const queue = new Queue<number>({ maxSize: 2 });
  await queue.putMany([1, 2]);
  await expect(queue.put(3, { timeoutMs: 50 })).rejects.toThrow(GetTimeoutError);
  const stop = new AbortController();
  const waiting = queue.put(4, { signal: stop.signal });
  stop.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
  const late = queue.put(5);
  expect(await queue.get()).toBe(1);
  await late;
  expect(await queue.getMany(10)).toEqual([2, 5]);
  await expect(queue.get({ timeoutMs: 0 })).rejects.toThrow(GetTimeoutError);
  const leave = new AbortController();
  const nothing = queue.get({ signal: leave.signal });
  leave.abort(new Error("no more"));
  await expect(nothing).rejects.toThrow("no more");
  await queue.put(6);
  expect(await queue.get()).toBe(6);
  expect(() => new Queue({ maxSize: 0 })).toThrow(InvalidArgumentError);
});

test("what was on its way to a consumer that died is taken by another", async () => {
  const queue = new Queue<number>();
  const doomed = remote(async (from: Queue<number>) => {
    const [first] = [await from.get()];
    void from.get();
    await new Promise((resolve) => setTimeout(resolve, 100));
    process.kill(process.pid, "SIGKILL");
    return first;
  }, { maxRetries: 0 });
  const died = doomed.remote(queue);
  await queue.put(1);
  await expect(get(died)).rejects.toThrow(WorkerCrashedError);
  await queue.putMany([2, 3]);
  // The queue may hear of the death after it has lent 2 to the dead, and 3 to us: what comes back is first from then on.
  expect([await queue.get(), await queue.get()].sort()).toEqual([2, 3]);
});

test("a name is one queue for all who name it", async () => {
  const one = new Queue<string>({ name: "work", namespace: "queues" });
  await one.put("a");
  const taken = remote(async () => {
    const { Queue: Here } = await import("troupe");
    return new Here<string>({ name: "work", namespace: "queues" }).get();
  });
  expect(await run(taken)).toBe("a");
});

test("a queue ends with its last handle", async () => {
  const made = remote(async () => {
    const queue = new Queue<number>({ maxSize: 17 });
    await queue.put(1);
    const size = await queue.size();
    queue.release();
    return size;
  });
  const alive = async () => (await list.actors({ filters: { className: "QueueHost", state: "ALIVE" } })).map(({ id }) => id);
  const before = await alive();
  expect(await run(made)).toBe(1);
  await until(async () => (await alive()).every((id) => before.includes(id)));
});

test("no more than its permits are out at once, and those of a process that died come back", async () => {
  const permits = new Semaphore(2);
  const seen = new Queue<number>();
  const work = remote(async (semaphore: Semaphore, queue: Queue<number>) => semaphore.run(async () => {
    await queue.put(1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await queue.put(-1);
  }), { numCpus: 0.5 });
  await get(Array.from({ length: 8 }, () => work.remote(permits, seen)));
  let now = 0;
  const levels = (await seen.getMany(100)).map((change) => (now += change));
  expect(levels).toHaveLength(16);
  expect(Math.max(...levels)).toBeLessThanOrEqual(2);
  expect(await permits.available()).toBe(2);
  const holder = remote(async (semaphore: Semaphore) => {
    await semaphore.acquire({ permits: 2 });
    process.kill(process.pid, "SIGKILL");
  }, { maxRetries: 0 });
  await expect(run(holder, permits)).rejects.toThrow(WorkerCrashedError);
  const held = await permits.acquire({ permits: 2 });
  await expect(permits.acquire({ timeoutMs: 30 })).rejects.toThrow(GetTimeoutError);
  held.release();
  held.release();
  expect(await permits.available()).toBe(2);
  await expect(permits.acquire({ permits: 3 })).rejects.toThrow(InvalidArgumentError);
});

test("first come, first served: many permits are not passed over for ever by few", async () => {
  const permits = new Semaphore(2);
  const one = await permits.acquire();
  const order: string[] = [];
  const both = permits.acquire({ permits: 2 }).then((permit) => (order.push("both"), permit.release()));
  await permits.available();
  const last = permits.acquire().then((permit) => (order.push("one"), permit.release()));
  await permits.available();
  one.release();
  await Promise.all([both, last]);
  expect(order).toEqual(["both", "one"]);
});

test("submitCapacity holds back who submits without end", async () => {
  const nap = remote((n: number) => new Promise<number>((resolve) => setTimeout(resolve, 5, n)), { numCpus: 0.1 });
  const refs = [];
  for (let n = 0; n < 200; n += 1) {
    await submitCapacity({ maxPending: 10 });
    refs.push(nap.remote(n));
    const { pending } = await wait(refs, { numReturns: refs.length, timeoutMs: 0 });
    expect(pending.length).toBeLessThanOrEqual(10);
  }
  await expect(submitCapacity({ maxPending: 1, timeoutMs: 0 })).rejects.toThrow(GetTimeoutError);
  expect(await get(refs)).toHaveLength(200);
  await submitCapacity({ maxPending: 1 });
  await expect(submitCapacity({ maxPending: 0 })).rejects.toThrow(InvalidArgumentError);
});
