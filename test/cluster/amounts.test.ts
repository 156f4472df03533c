// Large amounts, and the ends of what a worker may do: deep nesting, many tasks, arguments and results, limits on calls, memory.

import { mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import {
  cancel, get, getRuntimeContext, getSettled, init, InvalidArgumentError, list, OutOfMemoryError, put, remote, run, shutdown,
  TaskCancelledError, type ObjectRef,
} from "troupe";
import { afterEach, describe, expect, test } from "vitest";

const add = remote((a: number, b: number) => a + b);
const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);
const MIB = 1024 * 1024;

afterEach(() => shutdown());

/** The most worker processes that were seen while something was awaited. */
async function mostWorkers<T>(work: Promise<T>): Promise<{ readonly value: T; readonly most: number }> {
  let most = 0;
  let over = false;
  const watch = (async () => {
    while (!over) {
      most = Math.max(most, (await list.workers()).length);
      await delay(10);
    }
  })();
  const value = await work.finally(() => (over = true));
  await watch;
  return { value, most };
}

describe("nesting", () => {
  test("a thousand tasks deep on one CPU, in a handful of processes", async () => {
    await init({ numCpus: 1 });
    const depth = remote(async (n: number): Promise<number> => (n === 0 ? 0 : 1 + (await get(depth.remote(n - 1)))));
    const { value, most } = await mostWorkers(get(depth.remote(1000)));
    expect(value).toBe(1000);
    expect(most).toBeLessThanOrEqual(4);
    const fib = remote(async (n: number): Promise<number> => {
      if (n < 2) return n;
      const [a, b] = await get([fib.remote(n - 1), fib.remote(n - 2)]);
      return a + b;
    });
    const wide = await mostWorkers(get(fib.remote(12)));
    expect(wide.value).toBe(144);
    expect(wide.most).toBeLessThanOrEqual(4);
  });

  test("an exclusive task shares its process with none of its children", async () => {
    await init({ numCpus: 1 });
    const child = remote(() => process.pid);
    const parent = remote(async () => [process.pid, await get(child.remote()), await get(alone.remote())]);
    const alone = child.options({ exclusive: true });
    const [own, shared, apart] = await get(parent.remote());
    expect(shared).toBe(own);
    expect(apart).not.toBe(own);
  });
});

describe("many", () => {
  test("arguments, refs and plain ones, and results", async () => {
    await init({ numCpus: 2 });
    const sum = remote((...given: number[]) => given.reduce((a, b) => a + b, 0));
    const total = (10_000 * 9999) / 2;
    expect(await get(sum.remote(...numbers(10_000)))).toBe(total);
    const refs = await Promise.all(numbers(10_000).map((n) => put(n)));
    expect(await get(sum.remote(...refs))).toBe(total);
    const many = remote(() => Array.from({ length: 3000 }, (_, index) => index), { numReturns: 3000 });
    expect(await get(many.remote() as unknown as ObjectRef<number>[])).toEqual(numbers(3000));
  });

  test("more than one message holds, and more than can be viewed at once", async () => {
    await init({ numCpus: 2 });
    const lengths = remote((...given: Uint8Array[]) => given.reduce((sum, { length }) => sum + length, 0));
    const piece = remote((bytes: number) => new Uint8Array(bytes));
    const large = numbers(10).map(() => new Uint8Array(1_000_000));
    const little = numbers(7500).map(() => new Uint8Array(10_000));
    expect(await get(lengths.remote(...large, ...little))).toBe(85_000_000);
    const known = await Promise.all(numbers(1500).map(() => put(new Uint8Array(50_000))));
    expect(await get(lengths.remote(...known))).toBe(75_000_000);
    expect(await get(lengths.remote(...numbers(1500).map(() => piece.remote(50_000))))).toBe(75_000_000);
    const results = remote(() => Array.from({ length: 1500 }, () => new Uint8Array(50_000)), { numReturns: 1500 });
    const parts = await get(results.remote() as unknown as ObjectRef<Uint8Array>[]);
    expect(parts.reduce((sum, { length }) => sum + length, 0)).toBe(75_000_000);
    const tables = await Promise.all(numbers(2200).map((n) => put(new Float64Array(8200).fill(n))));
    expect((await get(tables)).every((table, n) => table[8199] === n)).toBe(true);
    const lists = await Promise.all(numbers(50).map((n) => put(new Array<number>(30_000).fill(n))));
    expect((await get(lists)).map((list) => list[29_999])).toEqual(numbers(50));
  });

  test("a hundred thousand queued tasks are cancelled, and none of them runs", async () => {
    await init({ numCpus: 1 });
    const blocks = remote(() => delay(600_000)).remote();
    const queued = numbers(100_000).map((n) => add.remote(n, 0));
    await cancel(queued);
    const settled = await getSettled(queued);
    expect(settled.every((one) => one.status === "rejected" && one.reason instanceof TaskCancelledError)).toBe(true);
    await cancel(blocks, { force: true });
    expect(await run(add, 1, 2)).toBe(3);
  });

  // A million of them: bench/limit-rows.ts.
  test("a quarter of a million queued tasks fit in 400 MiB", async () => {
    await init({ numCpus: 1 });
    const blocks = remote(() => delay(600_000)).remote();
    await delay(200);
    const before = process.memoryUsage.rss();
    const queued = Array.from({ length: 250_000 }, (_, n) => add.remote(n, 1));
    expect(process.memoryUsage.rss() - before).toBeLessThan(400 * MIB);
    await cancel(blocks, { force: true });
    expect(await get(queued[999])).toBe(1000);
    await cancel(queued);
    expect(await run(add, 1, 2)).toBe(3);
  });
});

