// Cancellation and deadlines: queued, waiting, running and nested work, calls of actors, by force and by signal.

import { setTimeout as delay } from "node:timers/promises";
import {
  cancel,
  first,
  get,
  getRuntimeContext,
  init,
  InvalidArgumentError,
  list,
  put,
  ready,
  remote,
  shutdown,
  TaskCancelledError,
  TaskTimeoutError,
  wait,
  type ObjectRef,
} from "troupe";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until } from "../until.ts";

beforeAll(() => init({ numCpus: 2 }));
afterAll(() => shutdown());

const board = remote(class Board {
  #notes: string[] = [];
  note(text: string) {
    this.#notes.push(text);
  }
  notes() {
    return this.#notes;
  }
}, { numCpus: 0 });

const errorOf = (ref: ObjectRef<unknown>) => get(ref).then(() => undefined, (error: Error) => error);

/** Runs until its signal aborts, and notes why. */
const patient = remote(async (notes: { note: { remote(text: string): unknown } }) => {
  const { signal } = getRuntimeContext();
  notes.note.remote("started");
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
  notes.note.remote(`ended: ${(signal.reason as Error).name}`);
}, { name: "patient" });

// 1. a child runs in its parent's process     2. its order stands at the agent as the lease for it is given back
// 3. the agent grants it anew, to nobody's use, for ever
test("leases of children go back when the tree has ended", async () => {
  const parent = remote(async () => get(remote(() => 1, { numCpus: 0, timeoutMs: 10_000 }).remote()), { timeoutMs: 10_000 });
  expect(await get(parent.remote())).toBe(1);
  await until(async () => (await list.workers()).every(({ state }) => state !== "LEASED"));
  await delay(300);
  for (let looks = 0; looks < 5; looks += 1) {
    expect((await list.workers()).filter(({ state }) => state === "LEASED")).toEqual([]);
    await delay(20);
  }
});

