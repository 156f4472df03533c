// The same programs on processes and in this one process: what they give, and how they fail, is the same.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  ActorDiedError, asCompleted, cancel, CaptureError, exitActor, get, getActor, getObject, getRuntimeContext, GetTimeoutError,
  getSettled, inGroup, init, kill, kv, list, ObjectFreedError, type ObjectRef, perWorker, placementGroup, put, Queue, ready,
  remote,
  run, scope, Semaphore, SerializationError, shutdown, TaskCancelledError, TaskError, TaskTimeoutError, wait, WorkerCrashedError,
} from "troupe";

class Account {
  static opened = 0;
  #balance: number;

  constructor(balance = 0) {
    this.#balance = balance;
    Account.opened += 1;
  }

  add(amount: number): number {
    this.#balance += amount;
    return this.#balance;
  }

  fail(text: string): never {
    throw new NotEnough(text, this.#balance);
  }

  opened(): number {
    return Account.opened;
  }

  async *countTo(most: number) {
    for (let at = 1; at <= most; at += 1) yield at;
  }

  async slow(ms: number): Promise<number> {
    await new Promise((resolve) => setTimeout(resolve, ms));
    return ms;
  }

  crash(): never {
    process.exit(7);
  }

  leave(): void {
    exitActor();
  }
}

class NotEnough extends Error {
  readonly balance: number;