test("GPUs have numbers: tasks and actors know theirs, and so do libraries", async () => {
  await init({ numCpus: 4, numGpus: 2 });
  const mine = () => [getRuntimeContext().gpuIds, process.env.CUDA_VISIBLE_DEVICES];
  class Holder {
    mine() {
      return [getRuntimeContext().gpuIds, process.env.CUDA_VISIBLE_DEVICES];
    }
  }
  expect(await get(remote(mine, { numGpus: 2 }).remote())).toEqual([[0, 1], "0,1"]);
  const half = remote(mine, { numGpus: 0.5 });
  expect(await get([half.remote(), half.remote()])).toEqual([[[0], "0"], [[0], "0"]]);
  const [first, second] = [remote(Holder, { numGpus: 1 }).remote(), remote(Holder, { numGpus: 1 }).remote()];
  expect((await get([first.mine.remote(), second.mine.remote()])).sort()).toEqual([[[0], "0"], [[1], "1"]]);
  expect(await get(remote(mine, { name: "none" }).remote())).toEqual([[], undefined]);
  expect(getRuntimeContext().gpuIds).toEqual([]);
});

describe("maxCalls", () => {
  test("ends the worker after so many calls of the function, and loses nothing", async () => {
    await init({ numCpus: 2 });
    const pid = remote(() => process.pid, { maxCalls: 3 });
    const runs = new Map<number, number>();
    for (const one of await get(numbers(13).map(() => pid.remote()))) runs.set(one, (runs.get(one) ?? 0) + 1);
    expect(Math.max(...runs.values())).toBeLessThanOrEqual(3);
    expect(runs.size).toBeGreaterThanOrEqual(5);
    expect(() => remote(() => 1, { maxCalls: -1 })).toThrow(InvalidArgumentError);
  });

  test("waits for what the worker owns", async () => {
    await init({ numCpus: 1 });
    const makes = remote(async () => ({ ref: await put("kept"), pid: process.pid }), { maxCalls: 1 });
    const first = await get(makes.remote());
    const second = await get(makes.remote());
    expect(second.pid).not.toBe(first.pid);
    expect(await get([first.ref, second.ref])).toEqual(["kept", "kept"]);
  });
});

