// What running code tells of itself, and what the next attempt finds of it.

import { afterAll, beforeAll, expect, test } from "vitest";
import {
  explain, get, getRuntimeContext, init, InvalidArgumentError, kill, list, put, remote, run, shutdown, TaskTimeoutError,
} from "troupe";
import { until } from "../until.ts";

const written: string[] = [];

beforeAll(async () => {
  await init({ numCpus: 2 });
});
afterAll(() => shutdown());

test("the next attempt goes on from the last heartbeat, with the same key and a larger token", async () => {
  const work = remote(async function work() {
    const { attempt, heartbeat, idempotencyKey, fencingToken, lastHeartbeat, taskId } = getRuntimeContext();
    const found = { attempt, idempotencyKey, fencingToken, lastHeartbeat, isTask: taskId === idempotencyKey };
    if (attempt === 2) return found;
    heartbeat({ row: attempt + 41, at: new Date(7) });
    await new Promise((resolve) => setTimeout(resolve, 50));
    if (attempt === 0) process.kill(process.pid, "SIGKILL");
    throw Object.assign(new Error("again"), { found });
  }, { retryExceptions: true });
  const ref = work.remote();
  expect(await get(ref)).toEqual({
    attempt: 2, idempotencyKey: ref.id, fencingToken: 3, lastHeartbeat: { row: 42, at: new Date(7) }, isTask: true,
  });
});

test("an attempt that gives no heartbeat for too long is lost, and tried again", async () => {
  const silent = remote(async function silent() {
    const { attempt, heartbeat, signal } = getRuntimeContext();
    if (attempt > 0) return "second";
    heartbeat(1);
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    return "first";
  }, { heartbeatTimeoutMs: 200 });
  expect(await run(silent)).toBe("second");
  const once = remote(async () => {
    await new Promise((resolve) => getRuntimeContext().signal.addEventListener("abort", resolve));
  }, { heartbeatTimeoutMs: 100, maxRetries: 0 });
  const error = await run(once).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(TaskTimeoutError);
  expect((error as Error).message).toContain("gave no heartbeat for 100 ms");
});

test("one that gives them lives longer than the bound", async () => {
  const lively = remote(async function lively() {
    for (let n = 0; n < 20; n += 1) {
      getRuntimeContext().heartbeat();
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return getRuntimeContext().attempt;
  }, { heartbeatTimeoutMs: 1500 });
  expect(await run(lively)).toBe(0);
});

test("progress shows in explain and in the list", async () => {
  const half = remote(async function half() {
    getRuntimeContext().progress(0.5);
    await new Promise((resolve) => getRuntimeContext().signal.addEventListener("abort", resolve));
  });
  const ref = half.remote();
  await until(async () => (await explain(ref)).reasons[0].progress === 0.5);
  expect((await explain(ref)).text).toContain("50 % done");
  expect((await list.tasks({ filters: { name: "half" } }))[0].progress).toBe(0.5);
  await expect(run(remote(() => getRuntimeContext().progress(2)))).rejects.toThrow(InvalidArgumentError);
});

test("a detail is plain data", async () => {
  const ref = await put(1);
  const told = (detail: unknown) => run(remote((one: unknown) => getRuntimeContext().heartbeat(one)), detail as never);
  await expect(told({ ref })).rejects.toThrow("plain data of at most 64 KiB");
  await expect(told("x".repeat(100_000))).rejects.toThrow(InvalidArgumentError);
  await told({ a: [1, new Map([["b", 2n]])] });
});

test("calls of an actor have them too, and its token grows with its lives", async () => {
  class Worker {
    async step() {
      const { attempt, fencingToken, heartbeat, lastHeartbeat } = getRuntimeContext();
      if (attempt > 0) return { fencingToken, lastHeartbeat };
      heartbeat("half way");
      await new Promise((resolve) => setTimeout(resolve, 50));
      process.kill(process.pid, "SIGKILL");
      return undefined;
    }
  }
  const worker = remote(Worker, { maxRestarts: 1, maxTaskRetries: 1 }).remote();
  expect(await get(worker.step.remote())).toEqual({ fencingToken: 2, lastHeartbeat: "half way" });
  await kill(worker);
});

test("the logger writes a line of JSON with its origin", async () => {
  const { write } = process.stderr;
  process.stderr.write = ((text: string | Uint8Array) => (written.push(String(text)), true)) as never;
  try {
    const id = await run(remote(function logs() {
      const { logger, taskId } = getRuntimeContext();
      logger.warn("half empty", { glasses: 2n, why: new Error("thirst") });
      return taskId;
    }));
    await until(async () => written.join("").includes("half empty"));
    const line = written.join("").split("\n").find((one) => one.includes("half empty")) as string;
    expect(JSON.parse(line.slice(line.indexOf("{"), line.lastIndexOf("}") + 1))).toMatchObject({
      level: "warn", message: "half empty", glasses: "2", why: expect.stringContaining("Error: thirst"), taskId: id, name: "logs",
    });
  } finally {
    process.stderr.write = write;
  }
});

test("in a program's main part they say nothing", () => {
  const { idempotencyKey, fencingToken, lastHeartbeat, heartbeat, progress } = getRuntimeContext();
  heartbeat(1);
  progress(1);
  expect([idempotencyKey, fencingToken, lastHeartbeat]).toEqual([undefined, undefined, undefined]);
});
