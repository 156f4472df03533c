// Actors in threads of one process: a heap of their own, and an end that harms no neighbour.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  ActorDiedError, actorState, ActorUnavailableError, exitActor, get, init, InvalidArgumentError, kill, put, ready, remote,
  shutdown,
} from "troupe";
import { until } from "../until.ts";

class Cell {
  #kept: unknown[] = [];
  async where(): Promise<[pid: number, thread: number]> {
    const { threadId } = await import("node:worker_threads");
    return [process.pid, threadId];
  }
  add(value: number): number {
    this.#kept.push(value);
    return this.#kept.length;
  }
  fill(): number {
    for (;;) this.#kept.push(new Array(100_000).fill(this.#kept.length));
  }
  block(): void {
    for (;;);
  }
  sum(bytes: Uint8Array): number {
    return bytes.reduce((sum, one) => sum + one, 0);
  }
  make(size: number): Uint8Array {
    return new Uint8Array(size).fill(2);
  }
  exit(code: number): void {
    process.exit(code);
  }
  throwLater(): void {
    setTimeout(() => { throw new RangeError("thrown late"); }, 10);
  }
  leave(): void {
    exitActor();
  }
  die(): void {
    process.kill(process.pid, "SIGKILL");
  }
}
const ThreadCell = remote(Cell, { isolation: "thread" });

beforeAll(async () => {
  await init({ numCpus: 2, objectStoreMemory: "128MiB" });
});
afterAll(() => shutdown());

describe("actors in threads", () => {
  test("share a process, and block nobody else", async () => {
    const [one, two, three] = [ThreadCell.remote(), ThreadCell.remote(), ThreadCell.remote()];
    const places = await get([one.where.remote(), two.where.remote(), three.where.remote()]);
    expect(new Set(places.map(([pid]) => pid)).size).toBe(1);
    expect(new Set(places.map(([, thread]) => thread)).size).toBe(3);
    expect(places.every(([pid, thread]) => pid !== process.pid && thread > 0)).toBe(true);
    const blocked = one.block.remote();
    expect(await get(two.add.remote(1))).toBe(1);
    await kill(one);
    await expect(get(blocked)).rejects.toThrow(ActorDiedError);
    expect(await get(two.add.remote(1))).toBe(2);
    expect((await get(three.where.remote()))[0]).toBe(places[0][0]);
  });

  test("read and make large values in the node's store", async () => {
    const cell = ThreadCell.remote();
    const ref = await put(new Uint8Array(1_000_000).fill(1));
    expect(await get(cell.sum.remote(ref))).toBe(1_000_000);
    expect((await get(cell.make.remote(300_000))).length).toBe(300_000);
  });

  test("with more than their heap end alone, and say so", async () => {
    const neighbour = ThreadCell.remote();
    expect(await get(neighbour.add.remote(1))).toBe(1);
    const cell = ThreadCell.options({ heapLimit: "24MiB" }).remote();
    await expect(get(cell.fill.remote())).rejects.toMatchObject({ code: "ACTOR_DIED", reason: "out-of-memory" });
    expect(await get(neighbour.add.remote(1))).toBe(2);
  });

  test("end alone by their own code, and restart on their budget", async () => {
    const neighbour = ThreadCell.remote();
    const [pid] = await get(neighbour.where.remote());
    const cell = ThreadCell.options({ maxRestarts: 1 }).remote();
    await expect(get(cell.exit.remote(3))).rejects.toThrow(ActorUnavailableError);
    await ready(cell);
    expect(await get(cell.add.remote(1))).toBe(1);
    cell.throwLater.remote();
    await until(async () => (await actorState(cell)).state === "DEAD");
    await expect(get(cell.add.remote(1))).rejects.toThrow(/exited with code 1/);
    const leaving = ThreadCell.remote();
    await expect(get(leaving.leave.remote())).rejects.toThrow(/exitActor/);
    expect((await get(neighbour.where.remote()))[0]).toBe(pid);
  });

  test("end with their process, which is charged to none", async () => {
    const [one, two] = [ThreadCell.remote(), ThreadCell.options({ maxRestarts: 1 }).remote()];
    await Promise.all([ready(one), ready(two)]);
    const [pid] = await get(two.where.remote());
    await expect(get(one.die.remote())).rejects.toMatchObject({ code: "ACTOR_DIED", reason: "host" });
    const [next] = await get(two.where.options({ maxTaskRetries: 9 }).remote());
    expect(next).not.toBe(pid);
    expect(await actorState(two)).toMatchObject({ state: "ALIVE", restarts: 0 });
  });

  test("that nobody holds any more end", async () => {
    const cell = ThreadCell.remote();
    await ready(cell);
    const { id } = await actorState(cell);
    cell[Symbol.dispose]();
    const { list } = await import("troupe");
    await until(async () => (await list.actors()).some((row) => row.id === id && row.state === "DEAD"));
  });

  test("run in their environment, and after its setupHook", async () => {
    class Prepared {
      what(): unknown[] {
        return [process.env.GREETING, (globalThis as { prepared?: string }).prepared];
      }
    }
    const runtimeEnv = {
      envVars: { GREETING: "hello" },
      setupHook: async () => {
        await new Promise((resolve) => setTimeout(resolve, 50));
        (globalThis as { prepared?: string }).prepared = "yes";
      },
    };
    for (const isolation of ["thread", "shared"] as const) {
      const prepared = remote(Prepared, { isolation, runtimeEnv }).remote();
      expect(await get(prepared.what.remote())).toEqual(["hello", "yes"]);
    }
  });

  test("have their options checked", () => {
    expect(() => remote(Cell, { heapLimit: "1GiB" })).toThrow(InvalidArgumentError);
    expect(() => ThreadCell.options({ heapLimit: "much" })).toThrow(/heapLimit/);
  });
});