describe("retries", () => {
  test("wait as long as they are told, longer each time, and never for what can't be retried", async () => {
    await init({ numCpus: 1 });
    const fails = remote(() => {
      const { attempt } = getRuntimeContext();
      throw attempt < 2 ? new Error(`attempt ${attempt}`) : new TypeError(`attempt ${attempt}`);
    }, { retryExceptions: true, maxRetries: 5, retryDelayMs: 20, retryBackoff: 3, maxRetryDelayMs: 50 });
    await expect(get(fails.remote())).rejects.toThrow("attempt 5");
    await expect(get(fails.options({ nonRetryable: [TypeError] }).remote())).rejects.toThrow("attempt 2");
    const not0 = (error: unknown) => (error as Error).message === "attempt 0";
    await expect(get(fails.options({ nonRetryable: not0 }).remote())).rejects.toThrow("attempt 0");
    const warned = new Promise<Error>((resolve) => process.once("warning", resolve));
    const undecided = () => {
      throw new Error("undecided");
    };
    await expect(get(fails.options({ retryExceptions: undecided }).remote())).rejects.toThrow("attempt 0");
    expect(await warned).toMatchObject({ code: "TROUPE_RETRY_UNDECIDED", message: expect.stringContaining("undecided") });
    expect(() => fails.options({ nonRetryable: true as never })).toThrow(/nonRetryable must be a list of error classes/);
  });
});

describe("memory", () => {
  test("that runs out on the node ends a worker, which is told as what it is and tried again", async () => {
    process.env.TROUPE_WORKER_MEMORY = String(600 * MIB);
    try {
      await init({ numCpus: 2 });
    } finally {
      delete process.env.TROUPE_WORKER_MEMORY;
    }
    const eats = remote(async (pieces: number) => {
      const { attempt } = getRuntimeContext();
      const kept: Buffer[] = [];
      // The second attempt is content with less.
      for (let piece = 0; piece < (attempt === 0 ? pieces : 1); piece += 1) {
        kept.push(Buffer.alloc(20 * MIB, 1));
        await delay(10);
      }
      return attempt;
    });
    expect(await get(eats.remote(1000))).toBe(1);
    const error = await get(eats.options({ maxRetries: 0 }).remote(1000)).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(OutOfMemoryError);
    expect(error).toMatchObject({ kind: "node", nodeId: getRuntimeContext().nodeId });
    expect((error as Error).message).toMatch(/memory ran out: the workers of its node used \d+ of 600 MiB; it held \d+ MiB/);
    expect(await run(add, 1, 2)).toBe(3);
  });

  test("of the object store that a worker reads counts for nobody", async () => {
    process.env.TROUPE_WORKER_MEMORY = String(300 * MIB);
    try {
      await init({ numCpus: 1, objectStoreMemory: "1GiB" });
    } finally {
      delete process.env.TROUPE_WORKER_MEMORY;
    }
    const table = await put(new Float64Array(64 * MIB));
    const reads = remote(async (values: Float64Array) => {
      let sum = 0;
      for (let index = 0; index < values.length; index += 512) sum += values[index];
      await delay(800);
      return sum + getRuntimeContext().attempt;
    });
    expect(await get(reads.remote(table))).toBe(0);
  });

  test("that the kernel takes back", async ({ skip }) => {
    const group = `/sys/fs/cgroup/memory/troupe-test-${process.pid}`;
    try {
      mkdirSync(group);
      writeFileSync(`${group}/memory.limit_in_bytes`, String(256 * MIB));
    } catch (error) {
      skip(`no memory control group can be made (root can, on version 1): ${(error as Error).message}`);
    }
    await init({ numCpus: 1 });
    const worker = await run(remote(() => process.pid));
    writeFileSync(`${group}/cgroup.procs`, String(worker));
    try {
      const eats = remote(() => Array.from({ length: 100 }, () => Buffer.alloc(20 * MIB, 1)).length, { maxRetries: 0 });
      const error = await get(eats.remote()).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(OutOfMemoryError);
      expect((error as Error).message).toContain("the kernel had no memory left for it");
    } finally {
      rmdirSync(group);
    }
  });

  test("of a process's own heap", async () => {
    await init({ numCpus: 1 });
    const fills = remote(() => {
      const kept: object[] = [];
      for (;;) kept.push({ at: kept.length });
    }, { maxRetries: 0, runtimeEnv: { nodeArgs: ["--max-old-space-size=64"] } });
    const error = await get(fills.remote()).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(OutOfMemoryError);
    expect(error).toMatchObject({ kind: "heap" });
    expect((error as Error).message).toContain("its heap was full");
  });
});
