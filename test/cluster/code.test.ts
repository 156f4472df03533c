// Code on its way from who made it to who runs it: real processes, nodes and deaths.

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  ActorDiedError, ActorUnavailableError, CaptureError, CodeStoreFullError, CodeUnavailableError, get, getActor,
  getRuntimeContext, init, list, onNode, put, ready, remote, run, secret, SerializationError, shutdown, wait, type Cluster,
} from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";
import { until } from "../until.ts";

const LARGE = 100_000;

function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
}

describe("in one cluster", () => {
  const warnings: (Error & { code?: string })[] = [];
  const onWarning = (warning: Error) => void warnings.push(warning);
  let cluster: Cluster;

  beforeAll(async () => {
    process.env.TROUPE_TEST_SECRET = "hunter2";
    process.on("warning", onWarning);
    cluster = await init({ numCpus: 2, objectStoreMemory: "256MiB" });
  });
  afterAll(async () => {
    await shutdown();
    process.off("warning", onWarning);
    delete process.env.TROUPE_TEST_SECRET;
  });
  beforeEach(() => void (warnings.length = 0));

  test("2,000 functions made in a loop give their own results, also those that workers have long forgotten", async () => {
    collectGarbage();
    const before = process.memoryUsage().heapUsed;
    const first = remote(() => "the first");
    expect(await run(first)).toBe("the first");
    for (let at = 0; at < 2000; at += 100) {
      const refs = Array.from({ length: 100 }, (_, more) => remote(() => at + more).remote());
      expect(await get(refs)).toEqual(Array.from({ length: 100 }, (_, more) => at + more));
    }
    expect(await run(first)).toBe("the first");
    collectGarbage();
    // A kilobyte a function would be a leak: ids and templates that are remembered are not.
    expect((process.memoryUsage().heapUsed - before) / 2000).toBeLessThan(4000);
  });

  test("a worker keeps a bounded number of functions", async () => {
    // The functions that one worker has made, seen from inside of it: a class they all refer to tells how many live.
    const count = remote(async () => {
      (globalThis as { gc?: () => void }).gc?.();
      return process.memoryUsage().heapUsed;
    });
    await run(count);
    const text = "x".repeat(20_000);
    for (let at = 0; at < 1500; at += 100) {
      await get(Array.from({ length: 100 }, (_, more) => remote(() => (text + at + more).length, { numCpus: 2 }).remote()));
    }
    // 1,500 of them at 20 KB each are 30 MB of text alone; a thousand are kept at most, and the collector has its slack.
    expect(await run(count)).toBeLessThan(200 << 20);
  });

  test("large captured data is in the store once, whoever captures it, and each process writes to its own", async () => {
    const data = new Float64Array(1 << 20).fill(1);
    const stored = async () => (await list.stores()).reduce((sum, row) => sum + row.used, 0);
    const before = await stored();
    const refs = Array.from({ length: 20 }, (_, at) => remote(() => {
      data[at] += 10;
      return [data[at], data.length];
    }).remote());
    for (const found of await get(refs)) expect(found).toEqual([11, 1 << 20]);
    expect((await stored()) - before).toBeLessThan(3 * data.byteLength);
    expect(data[0]).toBe(1);
  });

  test("captured data is as it was at the first call", async () => {
    const data = new Uint8Array(LARGE).fill(1);
    const first = remote(() => data[0]);
    const ref = first.remote();
    data.fill(2);
    expect(await get(ref)).toBe(1);
  });

  test("code whose text is large goes the same way", async () => {
    const text = "text ".repeat(40_000);
    expect(await run(remote(() => text.length))).toBe(200_000);
  });

  test("functions inside results, arguments, puts and errors come with their data", async () => {
    const data = new Uint8Array(LARGE).fill(5);
    const make = remote((n: number) => {
      const table = new Uint8Array(100_000).fill(n);
      return { add: (x: number) => x + n + table[9], data: data[0] };
    });
    const made = await run(make, 3);
    expect([made.add(1), made.data]).toEqual([7, 5]);
    const twice = remote((fn: (x: number) => number, x: number) => fn(fn(x)));
    expect(await run(twice, made.add, 1)).toBe(13);
    expect(await run(remote(async (box: { fn: (x: number) => number }) => box.fn(1)), await put({ fn: made.add }))).toBe(7);
    const fail = remote(() => {
      class Odd extends Error {
        readonly extra = 7;
      }
      throw new Odd("odd");
    });
    await expect(get(fail.remote())).rejects.toMatchObject({ message: "odd", extra: 7, name: "Error" });
  });

  test("a variable that changes after the first call is told once, by name", async () => {
    let rate = 1;
    const scaled = remote((x: number) => x * rate, { name: "scaled" });
    expect(await run(scaled, 2)).toBe(2);
    rate = 5;
    expect(await run(scaled, 2)).toBe(2);
    for (let at = 0; at < 110; at += 1) scaled.remote(at);
    await until(() => warnings.some(({ code }) => code === "TROUPE_STALE_CAPTURE"));
    const told = warnings.filter(({ code }) => code === "TROUPE_STALE_CAPTURE");
    expect(told).toHaveLength(1);
    expect(told[0].message).toContain('uses "rate", which has changed since its first .remote() call');
  });

  test("one that changes later is found at the hundredth call, and one that does not is not told", async () => {
    let late = 1;
    const still = { value: 1 };
    const one = remote(() => late);
    const other = remote(() => still.value);
    await run(one);
    await run(one);
    late = 2;
    await get(Array.from({ length: 98 }, () => one.remote()));
    await get(Array.from({ length: 100 }, () => other.remote()));
    await until(() => warnings.some(({ message }) => message.includes('uses "late"')));
    expect(warnings.filter(({ code }) => code === "TROUPE_STALE_CAPTURE")).toHaveLength(1);
  });

  test("a secret ships its name; its content is read on the worker", async () => {
    const token = secret("TROUPE_TEST_SECRET");
    expect(await run(remote(() => token.value().length))).toBe(7);
    const shown = remote((given: typeof token) => [`${given}`, JSON.stringify({ given }), given.value() === "hunter2"]);
    expect(await run(shown, token))
      .toEqual(["[secret TROUPE_TEST_SECRET]", '{"given":"[secret TROUPE_TEST_SECRET]"}', true]);
    const missing = secret("TROUPE_TEST_NOT_SET");
    const error = await run(remote(() => missing.value())).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: "NOT_FOUND", secretName: "TROUPE_TEST_NOT_SET" });
    expect((error as Error).message).toContain('secret "TROUPE_TEST_NOT_SET" is not set in process');
  });

  test("a Cluster is refused, captured or passed, with what to do instead", async () => {
    const asked = () => remote(() => cluster.address).remote();
    expect(asked).toThrow(CaptureError);
    expect(asked).toThrow(/captures a Cluster, the membership .*\ncaptured through: .* -> cluster\nfix: call list\.nodes/);
    const passed = () => remote((box: unknown) => box).remote({ mine: cluster });
    expect(passed).toThrow(SerializationError);
    expect(passed).toThrow("args[0].mine is a Cluster");
  });
});

