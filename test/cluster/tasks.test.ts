// Tasks through the public API on a private cluster of real processes.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  asCompleted,
  cancel,
  get,
  getRuntimeContext,
  GetTimeoutError,
  getSettled,
  init,
  InfeasibleError,
  InvalidArgumentError,
  ObjectFreedError,
  put,
  RefUsedAsValueError,
  remote,
  run,
  SerializationError,
  shutdown,
  TaskError,
  wait,
  WorkerCrashedError,
  type ObjectRef,
} from "troupe";

beforeAll(async () => {
  await init({ numCpus: 2, resources: { token: 1 }, objectStoreMemory: "256MiB" });
});
afterAll(() => shutdown());

const add = remote((a: number, b: number) => a + b);
/** Until it is cancelled, at most. */
const sleep = remote((ms: number) => new Promise<number>((resolve) => {
  setTimeout(resolve, ms, ms);
  getRuntimeContext().signal.addEventListener("abort", () => resolve(ms));
}));
const LONG = 600_000;

describe("calls", () => {
  test("a result comes back", async () => {
    expect(await run(add, 1, 2)).toBe(3);
    expect(await add.remote(3, 4).value()).toBe(7);
    expect(add.local(1, 1)).toBe(2);
  });

  test("a thousand results keep their order", async () => {
    const refs = Array.from({ length: 1000 }, (_, index) => add.remote(index, 1));
    expect(await get(refs)).toEqual(Array.from({ length: 1000 }, (_, index) => index + 1));
  });

  test("refs at the top level are replaced by their values, those inside containers stay refs", async () => {
    expect(await get(add.remote(add.remote(1, 2), 10))).toBe(13);
    const read = remote(async (box: { ref: ObjectRef<number> }) => (await box.ref.value()) + 1);
    expect(await get(read.remote({ ref: add.remote(1, 1) }))).toBe(3);
  });

  test("a chain of a hundred dependent tasks", async () => {
    let ref = add.remote(0, 1);
    for (let step = 1; step < 100; step += 1) ref = add.remote(ref, 1);
    expect(await get(ref)).toBe(100);
  });

  test("records of refs, settled outcomes, completion order", async () => {
    expect(await get({ a: add.remote(1, 1), b: add.remote(2, 2) })).toEqual({ a: 2, b: 4 });
    const fail = remote(() => {
      throw new Error("no");
    });
    const [good, bad] = await getSettled([add.remote(1, 1), fail.remote()]);
    expect(good).toEqual({ status: "fulfilled", value: 2 });
    expect(bad.status).toBe("rejected");
    const order: number[] = [];
    const stopped = new AbortController();
    const slow = sleep.options({ signal: stopped.signal }).remote(LONG);
    for await (const ref of asCompleted([slow, sleep.remote(1)])) {
      order.push(await get(ref).catch(() => LONG));
      stopped.abort();
    }
    expect(order).toEqual([1, LONG]);
    const endless = sleep.remote(LONG);
    await expect(getSettled([add.remote(1, 1), endless], { timeoutMs: 50 })).rejects.toThrow(GetTimeoutError);
    await cancel(endless);
  });

  test("several results, and none", async () => {
    const pair = remote(() => [1, "x"] as const, { numReturns: 2 });
    const [one, x] = pair.remote();
    expect(await get([one, x])).toEqual([1, "x"]);
    const none = remote(() => 5, { numReturns: 0 });
    expect(await get(none.remote())).toBeUndefined();
    const few = remote(() => [1], { numReturns: 2 });
    await expect(get(few.remote())).rejects.toThrow(InvalidArgumentError);
  });

  test("values of structured clone travel both ways", async () => {
    const echo = remote((value: unknown) => value);
    const cyclic: { self?: unknown; list: unknown[] } = {
      list: [new Map([[1, new Set(["a"])]]), new Date(5), 10n, -0, Number.NaN, undefined],
    };
    cyclic.self = cyclic;
    const back = (await get(echo.remote(cyclic))) as typeof cyclic;
    expect(back.self).toBe(back);
    expect(back.list).toEqual(cyclic.list);
    expect(back).not.toBe(cyclic);
  });

  test("nested tasks: a task may submit and wait", async () => {
    const outer = remote(async (n: number) => {
      const inner = remote((k: number) => k * 2);
      return (await get(inner.remote(n))) + 1;
    });
    expect(await get([outer.remote(1), outer.remote(2), outer.remote(3)])).toEqual([3, 5, 7]);
  });

  test("the context tells task, worker and attempt", async () => {
    const context = await run(remote(() => {
      const { taskId, workerId, nodeId, attempt, jobId } = getRuntimeContext();
      return { taskId, workerId, nodeId, attempt, jobId };
    }));
    expect(context.attempt).toBe(0);
    expect(context.taskId).toBeTypeOf("string");
    expect(context.jobId).toBe(getRuntimeContext().jobId);
    expect(context.nodeId).toBe(getRuntimeContext().nodeId);
    expect(context.workerId).not.toBe(getRuntimeContext().workerId);
  });
});

