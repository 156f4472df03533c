// Many actors in one process: each with its own queue, order, failures and end.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  ActorDiedError, type ActorHandle, actorState, ActorUnavailableError, exitActor, free, get, getActor, init, kill, list,
  type ObjectRef, OwnerDiedError, put, ready, remote, shutdown,
} from "troupe";
import { until } from "../until.ts";

class Cell {
  #values: number[] = [];
  add(value: number): number[] {
    this.#values.push(value);
    return this.#values;
  }
  pid(): number {
    return process.pid;
  }
  async late(ms: number): Promise<string> {
    await new Promise((resolve) => setTimeout(resolve, ms));
    return "late";
  }
  throwLater(how: "timer" | "rejection" | "tick" | "microtask"): string {
    if (how === "timer") setTimeout(() => { throw new RangeError("thrown late"); }, 20);
    else if (how === "rejection") void Promise.reject(new RangeError("thrown late"));
    else if (how === "tick") process.nextTick(() => { throw new RangeError("thrown late"); });
    else queueMicrotask(() => { throw new RangeError("thrown late"); });
    return how;
  }
  exit(code: number): void {
    process.exit(code);
  }
  die(): void {
    process.kill(process.pid, "SIGKILL");
  }
  leave(): void {
    exitActor();
  }
  async puts(): Promise<{ large: ObjectRef<Uint8Array>; kept: ObjectRef<Uint8Array> }> {
    return { large: await put(new Uint8Array(2e6)), kept: await put(new Uint8Array(1e6)) };
  }
  /** Notes what the runtime says when it goes on after its end. */
  async goOn(other: ActorHandle<Cell>, witness: ActorHandle<Witness>): Promise<void> {
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      try {
        await get(other.add.remote(1));
      } catch (error) {
        globalThis.lastRefusal = (error as { code: string }).code;
        throw error;
      }
    }
  }
  lastRefusal(): string | undefined {
    return globalThis.lastRefusal;
  }
}
declare global {
  var lastRefusal: string | undefined;
}
class Witness {}
const SharedCell = remote(Cell, { isolation: "shared" });

beforeAll(async () => {
  await init({ numCpus: 2, objectStoreMemory: "128MiB" });
});
afterAll(() => shutdown());

