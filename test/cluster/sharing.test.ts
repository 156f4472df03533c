// Work over many values: mapAll, ActorPool, perWorker.

import { setTimeout as delay } from "node:timers/promises";
import { ActorPool, get, GetTimeoutError, init, list, mapAll, perWorker, remote, shutdown, TaskError } from "troupe";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

beforeAll(() => init({ numCpus: 2 }));
afterAll(() => shutdown());

describe("mapAll", () => {
  const square = remote(async (n: number) => {
    await delay(n % 3);
    return n * n;
  }, { numCpus: 0.25, name: "square" });

  test("gives all results in order when it is awaited", async () => {
    const values = Array.from({ length: 50 }, (_, n) => n);
    expect(await mapAll(square, values, { concurrency: 4 })).toEqual(values.map((n) => n * n));
    expect(await mapAll(square, [])).toEqual([]);
  });

  test("reads an endless source only as far as it is taken, and ends what flies when the loop is left", async () => {
    let read = 0;
    async function* numbers() {
      for (;;) yield read++;
    }
    const seen: number[] = [];
    for await (const result of mapAll(square, numbers(), { concurrency: 3 })) {
      seen.push(result);
      if (seen.length === 10) break;
    }
    expect(seen).toEqual(Array.from({ length: 10 }, (_, n) => n * n));
    expect(read).toBeLessThanOrEqual(14);
  });

  test("throws the first failure and cancels the rest", async () => {
    const picky = remote(async (n: number) => {
      if (n === 3) throw new RangeError("three");
      await delay(n > 3 ? 60_000 : 1);
    }, { numCpus: 0, name: "picky" });
    await expect(mapAll(picky, [1, 2, 3, 4, 5], { concurrency: 5 })).rejects.toBeInstanceOf(TaskError);
    const cancelled = await list.tasks({ filters: { name: "picky", errorCode: "TASK_CANCELLED" } });
    expect(cancelled).toHaveLength(2);
    expect(() => mapAll(picky, [1], { concurrency: 0 })).toThrow("mapAll option concurrency must be a whole number");
  });
});

describe("ActorPool", () => {
  const Worker = remote(class Worker {
    #busy = false;
    async work(n: number) {
      if (this.#busy) throw new Error("two calls at once");
      this.#busy = true;
      await delay(n % 4);
      this.#busy = false;
      return n * 10;
    }
  }, { numCpus: 0, maxConcurrency: 2 });

  test("sends one call at a time to each actor, and gives results in order, or as they come", async () => {
    const pool = new ActorPool([Worker.remote(), Worker.remote()]);
    const values = Array.from({ length: 20 }, (_, n) => n);
    const ordered: number[] = [];
    for await (const result of pool.map((worker, n: number) => worker.work.remote(n), values)) ordered.push(result);
    expect(ordered).toEqual(values.map((n) => n * 10));
    const any: number[] = [];
    for await (const result of pool.mapUnordered((worker, n: number) => worker.work.remote(n), values)) any.push(result);
    expect(any.sort((a, b) => a - b)).toEqual(ordered);
    expect([pool.size, pool.idle]).toEqual([2, 2]);
    expect(await Promise.all(values.map((n) => pool.run((worker, m: number) => worker.work.remote(m), n)))).toEqual(ordered);
    expect(() => new ActorPool([])).toThrow("at least one actor");
  });

  test("waits no longer than it is told to; an actor whose call goes on is busy until that has ended", async () => {
    const Slow = remote(class { nap(ms: number) { return delay(ms, ms); } }, { numCpus: 0 });
    const pool = new ActorPool([Slow.remote()]);
    const nap = (actor: ReturnType<typeof Slow.remote>, ms: number) => actor.nap.remote(ms);
    const stop = new AbortController();
    const long = pool.run(nap, 400);
    const stopped = pool.run(nap, 1, { signal: stop.signal });
    await expect(pool.run(nap, 2, { timeoutMs: 20 })).rejects.toThrow(GetTimeoutError);
    stop.abort(new Error("enough"));
    await expect(stopped).rejects.toThrow("enough");
    expect(await long).toBe(400);
    await expect(pool.run(nap, 400, { timeoutMs: 20 })).rejects.toThrow(GetTimeoutError);
    expect(pool.idle).toBe(0);
    expect(await pool.run(nap, 3)).toBe(3);
    expect(pool.idle).toBe(1);
  });
});

test("perWorker makes one value a process, lazily, and the same one for every task there", async () => {
  const connection = perWorker(() => ({ pid: process.pid, made: Math.random() }));
  const use = remote(() => ({ ...connection(), here: process.pid }), { name: "use" });
  const other = remote(() => ({ ...connection(), here: process.pid }), { name: "other" });
  const uses = await get([
    ...Array.from({ length: 30 }, () => use.remote()),
    ...Array.from({ length: 30 }, () => other.remote()),
  ]);
  for (const one of uses) expect(one.pid).toBe(one.here);
  const values = new Map(uses.map(({ pid, made }) => [pid, made]));
  for (const one of uses) expect(one.made).toBe(values.get(one.pid));
});