describe("cancel", () => {
  test("tells a running task through its signal; its ref fails at once", async () => {
    const notes = board.remote();
    const ref = patient.remote(notes as never);
    await until(async () => (await get(notes.notes.remote())).includes("started"));
    await cancel(ref);
    const error = await errorOf(ref);
    expect(error).toBeInstanceOf(TaskCancelledError);
    expect(error).toMatchObject({ message: 'task "patient" was cancelled', forced: false });
    await until(async () => (await get(notes.notes.remote())).includes("ended: TaskCancelledError"));
    // Its worker takes other work again.
    expect(await get(remote(() => 7).remote())).toBe(7);
  });

  test("rejects what a task waits for with the reason of its signal, also where children end with it", async () => {
    const notes = board.remote();
    const parent = remote(async () => {
      const { signal } = getRuntimeContext();
      const child = patient.remote(notes);
      const waits = await Promise.allSettled([get(child), get([child]), wait([child])]);
      const isReason = waits.map((one) => one.status === "rejected" && one.reason === signal.reason);
      notes.note.remote(`${isReason} ${signal.reason instanceof TaskCancelledError}`);
    });
    const ref = parent.remote();
    await until(async () => (await get(notes.notes.remote())).includes("started"));
    await cancel(ref);
    await until(async () => (await get(notes.notes.remote())).includes("true,true,true true"));
  });

  test("keeps a queued task, and one that waits for its arguments, from ever starting", async () => {
    const notes = board.remote();
    const busy = remote(() => delay(300));
    const blockers = [busy.remote(), busy.remote()];
    const note = remote((_wait: unknown, to: typeof notes) => get(to.note.remote("ran") as never));
    const queued = note.remote(0, notes as never);
    const waiting = note.remote(blockers[0] as never, notes as never);
    await cancel([queued, waiting]);
    expect(await errorOf(queued)).toBeInstanceOf(TaskCancelledError);
    expect(await errorOf(waiting)).toBeInstanceOf(TaskCancelledError);
    await get(blockers as never);
    await get(remote(() => delay(50)).remote());
    expect(await get(notes.notes.remote())).toEqual([]);
  });

  test("reaches everything that the task has submitted, down the tree, and leaves it alone when told to", async () => {
    const notes = board.remote();
    const tree: (depth: number, to: typeof notes) => Promise<void> = async (depth, to) => {
      await get(to.note.remote(`depth ${depth}`) as never);
      const below = remote(tree, { numCpus: 0.1, name: "tree" });
      if (depth > 0) return get(below.remote(depth - 1, to as never)) as never;
      const { signal } = getRuntimeContext();
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      to.note.remote("leaf ended");
    };
    const root = remote(tree, { numCpus: 0.1, name: "tree" }).remote(3, notes as never);
    await until(async () => (await get(notes.notes.remote())).includes("depth 0"));
    await cancel(root);
    expect(await errorOf(root)).toBeInstanceOf(TaskCancelledError);
    await until(async () => (await get(notes.notes.remote())).includes("leaf ended"));
    await until(async () => (await list.tasks({ filters: { name: "tree", state: "RUNNING" } })).length === 0);

    const alone = board.remote();
    const parent = remote(async (to: typeof alone) => {
      const child = remote(async (end: typeof alone) => {
        await delay(400);
        await get(end.note.remote("child done") as never);
      }, { numCpus: 0 });
      const ref = child.remote(to as never);
      to.note.remote("child sent");
      await get(ref);
    }).remote(alone as never);
    await until(async () => (await get(alone.notes.remote())).includes("child sent"));
    await cancel(parent, { recursive: false });
    await until(async () => (await get(alone.notes.remote())).includes("child done"));
  });

  test("ends by force what never looks: the process is killed, nothing is retried, neighbours go on", async () => {
    const spin = remote(() => {
      for (;;);
    }, { name: "spin" });
    const ref = spin.remote();
    await until(async () => (await list.tasks({ filters: { name: "spin", state: "RUNNING" } })).length === 1);
    await cancel(ref, { force: true });
    expect(await errorOf(ref)).toMatchObject({ name: "TaskCancelledError", forced: true });
    expect(await get(Array.from({ length: 8 }, (_, n) => remote((m: number) => m).remote(n)))).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    const [row] = await list.tasks({ filters: { name: "spin" } });
    expect(row).toMatchObject({ state: "FAILED", errorCode: "TASK_CANCELLED", attempt: 0 });
  });

  test("changes nothing that has ended, in a race with the end too", async () => {
    const done = remote(() => 1).remote();
    expect(await get(done)).toBe(1);
    await cancel(done);
    expect(await get(done)).toBe(1);
    const value = await put(3);
    await cancel(value);
    expect(await get(value)).toBe(3);
    const refs = Array.from({ length: 300 }, (_, n) => remote((m: number) => m).remote(n));
    await delay(3);
    await cancel(refs);
    const outcomes = await Promise.all(refs.map(async (ref, n) => (await errorOf(ref)) ?? ((await get(ref)) === n)));
    expect(outcomes.every((one) => one === true || one instanceof TaskCancelledError)).toBe(true);
  });

  test("may be asked by whoever has the ref", async () => {
    const notes = board.remote();
    const ref = patient.remote(notes as never);
    await until(async () => (await get(notes.notes.remote())).includes("started"));
    await get(remote(([one]: ObjectRef[]) => cancel(one), { numCpus: 0.5 }).remote([ref]));
    expect(await errorOf(ref)).toBeInstanceOf(TaskCancelledError);
  });

  test("100,000 queued tasks end, and their process takes new ones", async () => {
    const hold = remote(() => delay(200), { name: "hold" });
    const one = remote((n: number) => n, { name: "many" });
    const holding = [hold.remote(), hold.remote()];
    const refs = Array.from({ length: 100_000 }, (_, n) => one.remote(n));
    await cancel(refs.slice(10));
    expect(await errorOf(refs[50_000])).toBeInstanceOf(TaskCancelledError);
    expect(await errorOf(refs[99_999])).toBeInstanceOf(TaskCancelledError);
    expect(await get(refs.slice(0, 10))).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    await get(holding as never);
    expect(await get(one.remote(5))).toBe(5);
  });
});