describe("shared actors", () => {
  test("live in one process and answer each for itself", async () => {
    // With 64 of all tests in one process the next would go to another one.
    const cells = Array.from({ length: 30 }, () => SharedCell.remote());
    const pids = new Set(await get(cells.map((cell) => cell.pid.remote())));
    expect(pids.size).toBe(1);
    await Promise.all(cells.map((cell, index) => get(cell.add.remote(index))));
    const values = await get(cells.map((cell, index) => cell.add.remote(-index)));
    expect(values).toEqual(cells.map((_, index) => [index, -index]));
    const waiting = cells[0].late.remote(200);
    expect(await get(cells[1].add.remote(7))).toHaveLength(3);
    expect(await get(waiting)).toBe("late");
  });

  test("take no call that is made after they were killed", async () => {
    const Short = remote(class { hi() { return "hi"; } }, { isolation: "shared", numCpus: 0 });
    const actors = Array.from({ length: 20 }, () => Short.remote());
    await get(actors.map((actor) => actor.hi.remote()));
    for (const actor of actors) {
      await kill(actor);
      await expect(get(actor.hi.remote())).rejects.toThrow(ActorDiedError);
    }
  });

  test("are charged for what they ask for", async () => {
    const cell = SharedCell.options({ numCpus: 1.5 }).remote();
    await ready(cell);
    const second = SharedCell.options({ numCpus: 1 }).remote();
    const answer = second.pid.remote();
    expect(await Promise.race([get(answer), new Promise((resolve) => setTimeout(resolve, 300, "waits"))])).toBe("waits");
    await kill(cell);
    expect(await get(answer)).toBeGreaterThan(0);
    await kill(second);
  });

  test("die alone of errors that nobody caught, and of process.exit", async () => {
    const neighbour = SharedCell.remote();
    const pid = await get(neighbour.pid.remote());
    for (const how of ["timer", "rejection", "tick", "microtask"] as const) {
      const cell = SharedCell.remote();
      expect(await get(cell.pid.remote())).toBe(pid);
      const waiting = cell.late.remote(10_000);
      await until(async () => (await actorState(cell)).state === "ALIVE");
      const again = SharedCell.remote();
      // The answer may not leave any more.
      const said = get(again.throwLater.remote(how)).catch((error: unknown) => error instanceof ActorDiedError && how);
      expect(await said).toBe(how);
      await until(async () => (await actorState(again)).state === "DEAD");
      await expect(get(again.pid.remote())).rejects.toThrow(/nobody caught: thrown late/);
      await kill(cell);
      await expect(get(waiting)).rejects.toThrow(ActorDiedError);
    }
    const cell = SharedCell.remote();
    await expect(get(cell.exit.remote(7))).rejects.toMatchObject({ code: "ACTOR_DIED", exitCode: 7 });
    expect(await get(neighbour.pid.remote())).toBe(pid);
  });

  test("restart alone, on their own budget", async () => {
    const cell = SharedCell.options({ maxRestarts: 1 }).remote();
    const neighbour = SharedCell.remote();
    expect(await get(cell.add.remote(1))).toEqual([1]);
    expect(await get(neighbour.add.remote(1))).toEqual([1]);
    await expect(get(cell.exit.remote(1))).rejects.toThrow(ActorUnavailableError);
    await ready(cell);
    expect(await get(cell.add.remote(2))).toEqual([2]);
    expect(await get(neighbour.add.remote(2))).toEqual([1, 2]);
    await expect(get(cell.exit.remote(1))).rejects.toThrow(ActorDiedError);
  });

  test("that end by a kill, an exit or their last handle leave the others alone", async () => {
    const [killed, left, dropped, stays] = Array.from({ length: 4 }, () => SharedCell.remote());
    await get([killed, left, dropped, stays].map((cell) => cell.add.remote(1)));
    const id = (await actorState(dropped)).id;
    const running = killed.late.remote(10_000);
    const queued = killed.add.remote(2);
    await kill(killed);
    for (const ref of [running, queued]) await expect(get<unknown>(ref)).rejects.toThrow(/killed/);
    await expect(get(left.leave.remote())).rejects.toThrow(ActorDiedError);
    await expect(get(left.add.remote(1))).rejects.toThrow(/exitActor/);
    dropped[Symbol.dispose]();
    await until(async () => (await list.actors()).some((row) => row.id === id && row.state === "DEAD"));
    expect(await get(stays.add.remote(2))).toEqual([1, 2]);
  });

  test("what one had put ends with it, but for what is kept, and nothing of the others does", async () => {
    const [killed, crashes, left, stays] = Array.from({ length: 4 }, () => SharedCell.remote());
    const made = await get([killed, crashes, left, stays].map((cell) => cell.puts.remote()));
    expect(await get(made.map(({ large }) => large)).then((all) => all.map(({ length }) => length))).toEqual(Array(4).fill(2e6));
    await made[0].kept.detach({ name: "outlives its cell" });
    await kill(killed);
    crashes.throwLater.remote("timer");
    await expect(get(left.leave.remote())).rejects.toThrow(ActorDiedError);
    for (const { large } of made.slice(0, 3)) {
      await expect.poll(() => get(large).catch((error: unknown) => error)).toBeInstanceOf(OwnerDiedError);
    }
    expect((await get(made[0].kept)).length).toBe(1e6);
    expect([(await get(made[3].large)).length, (await get(made[3].kept)).length]).toEqual([2e6, 1e6]);
    await free([made[0].kept]);
  });

  test("what goes on after its actor's end is fenced off", async () => {
    const [cell, other] = [SharedCell.remote(), SharedCell.remote()];
    await get([cell.add.remote(1), other.add.remote(1)]);
    cell.goOn.remote(other as never, other as never);
    await until(async () => (await get(other.add.remote(0))).filter((one) => one === 1).length > 1);
    await kill(cell);
    await until(async () => (await get(other.lastRefusal.remote())) !== undefined);
    expect(await get(other.lastRefusal.remote())).toMatch(/ACTOR_FENCED|TASK_ERROR/);
    const before = (await get(other.add.remote(0))).filter((one) => one === 1).length;
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect((await get(other.add.remote(0))).filter((one) => one === 1).length).toBe(before);
  });

  test("that end their process in their code are charged for it, and named", async () => {
    const [culprit, other] = [SharedCell.options({ maxRestarts: 1 }).remote(), SharedCell.options({ maxRestarts: 1 }).remote()];
    await get([culprit, other].map((cell) => cell.add.remote(1)));
    const { id } = await actorState(culprit);
    const waiting = other.late.remote(10_000);
    await expect(get(culprit.die.remote())).rejects.toThrow(ActorUnavailableError);
    await expect(get(waiting)).rejects.toThrow(new RegExp(`in the code of actor Cell \\(${id}\\)`));
    await get([culprit, other].map((cell) => cell.add.options({ maxTaskRetries: 9 }).remote(1)));
    expect(await actorState(culprit)).toMatchObject({ restarts: 1 });
    expect(await actorState(other)).toMatchObject({ restarts: 0 });
    await expect(get(culprit.die.remote())).rejects.toMatchObject({ code: "ACTOR_DIED", culprit: id });
  });

  test("all end with their process; those with restarts live again and are not charged", async () => {
    const [once, again, named] = [
      SharedCell.remote(), SharedCell.options({ maxRestarts: 1 }).remote(),
      SharedCell.options({ maxRestarts: 1, name: "again", maxTaskRetries: 9 }).remote(),
    ];
    const pids = await get([once, again, named].map((cell) => cell.pid.remote()));
    expect(new Set(pids).size).toBe(1);
    const pending = named.late.remote(500);
    await expect(get(once.die.remote())).rejects.toMatchObject({ code: "ACTOR_DIED", reason: "host", signal: "SIGKILL" });
    expect(await get(pending)).toBe("late");
    expect(await get(again.pid.options({ maxTaskRetries: 5 }).remote())).not.toBe(pids[0]);
    expect(await actorState(again)).toMatchObject({ state: "ALIVE", restarts: 0 });
    await expect(get(again.exit.remote(1))).rejects.toThrow(ActorUnavailableError);
    await expect(get(again.exit.remote(1))).rejects.toThrow(ActorDiedError);
    await kill(await getActor("again"));
  });
});

test("thousands of shared actors are made in one go, and each answers", async () => {
  const count = 3000;
  const cells = Array.from({ length: count }, () => SharedCell.remote());
  const values = await get(cells.map((cell, index) => cell.add.remote(index)));
  expect(values.every(([value], index) => value === index)).toBe(true);
  const pids = new Set(await get(cells.map((cell) => cell.pid.remote())));
  expect(pids.size).toBeGreaterThanOrEqual(3);
});