describe("wait", () => {
  test("returns what is ready in input order, at most numReturns", async () => {
    const slow = sleep.remote(LONG);
    const fast = [add.remote(1, 1), add.remote(2, 2)];
    await get(fast);
    const { ready, pending } = await wait([slow, ...fast], { numReturns: 1 });
    expect(ready).toEqual([fast[0]]);
    expect(pending).toEqual([slow, fast[1]]);
    await cancel(slow);
  });

  test("a timeout returns what there is, and a failed object is ready", async () => {
    const fail = remote(() => {
      throw new Error("no");
    });
    const failing = fail.remote();
    const slow = sleep.remote(LONG);
    await getSettled([failing]);
    const { ready, pending } = await wait([slow, failing], { numReturns: 2, timeoutMs: 50 });
    expect(ready).toEqual([failing]);
    expect(pending).toEqual([slow]);
    await cancel(slow);
    await expect(wait([slow, slow])).rejects.toThrow(/given twice/);
  });
});

describe("errors of user code", () => {
  test("keep their class, fields and remote stack", async () => {
    const fail = remote(() => {
      throw Object.assign(new RangeError("too far"), { limit: 7 });
    }, { name: "walker" });
    const error = await get(fail.remote()).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(TaskError);
    expect(error).toBeInstanceOf(RangeError);
    expect(error).toMatchObject({ message: "too far", limit: 7, taskName: "walker" });
    expect((error as Error).stack).toMatch(/remote.*walker/);
  });

  test("travel through dependants, which never start", async () => {
    const fail = remote((): number => {
      throw new TypeError("first");
    });
    const error = await get(add.remote(fail.remote(), 1)).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(TypeError);
    expect(error).toMatchObject({ message: "first" });
  });

  test("are retried only when asked", async () => {
    const counter = await put(0);
    void counter;
    const flaky = remote(() => {
      const { attempt } = getRuntimeContext();
      if (attempt < 2) throw new Error(`attempt ${attempt}`);
      return attempt;
    });
    await expect(get(flaky.remote())).rejects.toThrow("attempt 0");
    expect(await get(flaky.options({ retryExceptions: true }).remote())).toBe(2);
    expect(await get(flaky.options({ retryExceptions: [Error], maxRetries: 2 }).remote())).toBe(2);
    await expect(get(flaky.options({ retryExceptions: true, maxRetries: 1 }).remote())).rejects.toThrow("attempt 1");
    await expect(get(flaky.options({ retryExceptions: [TypeError] }).remote())).rejects.toThrow("attempt 0");
  });
});