  constructor(text: string, balance: number) {
    super(text);
    this.name = "NotEnough";
    this.balance = balance;
  }
}

class Point {
  readonly x: number;
  constructor(x: number) {
    this.x = x;
  }
  twice(): Point {
    return new Point(this.x * 2);
  }
}

const add = remote((a: number, b: number) => a + b);
const sleep = remote((ms: number) => new Promise<number>((resolve) => setTimeout(() => resolve(ms), ms)));
const fibonacci = remote(async (n: number): Promise<number> => {
  if (n < 2) return n;
  const [a, b] = await get([fibonacci.remote(n - 1), fibonacci.remote(n - 2)]);
  return a + b;
});

describe.each(["cluster", "inline"] as const)("mode %s", (mode) => {
  beforeAll(async () => {
    await init({ mode, numCpus: 2, resources: { token: 1 }, objectStoreMemory: "128MiB", namespace: "both" });
  });
  afterAll(() => shutdown());

  test("arguments and results are copies, and what was one object is one object", async () => {
    const list = [1, 2, 3];
    const change = remote((given: number[]) => {
      given.push(4);
      return given;
    });
    const changed = await run(change, list);
    expect([list, changed]).toEqual([[1, 2, 3], [1, 2, 3, 4]]);
    const stored = await put({ list });
    list.push(9);
    const [one, other] = [await get(stored), await get(stored)];
    expect(one).toEqual({ list: [1, 2, 3] });
    expect(one).not.toBe(other);
    const shared = { at: new Date(5) };
    const [left, right] = await run(remote((pair: object[]) => pair), [shared, shared]);
    expect(left).toBe(right);
    const large = new Float64Array(100_000).fill(1);
    const ref = await put(large);
    large[0] = 7;
    const sum = remote((numbers: Float64Array) => {
      numbers[1] = 100;
      return numbers.reduce((a, b) => a + b);
    });
    expect(await run(sum, ref)).toBe(100_099);
    expect((await get(ref))[1]).toBe(1);
  });

  test("captured variables are snapshots of the first call", async () => {
    let count = 1;
    const box = { n: 1 };
    const read = remote(() => [count, box.n]);
    expect(await run(read)).toEqual([1, 1]);
    count = 2;
    box.n = 2;
    expect(await run(read)).toEqual([1, 1]);
    const write = remote(() => {
      count += 1;
      return count;
    });
    await run(write);
    expect(count).toBe(2);
  });

  test("classes keep their identity, actors their own state", async () => {
    expect(await run(remote((point: Point) => point.twice()), new Point(4))).toBeInstanceOf(Point);
    const AccountActor = remote(Account);
    const [a, b] = [AccountActor.remote(5), AccountActor.remote()];
    expect(await get([a.add.remote(2), b.add.remote(1), a.opened.remote(), b.opened.remote()])).toEqual([7, 1, 1, 1]);
    expect(Account.opened).toBe(0);
  });

  test("errors are the user's class, with fields and where they come from", async () => {
    const failed = await run(remote(() => {
      throw new NotEnough("too little", 3);
    }, { name: "pay" })).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(TaskError);
    expect(failed).toBeInstanceOf(NotEnough);
    expect(failed).toMatchObject({ balance: 3, taskName: "pay" });
    expect((failed as Error).stack).toContain("both-modes.test.ts");
    const dependant = add.remote(remote((): number => { throw new RangeError("no"); }).remote(), 1);
    await expect(get(dependant)).rejects.toThrow(RangeError);
    const account = remote(Account).remote(4);
    const message: unknown = expect.stringContaining("empty");
    await expect(get(account.fail.remote("empty"))).rejects.toMatchObject({ message, balance: 4 });
  });

  test("what can't travel is refused, with the way to it", async () => {
    const socket = { deep: new Proxy({}, {}) };
    expect(() => remote(() => socket).remote()).toThrow(CaptureError);
    await expect(run(remote(() => ({ a: [new WeakRef({})] })))).rejects.toThrow(SerializationError);
    await expect(async () => get(add.remote(Symbol("no") as never, 1))).rejects.toThrow();
  });

  test("nested tasks run on few CPUs, with a context each", async () => {
    expect(await run(fibonacci, 8)).toBe(21);
    const context = remote(() => {
      const { taskId, workerId, jobId, attempt, namespace } = getRuntimeContext();
      return { taskId, workerId, jobId, attempt, namespace };
    });
    const found = await run(context);
    const own = getRuntimeContext();
    expect(found).toMatchObject({ jobId: own.jobId, attempt: 0, namespace: "both", taskId: expect.any(String) });
    expect(found.workerId).not.toBe(own.workerId);
    expect(own.taskId).toBeUndefined();
  });

  test("wait, settled outcomes and completion order", async () => {
    const fast = sleep.remote(1);
    const slow = remote(async (box: { ref: ObjectRef<number> }) => (await box.ref.value()) + 399).remote({ ref: fast });
    expect((await wait([slow, fast])).ready).toEqual([fast]);
    const order: number[] = [];
    for await (const ref of asCompleted([slow, fast])) order.push(await get(ref));
    expect(order).toEqual([1, 400]);
    const settled = await getSettled([add.remote(1, 1), remote(() => { throw new Error("no"); }).remote()]);
    expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
    await expect(get(sleep.remote(60_000), { timeoutMs: 20 })).rejects.toThrow(GetTimeoutError);
  });

  test("retries, deadlines and cancellation", async () => {
    const flaky = remote(() => {
      if (getRuntimeContext().attempt < 2) throw new Error("not yet");
      return getRuntimeContext().attempt;
    }, { retryExceptions: true });
    expect(await run(flaky)).toBe(2);
    const patient = remote(async () => {
      const { signal } = getRuntimeContext();
      await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
    });
    await expect(get(patient.options({ timeoutMs: 50 }).remote())).rejects.toThrow(TaskTimeoutError);
    const ref = patient.remote();
    await cancel(ref);
    await expect(get(ref)).rejects.toThrow(TaskCancelledError);
    const forced = sleep.remote(60_000);
    await cancel(forced, { force: true });
    await expect(get(forced)).rejects.toThrow(TaskCancelledError);
    expect(await run(add, 1, 1)).toBe(2);
  });

  test("process.exit ends the worker, and nothing else", async () => {
    const exits = remote(() => process.exit(3), { maxRetries: 0 });
    await expect(get(exits.remote())).rejects.toMatchObject({ code: new WorkerCrashedError("").code, exitCode: 3 });
    const once = remote(() => {
      if (getRuntimeContext().attempt === 0) process.exit(1);
      return "again";
    });
    expect(await run(once)).toBe("again");
    const account = remote(Account).options({ maxRestarts: 1, maxTaskRetries: 0 }).remote(1);
    expect(await get(account.add.remote(1))).toBe(2);
    await expect(get(account.crash.remote())).rejects.toThrow();
    await ready(account);
    expect(await get(account.add.remote(1))).toBe(2);
  });

  test("streams give what is made, and end their generators", async () => {
    const count = remote(async function* (most: number) {
      for (let at = 1; at <= most; at += 1) yield at;
    });
    const seen: number[] = [];
    for await (const ref of count.remote(20)) seen.push(await get(ref));
    expect(seen).toEqual(Array.from({ length: 20 }, (_, at) => at + 1));
    const account = remote(Account).remote();
    for await (const ref of account.countTo.remote(100)) if ((await get(ref)) === 3) break;
    expect(await get(account.add.remote(1))).toBe(1);
  });

  test("actors: order, names, concurrency, ends", async () => {
    const AccountActor = remote(Account);
    const account = AccountActor.options({ name: "savings", maxConcurrency: 2 }).remote();
    const sums = Array.from({ length: 50 }, () => account.add.remote(1));
    expect(await get(sums)).toEqual(Array.from({ length: 50 }, (_, at) => at + 1));
    const nested = remote(async () => {
      const same = await getActor<Account>("savings");
      return get(same.add.remote(50));
    });
    expect(await run(nested)).toBe(100);
    const [slow, quick] = [account.slow.remote(60_000), account.slow.remote(1)];
    expect((await wait([slow, quick])).ready).toEqual([quick]);
    await kill(account);
    await expect(get(account.add.remote(1))).rejects.toThrow(ActorDiedError);
    const leaving = AccountActor.remote();
    await expect(get(leaving.leave.remote())).rejects.toThrow(ActorDiedError);
    const many = Array.from({ length: 10 }, () => AccountActor.options({ isolation: "shared" }).remote(1));
    expect(await get(many.map((one) => one.add.remote(1)))).toEqual(Array.from({ length: 10 }, () => 2));
    await expect(get(many[0].crash.remote())).rejects.toThrow(ActorDiedError);
    expect(await get(many[1].add.remote(1))).toBe(3);
  });

  test("refs and handles go anywhere, captured ones too", async () => {
    const ref = await put([1, 2]);
    const account = remote(Account).remote();
    const both = remote(async (box: { ref: ObjectRef<number[]> }) => {
      await get(account.add.remote((await get(ref)).length));
      return get(account.add.remote((await box.ref.value()).length));
    });
    expect(await run(both, { ref })).toBe(4);
    const inner = await run(remote(async () => ({ made: await put("inside") })));
    const kept = remote(async ({ made }: { made: ObjectRef<string> }) => made.value());
    await expect(run(kept, inner)).resolves.toBe("inside");
    ref.release();
    await expect(async () => ref.value()).rejects.toThrow(ObjectFreedError);
  });

  test("kv, queues, semaphores, scopes, detached objects, groups", async () => {
    await kv.set("k", { n: 1 });
    expect(await run(remote(() => kv.get("k")))).toEqual({ n: 1 });
    const queue = new Queue<number>({ maxSize: 2 });
    const fill = remote(async (to: Queue<number>) => { for (let at = 0; at < 5; at += 1) await to.put(at); });
    const filled = fill.remote(queue);
    expect([await queue.get(), await queue.get(), await queue.get()]).toEqual([0, 1, 2]);
    await get(filled);
    const semaphore = new Semaphore(1);
    expect(await run(remote(async (one: Semaphore) => { using _ = await one.acquire(); return 1; }), semaphore)).toBe(1);
    await (await run(remote(async () => ({ ref: await put("kept") })))).ref.detach({ name: "kept" });
    expect(await get(await getObject("kept"))).toBe("kept");
    const lifetime = await scope("run-1");
    const scoped = await put([1], { scope: lifetime });
    expect(await get(scoped)).toEqual([1]);
    await lifetime.free();
    await expect(get(scoped)).rejects.toThrow(ObjectFreedError);
    const group = await placementGroup([{ CPU: 1 }], { strategy: "PACK" });
    await group.ready();
    expect(await get(add.options({ schedulingStrategy: inGroup(group) }).remote(1, 2))).toBe(3);
    await group.remove();
  });

  test("one value a worker, resources and the state of things", async () => {
    const made = perWorker(() => ({ at: getRuntimeContext().workerId }));
    const where = remote(() => [made().at, getRuntimeContext().workerId], { resources: { token: 1 } });
    for (const [at, worker] of await get([where.remote(), where.remote()])) expect(at).toBe(worker);
    expect(await list.nodes()).toEqual([expect.objectContaining({ state: "ALIVE" })]);
    expect(await list.tasks({ filters: { state: "FINISHED" }, limit: 5 })).toHaveLength(5);
    const actor = remote(Account).options({ name: "seen" }).remote();
    await ready(actor);
    expect(await list.actors({ filters: { name: "seen" } })).toEqual([expect.objectContaining({ state: "ALIVE" })]);
  });
});
