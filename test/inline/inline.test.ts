// init({ mode: "inline" }): a cluster of which nothing is outside of this process.

import { readdirSync, readFileSync } from "node:fs";
import { afterEach, describe, expect, test, vi } from "vitest";
import {
  AlreadyInitializedError, get, getRuntimeContext, init, InvalidArgumentError, isInitialized, Queue, remote, run,
  shutdown,
} from "troupe";

afterEach(() => shutdown());

const add = remote((a: number, b: number) => a + b);
const start = () => init({ mode: "inline", numCpus: 2 });

/** Files and sockets of this process, its threads, its children. */
function belongings(): (number | string)[] {
  const [files, threads] = ["/proc/self/fd", "/proc/self/task"].map((folder) => readdirSync(folder).length);
  return [files, threads, readFileSync(`/proc/self/task/${process.pid}/children`, "utf8")];
}

describe("a cluster in this process", () => {
  test("has no process, file or socket of its own, and leaves nothing", async () => {
    await start();
    await run(add, 1, 2);
    await shutdown();
    const before = belongings();
    for (let round = 0; round < 5; round += 1) {
      const cluster = await start();
      expect(cluster.address).toMatch(/^inline:/);
      expect(await run(add, round, 1)).toBe(round + 1);
      expect(await run(remote(() => process.pid))).toBe(process.pid);
      expect(belongings()).toEqual(before);
      await shutdown();
      expect(isInitialized()).toBe(false);
    }
    expect(belongings()).toEqual(before);
  });

  test("leaves process.exit as it was", async () => {
    const { exit } = process;
    await start();
    expect(process.exit).not.toBe(exit);
    await shutdown();
    expect(process.exit).toBe(exit);
  });

  test("asynchronous tasks take turns on its CPUs, and no more of them than CPUs", async () => {
    await start();
    const running = new Set<string>();
    let most = 0;
    (globalThis as { inlineTurn?: (id: string, begins: boolean) => void }).inlineTurn = (id, begins) => {
      if (begins) running.add(id);
      else running.delete(id);
      most = Math.max(most, running.size);
    };
    const turn = remote(async () => {
      const { inlineTurn } = globalThis as unknown as { inlineTurn: (id: string, begins: boolean) => void };
      const id = getRuntimeContext().taskId as string;
      inlineTurn(id, true);
      await new Promise((resolve) => setTimeout(resolve, 20));
      inlineTurn(id, false);
    });
    await get(Array.from({ length: 8 }, () => turn.remote()));
    expect(most).toBe(2);
  });

  test("goes on under the false timers of a test", async () => {
    await start();
    vi.useFakeTimers();
    try {
      expect(await run(add, 1, 2)).toBe(3);
      const hour = remote((ms: number) => new Promise<string>((resolve) => setTimeout(() => resolve("an hour later"), ms)));
      const ref = hour.remote(3_600_000);
      // The task has begun when its timer is there.
      while (vi.getTimerCount() === 0) await run(add, 1, 1);
      vi.advanceTimersByTime(3_600_000);
      expect(await get(ref)).toBe("an hour later");
    } finally {
      vi.useRealTimers();
    }
  });

  test("a task can't start or end the program's cluster", async () => {
    await start();
    const attempts = await run(remote(async () => {
      const second = await init({ mode: "inline" }).catch((error: Error) => error.name);
      await shutdown();
      return [second, isInitialized()];
    }));
    expect(attempts).toEqual([AlreadyInitializedError.name, true]);
    expect(await run(add, 1, 1)).toBe(2);
  });

  test("code of a worker that is gone gets no further than to where it needs the cluster", async () => {
    await start();
    const steps: string[] = [];
    (globalThis as { inlineStep?: unknown }).inlineStep = (text: string) => steps.push(text);
    class Pump {
      // Nobody waits for it: what it threw would be the program's.
      async start(queue: Queue<number>): Promise<void> {
        void this.pump(queue);
      }
      async pump(queue: Queue<number>): Promise<void> {
        const { inlineStep } = globalThis as unknown as { inlineStep: (text: string) => void };
        inlineStep("begun");
        await new Promise((resolve) => setTimeout(resolve, 200));
        inlineStep("awake");
        add.remote(1, 1);
        await queue.get();
        inlineStep("served");
      }
    }
    const queue = new Queue<number>();
    await get(remote(Pump).remote().start.remote(queue));
    await shutdown();
    await start();
    await vi.waitFor(() => expect(steps).toEqual(["begun", "awake"]), 20_000);
    expect(await run(add, 2, 2)).toBe(4);
    expect(steps).toEqual(["begun", "awake"]);
  });
});

describe("code", () => {
  test("runs as it stands where nobody could tell, so it can be stopped in and counted", async () => {
    await start();
    const mark = () => "same";
    const isSame = remote((given: () => string) => given === mark);
    expect(await run(isSame, mark)).toBe(true);
    class Plain {
      type(): Function {
        return this.constructor;
      }
    }
    const isOriginal = remote((type: Function) => new Plain().type() === type);
    expect(await run(isOriginal, Plain)).toBe(true);
  });

  test("is copied where it holds state, with the names and places of its file", async () => {
    await start();
    const seen: string[] = [];
    const note = (text: string) => seen.push(text);
    expect(await run(remote(() => note("in the task")))).toBe(1);
    expect(seen).toEqual([]);
    const failed = await run(remote(() => {
      note("before");
      throw new Error("here");
    })).catch((error: Error) => error);
    expect((failed as Error).stack).toMatch(/inline\.test\.ts:\d+:\d+/);
  });
});

describe("options", () => {
  test.each([
    [{ mode: "inlined" }, /mode must be one of 'cluster', 'inline'/],
    [{ mode: "inline", address: "auto" }, /address .*mode: "inline"/],
    [{ mode: "inline", token: "x" }, /token /],
    [{ mode: "inline", runtimeEnv: { envVars: { A: "1" } } }, /runtimeEnv /],
    [{ mode: "inline", spillFolder: "/tmp" }, /spillFolder /],
  ])("%j is refused", async (options, text) => {
    await expect(init(options as never)).rejects.toThrow(InvalidArgumentError);
    await expect(init(options as never)).rejects.toThrow(text);
    expect(isInitialized()).toBe(false);
  });

  test("what needs processes or threads is refused by name", async () => {
    await start();
    class Nothing {}
    expect(() => remote(Nothing).options({ isolation: "thread" }).remote()).toThrow(/isolation: 'thread'/);
    expect(() => add.options({ runtimeEnv: { envVars: { A: "1" } } }).remote(1, 2)).toThrow(/runtimeEnv/);
    await expect((await init({ ignoreReinit: true })).joinCommand()).rejects.toThrow(/private cluster/);
  });
});