describe("the code of a job", () => {
  let cluster: TestCluster;

  afterEach(() => cluster.stop());

  test("is bounded, with a typed error that names the function; what is there goes on", async () => {
    process.env.TROUPE_JOB_CODE_MEMORY = "200000";
    try {
      cluster = await testCluster({ head: { numCpus: 1 } });
    } finally {
      delete process.env.TROUPE_JOB_CODE_MEMORY;
    }
    await cluster.connect();
    const made = Array.from({ length: 6 }, (_, at) => {
      const data = new Uint8Array(50_000).fill(at);
      return remote(function filled() {
        return data[0];
      });
    });
    const outcomes = await Promise.allSettled(made.map((fn) => run(fn)));
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(3);
    const [refused] = outcomes.filter((outcome) => outcome.status === "rejected");
    expect(refused.reason).toBeInstanceOf(CodeStoreFullError);
    expect(refused.reason.message).toMatch(/the code of "filled .*" was not taken: .* of the 200000 bytes a job may ship/);
    expect(await run(made[0])).toBe(0);
    // Another job has its own.
    await shutdown();
    await cluster.connect();
    const data = new Uint8Array(50_000).fill(9);
    expect(await run(remote(() => data[0]))).toBe(9);
  });
});

test("what a job shipped is collected when it ends, in the stores too", async () => {
  const cluster = await testCluster({ head: { numCpus: 1 } });
  try {
    const used = async () => (await list.stores()).reduce((sum, row) => sum + row.used, 0);
    await cluster.connect();
    const before = await used();
    const data = new Float64Array(1 << 20).fill(1);
    expect(await run(remote(() => data.length))).toBe(1 << 20);
    expect(await used()).toBeGreaterThan(before + data.byteLength / 2);
    await shutdown();
    await cluster.connect();
    await until(async () => (await used()) < before + data.byteLength / 2);
  } finally {
    await cluster.stop();
  }
});