describe("crashes", () => {
  test("of a worker are retried, and in the end say the real cause", async () => {
    const dies = remote(() => {
      if (getRuntimeContext().attempt === 0) process.kill(process.pid, "SIGKILL");
      return "second";
    });
    expect(await get(dies.remote())).toBe("second");
    const exits = remote(() => {
      process.stderr.write("last words\n");
      process.exit(7);
    }, { maxRetries: 0 });
    const ref = exits.remote();
    const error = await get(ref).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(WorkerCrashedError);
    expect(error).toMatchObject({ exitCode: 7, reason: "exited", taskName: "exits", taskId: ref.id });
    expect((error as WorkerCrashedError).stderrTail).toContain("last words");
    const killed = remote(() => process.kill(process.pid, "SIGSEGV"), { maxRetries: 1 });
    await expect(get(killed.remote())).rejects.toMatchObject({ signal: "SIGSEGV" });
  });

  test("leave other tasks alone, whatever was queued behind them", async () => {
    const victim = remote(() => process.kill(process.pid, "SIGKILL"), { maxRetries: 0 });
    const results = await getSettled([...Array.from({ length: 200 }, (_, i) => add.remote(i, 0)), victim.remote(),
      ...Array.from({ length: 200 }, (_, i) => add.remote(i, 0))]);
    expect(results.filter((result) => result.status === "rejected")).toHaveLength(1);
  });
});

describe("resources", () => {
  test("what can never run fails and says what was asked and what exists", async () => {
    const huge = remote(() => 1, { numCpus: 64, infeasibleGraceMs: 50 });
    await expect(get(huge.remote())).rejects.toThrow(InfeasibleError);
    const named = remote(() => 1, { resources: { unicorn: 1 }, infeasibleGraceMs: 50 });
    await expect(get(named.remote())).rejects.toThrow(/unicorn/);
  });

  test("a custom resource is held by one at a time", async () => {
    const exclusive = remote(async () => {
      const began = Date.now();
      await new Promise((resolve) => setTimeout(resolve, 50));
      return [began, Date.now()] as const;
    }, { resources: { token: 1 }, numCpus: 0 });
    const spans = (await get([exclusive.remote(), exclusive.remote(), exclusive.remote()])).sort((a, b) => a[0] - b[0]);
    for (let index = 1; index < spans.length; index += 1) expect(spans[index][0]).toBeGreaterThanOrEqual(spans[index - 1][1] - 1);
  });
});

describe("at the door", () => {
  test("wrong options are named, with what is allowed", () => {
    expect(() => remote(() => 1, { numCpus: -1 })).toThrow(/numCpus must be a number of 0 or more, not -1/);
    expect(() => remote(() => 1, { retries: 1 } as never)).toThrow(/option retries is not known/);
    expect(() => remote(() => 1, { maxRetries: 1.5 })).toThrow(InvalidArgumentError);
    expect(() => remote(() => 1, { resources: { CPU: 1 } })).toThrow(/numCpus/);
    expect(() => remote(5 as never)).toThrow(/expected a function or a class/);
    expect(() => remote(() => 1, { name: "" })).toThrow(/non-empty string/);
  });

  test("values that can't travel are refused with the path, and nothing is lost", async () => {
    const echo = remote((value: unknown) => value);
    expect(() => echo.remote({ items: [{ later: Promise.resolve(1) }] })).toThrow(SerializationError);
    expect(() => echo.remote({ items: [{ later: Promise.resolve(1) }] })).toThrow(/args\[0\]\.items\[0\]\.later/);
    expect(await get(echo.remote(1))).toBe(1);
    const bad = remote(() => new WeakMap());
    await expect(get(bad.remote())).rejects.toThrow(SerializationError);
  });

  test("a get that runs into its timeout says what it waited for", async () => {
    const slow = sleep.remote(LONG);
    await expect(get(slow, { timeoutMs: 30 })).rejects.toThrow(GetTimeoutError);
    await expect(get([slow, add.remote(1, 1)], { timeoutMs: 30 })).rejects.toThrow(slow.id);
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error("enough")), 20);
    await expect(get(slow, { signal: controller.signal })).rejects.toThrow("enough");
    await cancel(slow);
  });

  test("refs are no values", async () => {
    const ref = await put(1);
    expect(() => (ref as unknown as number) + 1).toThrow(RefUsedAsValueError);
    expect(JSON.stringify({ ref })).toContain("ObjectRef(");
    await expect(get([ref, 5 as never])).rejects.toThrow(/element 1/);
    await expect(put(ref)).rejects.toThrow(InvalidArgumentError);
    ref.release();
    ref.release();
    await expect(get(ref)).rejects.toThrow(ObjectFreedError);
  });
});