describe("calls of actors", () => {
  const worker = remote(class Worker {
    ran: string[] = [];
    async long(name: string) {
      this.ran.push(name);
      const { signal } = getRuntimeContext();
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      this.ran.push(`${name} ended`);
    }
    short(name: string) {
      this.ran.push(name);
      return name;
    }
    all() {
      return this.ran;
    }
  }, { numCpus: 0, maxConcurrency: 1 });

  test("queued and running ones end, the rest keep their order", async () => {
    const actor = worker.remote();
    await ready(actor);
    const running = actor.long.remote("a");
    const queued = actor.short.remote("b");
    const kept = actor.short.remote("c");
    await delay(100);
    await cancel(queued);
    expect(await errorOf(queued)).toBeInstanceOf(TaskCancelledError);
    await cancel(running);
    expect(await errorOf(running)).toMatchObject({ message: 'call "Worker.long" was cancelled' });
    expect(await get(kept)).toBe("c");
    expect(await get(actor.all.remote())).toEqual(["a", "a ended", "c"]);
    await expect(cancel(actor.long.remote("d"), { force: true })).rejects.toBeInstanceOf(InvalidArgumentError);
  });

  test("have deadlines and signals of their own", async () => {
    const actor = worker.remote();
    const late = actor.long.options({ timeoutMs: 150 }).remote("slow");
    expect(await errorOf(late)).toBeInstanceOf(TaskTimeoutError);
    const abort = new AbortController();
    const stopped = actor.long.options({ signal: abort.signal }).remote("stopped");
    abort.abort(new Error("enough"));
    expect(await errorOf(stopped)).toMatchObject({ name: "TaskCancelledError" });
    expect(await get(actor.short.remote("next"))).toBe("next");
    expect(() => actor.short.options({ timeoutMs: -1 })).toThrow("timeoutMs must be milliseconds above 0");
    expect(() => actor.short.options({ speed: 1 } as never)).toThrow("speed is not known");
  });
});

describe("deadlines", () => {
  test("bound the whole call, retries included, and are told to the code", async () => {
    const slow = remote(async () => {
      const { signal, deadline } = getRuntimeContext();
      if (deadline === undefined || deadline - Date.now() > 10_000) throw new Error("no deadline");
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    }, { name: "slow", timeoutMs: 300, retryExceptions: true });
    const error = await errorOf(slow.remote());
    expect(error).toBeInstanceOf(TaskTimeoutError);
    expect(error).toMatchObject({ message: 'task "slow" did not end within 300 ms', timeoutMs: 300 });
  });

  test("hold for children, who get what is left", async () => {
    const parent = remote(async () => {
      const child = remote(() => getRuntimeContext().deadline, { numCpus: 0 });
      return [getRuntimeContext().deadline, await get(child.remote()), await get(child.options({ timeoutMs: 60_000 }).remote())];
    }, { timeoutMs: 5000 });
    const [own, inherited, wished] = (await get(parent.remote())) as number[];
    expect(Math.abs(inherited - own)).toBeLessThan(250);
    expect(Math.abs(wished - own)).toBeLessThan(250);
    const late = remote(async () => {
      const child = remote(() => delay(60_000), { numCpus: 0, name: "late child" });
      await get(child.remote());
    }, { timeoutMs: 300 });
    expect(await errorOf(late.remote())).toBeInstanceOf(TaskTimeoutError);
    await until(async () => (await list.tasks({ filters: { name: "late child", state: "RUNNING" } })).length === 0);
  });

  test("bound one attempt, which retryExceptions may follow with another", async () => {
    const slowOnce = remote(async () => {
      const { attempt, signal } = getRuntimeContext();
      if (attempt === 0) await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      return attempt;
    }, { attemptTimeoutMs: 300 });
    expect(await errorOf(slowOnce.remote())).toMatchObject({ name: "TaskTimeoutError" });
    const again = slowOnce.options({ retryExceptions: [TaskTimeoutError] });
    expect(await get(again.remote())).toBe(1);
  });

  test("take the process from code that never looks, so that the next attempt has a CPU", async () => {
    const stuckOnce = remote(() => {
      const { attempt } = getRuntimeContext();
      if (attempt === 0) for (;;);
      return attempt;
    }, { attemptTimeoutMs: 200, retryExceptions: true, numCpus: 2 });
    expect(await get(stuckOnce.remote())).toBe(1);
  });
});

describe("signals", () => {
  test("end a call, before and while it runs", async () => {
    const abort = new AbortController();
    const slow = remote(() => delay(60_000), { signal: abort.signal, numCpus: 0 });
    const refs = Array.from({ length: 30 }, () => slow.remote());
    await delay(50);
    abort.abort("stop");
    for (const ref of refs) expect(await errorOf(ref)).toBeInstanceOf(TaskCancelledError);
    expect(await errorOf(slow.remote())).toBeInstanceOf(TaskCancelledError);
  });

  test("first() gives the winner and cancels the rest", async () => {
    const race = remote(async (ms: number) => {
      await delay(ms);
      return ms;
    }, { numCpus: 0, name: "race" });
    const refs = [60_000, 5, 60_000].map((ms) => race.remote(ms));
    expect(await first(refs)).toBe(5);
    expect(await errorOf(refs[0])).toBeInstanceOf(TaskCancelledError);
    expect(await errorOf(refs[2])).toBeInstanceOf(TaskCancelledError);
  });
});