describe("the death of who made it", () => {
  let cluster: TestCluster;
  let driver: Cluster;

  beforeEach(async () => {
    cluster = await testCluster({
      head: { numCpus: 1 }, nodes: [{ numCpus: 1, resources: { a: 1 } }, { numCpus: 1, resources: { b: 1 } }],
    });
    driver = await cluster.connect();
  });
  afterEach(() => cluster.stop());

  async function nodeWith(resource: string): Promise<string> {
    const found = (await driver.nodes()).find((node) => node.state === "ALIVE" && node.resources[resource] !== undefined);
    return (found as { id: string }).id;
  }

  /** A function that a worker on node `a` made, with large data of its own. */
  const make = remote(() => {
    const table = new Uint8Array(100_000).fill(42);
    return function looked(at: number) {
      return table[at];
    };
  }, { resources: { a: 1 } });

  test("of a worker costs nobody the functions it gave away, on any node", async () => {
    const ref = make.remote();
    await wait([ref]);
    const a = await nodeWith("a");
    for (const pid of cluster.pids().workers.get(a) as number[]) process.kill(pid, "SIGKILL");
    const use = remote((looked: (at: number) => number) => [looked(5), getRuntimeContext().nodeId]);
    const b = await nodeWith("b");
    expect(await run(use.options({ resources: { b: 1 } }), ref)).toEqual([42, b]);
    expect(await run(use.options({ resources: { a: 1 } }), ref)).toEqual([42, a]);
    expect((await get(ref))(7)).toBe(42);
  });

  test("of a node costs nothing where a copy of the data is; where none is, the error names the function", async () => {
    const ref = make.remote();
    const looked = await get(ref);
    // Never read by anybody else:
    const other = remote(() => {
      const table = new Uint8Array(100_000).fill(1);
      return function unread() {
        return table[0];
      };
    }, { resources: { a: 1 } }).remote();
    await wait([other]);
    const a = await nodeWith("a");
    await cluster.removeNode(a, { graceful: false });
    await until(async () => (await driver.nodes()).some((node) => node.id === a && node.state === "DEAD"));
    expect(await run(remote((fn: typeof looked) => fn(3), { resources: { b: 1 } }), looked)).toBe(42);
    const error = await get(other).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(CodeUnavailableError);
    expect((error as CodeUnavailableError).functionName).toContain("unread");
  });

  test("of a job costs a detached actor nothing: it starts again, on another node too", async () => {
    const table = new Uint8Array(LARGE).fill(11);
    class Keeper {
      look(at: number) {
        return table[at];
      }
      where() {
        const { nodeId } = getRuntimeContext();
        return { pid: process.pid, nodeId };
      }
    }
    const named = { name: "keeper", namespace: "code", lifetime: "detached", maxRestarts: 5 } as const;
    const keeper = remote(Keeper).options({ ...named, schedulingStrategy: onNode(await nodeWith("a"), { soft: true }) }).remote();
    await ready(keeper);
    const { nodeId } = await get(keeper.where.remote());
    expect(nodeId).toBe(await nodeWith("a"));
    await shutdown();
    driver = await cluster.connect();
    const again = await getActor<Keeper>("keeper", { namespace: "code" });
    expect(await get(again.look.remote(1))).toBe(11);
    process.kill((await get(again.where.remote())).pid, "SIGKILL");
    const patient = async (): Promise<{ pid: number; nodeId: string }> => {
      try {
        return await get(again.where.remote());
      } catch (error) {
        if (!(error instanceof ActorUnavailableError) || error instanceof ActorDiedError) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
        return patient();
      }
    };
    await patient();
    await cluster.removeNode(nodeId, { graceful: false });
    expect((await patient()).nodeId).not.toBe(nodeId);
    expect(await get(again.look.remote(2))).toBe(11);
  });
});
