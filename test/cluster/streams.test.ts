// Streams: generators as tasks and as methods of actors, read here and elsewhere, through crashes, cancellation and early exits.

import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import {
  ActorDeadlockError, ActorUnavailableError, cancel, get, getRuntimeContext, GetTimeoutError, init, InvalidArgumentError,
  isInitialized, list, NotFoundError, ObjectFreedError, type ObjectRef, type ObjectRefStream, ready, remote, run, shutdown,
  TaskCancelledError, TaskError, TaskTimeoutError, WorkerCrashedError,
} from "troupe";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { until } from "../until.ts";

const folder = mkdtempSync(join(tmpdir(), "streams-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;

/** A file that code in any process may write lines to. */
function notebook(): { readonly path: string; lines(): string[] } {
  const path = join(folder, `notes-${(files += 1)}`);
  appendFileSync(path, "");
  return { path, lines: () => readFileSync(path, "utf8").split("\n").filter((line) => line !== "") };
}

async function all<T>(stream: ObjectRefStream<T>): Promise<T[]> {
  const values: T[] = [];
  for await (const ref of stream) values.push(await get(ref));
  return values;
}

const errorOf = (ref: ObjectRef) => get(ref).then(() => undefined, (error: unknown) => error);
const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);

const count = remote(function* (to: number) {
  for (let n = 0; n < to; n += 1) yield n;
});

/** Notes each number before it yields it, and its end. */
const noted = remote(async function* (path: string, to: number) {
  const { signal } = getRuntimeContext();
  try {
    for (let n = 0; n < to; n += 1) {
      appendFileSync(path, `${n}\n`);
      yield n;
    }
  } finally {
    appendFileSync(path, `finally, ${signal.aborted ? (signal.reason as Error).name : "not aborted"}\n`);
  }
});

/** Some tests end it. */
beforeEach(async () => {
  if (!isInitialized()) await init({ numCpus: 2, objectStoreMemory: "256MiB" });
});
afterAll(() => shutdown());

describe("a generator function", () => {
  test("gives a stream of refs, in order, and then is done for ever", async () => {
    expect(await all(count.remote(50))).toEqual(numbers(50));
    const later = remote(async function* (to: number) {
      for (let n = 0; n < to; n += 1) {
        await delay(1);
        yield { n };
      }
    });
    const stream = later.remote(3);
    expect(await all(stream)).toEqual([{ n: 0 }, { n: 1 }, { n: 2 }]);
    expect(await stream.next()).toEqual({ done: true, value: undefined });
    expect(await all(stream)).toEqual([]);
    expect([...count.local(2)]).toEqual([0, 1]);
    expect(await all(count.remote(0))).toEqual([]);
  });

  test("takes options of tasks, but not numReturns", async () => {
    expect(() => remote(function* () {}, { numReturns: 2 })).toThrow(InvalidArgumentError);
    expect(() => count.options({ numReturns: 1 })).toThrow(/is a generator function/);
    expect(() => FeedActor.remote().upTo.options({ numReturns: 2 }).remote(1)).toThrow(/is a generator: it has a stream/);
    expect(() => count.options({ streamBackpressure: 0 })).toThrow(/streamBackpressure must be a whole number of 1 or more/);
    expect(await all(count.options({ name: "numbers", streamBackpressure: 1 }).remote(5))).toEqual(numbers(5));
    await expect(get(count.remote(1) as never)).rejects.toThrow(/a stream \(read its refs with for await\)/);
  });

  test("yields refs, large values and what can't travel", async () => {
    const mixed = remote(function* () {
      yield count.local(1).next().value;
      yield new Uint8Array(200_000).fill(7);
      yield new WeakMap();
    });
    const stream = mixed.remote();
    const [first, second, third] = [await stream.next(), await stream.next(), await stream.next()];
    expect(await get(first.value as ObjectRef)).toBe(0);
    expect((await get(second.value as ObjectRef<Uint8Array>))[199_999]).toBe(7);
    await expect(get(third.value as ObjectRef)).rejects.toThrow(/can't travel/);
    expect((await stream.next()).done).toBe(true);
  });

  test("runs on one CPU beside the work that its items are for", async () => {
    await shutdown();
    await init({ numCpus: 1 });
    const double = remote((n: number) => n * 2);
    const doubled: number[] = [];
    for await (const n of count.options({ streamBackpressure: 2 }).remote(12)) doubled.push(await run(double, n));
    expect(doubled).toEqual(numbers(12).map((n) => n * 2));
    const walk = remote(async function* (depth: number): AsyncGenerator<number> {
      yield depth;
      if (depth === 0) return;
      const inner = remote(walkBelow).remote(depth);
      for await (const ref of inner) yield await get(ref);
    });
    async function* walkBelow(depth: number): AsyncGenerator<number> {
      for await (const ref of walk.remote(depth - 1)) yield await get(ref);
    }
    expect(await all(walk.remote(4))).toEqual([4, 3, 2, 1, 0]);
    await shutdown();
  });
});

describe("back-pressure", () => {
  test("is exact: the generator is not resumed after the n-th item that nobody took", async () => {
    const notes = notebook();
    const stream = noted.options({ streamBackpressure: 3 }).remote(notes.path, 10);
    await until(() => notes.lines().length === 3);
    await delay(200);
    expect(notes.lines()).toEqual(["0", "1", "2"]);
    for (let taken = 1; taken <= 4; taken += 1) {
      expect(await get((await stream.next()).value as ObjectRef)).toBe(taken - 1);
      await until(() => notes.lines().length === 3 + taken);
      await delay(60);
      expect(notes.lines()).toHaveLength(3 + taken);
    }
    await stream.return();
  });

  test("gives the CPU to others while it holds", async () => {
    const busy = numbers(4).map(() => noted.options({ streamBackpressure: 1 }).remote(notebook().path, 5));
    for (const stream of busy) await stream.next();
    expect(await run(remote(() => "there is room"))).toBe("there is room");
    for (const stream of busy) await stream.return();
  });

  test("a wait for the next item may be given up, and loses none", async () => {
    const slow = remote(async function* () {
      await delay(300);
      yield "first";
    });
    const stream = slow.remote();
    await expect(stream.next({ timeoutMs: 20 })).rejects.toThrow(GetTimeoutError);
    await expect(stream.next({ signal: AbortSignal.timeout(20) })).rejects.toThrow();
    expect(await all(stream)).toEqual(["first"]);
  });
});

describe("who leaves", () => {
  test("by break ends the generator through its finally, before the loop is over", async () => {
    const notes = notebook();
    for await (const ref of noted.options({ streamBackpressure: 2 }).remote(notes.path, 1000)) {
      if ((await get(ref)) === 5) break;
    }
    const lines = notes.lines();
    expect(lines.at(-1)).toBe("finally, TaskCancelledError");
    expect(lines.length).toBeLessThanOrEqual(9);
    expect(await run(remote(() => "free"))).toBe("free");
  });

  test("ends what the generator waits for", async () => {
    const notes = notebook();
    const stuck = remote(async function* (path: string) {
      yield 0;
      try {
        await get(remote(() => delay(60_000)).remote());
      } finally {
        appendFileSync(path, "out\n");
      }
    });
    for await (const _ of stuck.remote(notes.path)) break;
    expect(notes.lines()).toEqual(["out"]);
  });

  test("leaves nothing in the store: what was not taken is freed, and items with their refs", async () => {
    const large = remote(function* () {
      for (;;) yield new Uint8Array(1 << 20);
    });
    const before = (await list.stores()).reduce((sum, { used }) => sum + used, 0);
    const used = async () => (await list.stores()).reduce((sum, { used }) => sum + used, 0) - before;
    const stream = large.remote();
    const { value } = await stream.next();
    expect((await get(value as ObjectRef<Uint8Array>)).length).toBe(1 << 20);
    await until(async () => (await used()) >= 16 << 20);
    await stream.return();
    (value as ObjectRef).release();
    await until(async () => (await used()) < 4 << 20);
  });

  test("and drops the last handle ends it too", async () => {
    const notes = notebook();
    const stream = noted.remote(notes.path, 1000);
    await stream.next();
    stream.release();
    stream.release();
    await until(() => notes.lines().at(-1) === "finally, TaskCancelledError");
    await expect(stream.next()).rejects.toThrow(ObjectFreedError);
  });
});

describe("an error", () => {
  test("is the last item, after those that came before it", async () => {
    const fails = remote(function* () {
      yield 1;
      yield 2;
      throw new RangeError("no three");
    });
    const stream = fails.remote();
    const refs: ObjectRef[] = [];
    for await (const ref of stream) refs.push(ref);
    expect(await get(refs.slice(0, 2))).toEqual([1, 2]);
    expect(refs).toHaveLength(3);
    const error = await errorOf(refs[2]);
    expect(error).toBeInstanceOf(TaskError);
    expect(error).toBeInstanceOf(RangeError);
    expect((await stream.next()).done).toBe(true);
  });

  test("of a cancelled stream is its next item, whatever was yielded", async () => {
    const notes = notebook();
    const stream = noted.remote(notes.path, 100);
    await stream.next();
    await until(() => notes.lines().length > 10);
    await cancel(stream);
    const { value } = await stream.next();
    expect(await errorOf(value as ObjectRef)).toBeInstanceOf(TaskCancelledError);
    expect((await stream.next()).done).toBe(true);
    await until(() => notes.lines().at(-1)?.startsWith("finally") === true);
    const forced = remote(function* () {
      yield 1;
      for (;;);
    }).remote();
    await forced.next();
    await cancel(forced, { force: true });
    expect(await errorOf((await forced.next()).value as ObjectRef)).toMatchObject({ name: "TaskCancelledError", forced: true });
  });

  test("comes from deadlines and failed arguments too", async () => {
    const slow = remote(async function* (_: number) {
      yield 1;
      await delay(60_000);
    });
    const stream = slow.options({ timeoutMs: 3000 }).remote(0);
    expect(await get((await stream.next()).value as ObjectRef)).toBe(1);
    expect(await errorOf((await stream.next()).value as ObjectRef)).toBeInstanceOf(TaskTimeoutError);
    const broken = remote((): number => {
      throw new TypeError("no argument");
    });
    const never = count.remote(broken.remote());
    expect(await errorOf((await never.next()).value as ObjectRef)).toBeInstanceOf(TypeError);
    expect((await never.next()).done).toBe(true);
  });

  test("at the end of the session: NotFoundError at once", async () => {
    const stream = count.remote(100);
    await stream.next();
    const waiting = remote(async function* () {
      await delay(60_000);
      yield 1;
    }).remote().next();
    await shutdown();
    await expect(stream.next()).rejects.toThrow(NotFoundError);
    expect((await waiting).done).toBe(false);
    expect((await stream.return()).done).toBe(true);
  });
});

/** What came from a process that was killed before its item 20: what it had sent by then, and that is some. */
function expectFirst(values: number[]): void {
  expect(values).toEqual(numbers(values.length));
  expect(values.length).toBeGreaterThan(3);
  expect(values.length).toBeLessThanOrEqual(20);
}

/** Kills its process at the item `at` of its first `deaths` attempts. */
const dies = remote(function* (to: number, at: number, deaths: number) {
  for (let n = 0; n < to; n += 1) {
    if (n === at && getRuntimeContext().attempt < deaths) process.kill(process.pid, "SIGKILL");
    yield n;
  }
});

describe("a killed worker", () => {
  test.each([0, 1, 16, 20, 49])("at item %i: the consumer sees each once", async (at) => {
    expect(await all(dies.remote(50, at, 2))).toEqual(numbers(50));
  });

  test("costs a retry: without one the failure is the last item", async () => {
    const stream = dies.options({ maxRetries: 1 }).remote(50, 20, 2);
    const refs: ObjectRef<number>[] = [];
    for await (const ref of stream) refs.push(ref);
    expectFirst(await get(refs.slice(0, -1)));
    const error = await errorOf(refs.at(-1) as ObjectRef);
    expect(error).toBeInstanceOf(WorkerCrashedError);
    expect(error).toMatchObject({ signal: "SIGKILL" });
  });

  test("killed from outside, over and over, at any moment", async () => {
    const slow = remote(async function* (to: number) {
      for (let n = 0; n < to; n += 1) {
        if (n % 5 === 0) await delay(5);
        yield { n, pid: process.pid };
      }
    }, { maxRetries: -1, streamBackpressure: 4 });
    const seen: number[] = [];
    for await (const ref of slow.remote(120)) {
      const { n, pid } = await get(ref);
      seen.push(n);
      if (n % 30 !== 7) continue;
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // An earlier attempt's, which is gone already.
      }
    }
    expect(seen).toEqual(numbers(120));
  });

  test("and errors that are retried: what was published is not again", async () => {
    const flaky = remote(function* (to: number) {
      for (let n = 0; n < to; n += 1) {
        if (n === 10 && getRuntimeContext().attempt < 2) throw new Error("again");
        yield n;
      }
    }, { retryExceptions: true });
    expect(await all(flaky.remote(30))).toEqual(numbers(30));
  });
});

class Feed {
  #given = 0;
  *upTo(to: number) {
    for (let n = 0; n < to; n += 1) {
      this.#given += 1;
      yield n;
    }
  }
  async *dying(to: number) {
    for (let n = 0; n < to; n += 1) {
      if (n === 20 && !getRuntimeContext().restarted) process.kill(process.pid, "SIGKILL");
      yield n;
    }
  }
  given() {
    return this.#given;
  }
}
const FeedActor = remote(Feed);

describe("an actor's generator", () => {
  test("streams like a task, with back-pressure, and its state is the actor's", async () => {
    const feed = FeedActor.options({ maxConcurrency: 2 }).remote();
    expect(await all(feed.upTo.remote(40))).toEqual(numbers(40));
    expect(await get(feed.given.remote())).toBe(40);
    const stream = feed.upTo.options({ streamBackpressure: 2 }).remote(100);
    await until(async () => (await get(feed.given.remote())) === 42);
    await delay(100);
    expect(await get(feed.given.remote())).toBe(42);
    await stream.return();
    expect(await all(feed.upTo.remote(3))).toEqual([0, 1, 2]);
    const text = remote(async (box: { feed: typeof feed }) => (await all(box.feed.upTo.remote(4))).join());
    expect(await get(text.remote({ feed }))).toBe("0,1,2,3");
  });

  test("that is cancelled, or left, lets the next call in", async () => {
    const feed = FeedActor.remote();
    const stream = feed.upTo.options({ streamBackpressure: 1 }).remote(100);
    await stream.next();
    const given = feed.given.remote();
    await cancel(stream);
    expect(await errorOf((await stream.next()).value as ObjectRef)).toBeInstanceOf(TaskCancelledError);
    expect(await get(given)).toBeGreaterThan(0);
    for await (const _ of feed.upTo.remote(100)) break;
    expect(await get(feed.given.remote())).toBeGreaterThan(0);
  });

  test("goes on after a crash with maxTaskRetries, each item once; without, the failure is the last item", async () => {
    const lasting = FeedActor.options({ maxRestarts: 1, maxTaskRetries: 1 }).remote();
    expect(await all(lasting.dying.remote(50))).toEqual(numbers(50));
    const fragile = FeedActor.options({ maxRestarts: 1 }).remote();
    const refs: ObjectRef<number>[] = [];
    for await (const ref of fragile.dying.remote(50)) refs.push(ref);
    expectFirst(await get(refs.slice(0, -1)));
    expect(await errorOf(refs.at(-1) as ObjectRef)).toBeInstanceOf(ActorUnavailableError);
    await ready(fragile);
  });
});

test("an actor that reads its own stream in a call that keeps it busy is told so", async () => {
  const own = remote(class Own {
    *items() {
      yield 1;
    }
    async sum(box: { own: { items: { remote(): ObjectRefStream<number> } } }) {
      return (await all(box.own.items.remote())).length;
    }
  });
  const busy = own.remote();
  await expect(get(busy.sum.remote({ own: busy }))).rejects.toThrow(ActorDeadlockError);
  const open = own.options({ maxConcurrency: 2 }).remote();
  expect(await get(open.sum.remote({ own: open }))).toBe(1);
});

describe("a stream that was sent", () => {
  const sum = remote(async (stream: ObjectRefStream<number>) => (await all(stream)).reduce((a, b) => a + b, 0));

  test("is read by a task, also from where another stopped", async () => {
    expect(await get(sum.remote(count.remote(100)))).toBe(4950);
    const stream = count.remote(100);
    for (let n = 0; n < 10; n += 1) await stream.next();
    const takes = remote(async (given: ObjectRefStream<number>) => get((await given.next()).value as ObjectRef<number>));
    expect(await get(takes.remote(stream))).toBe(10);
    expect(await get(takes.remote(stream))).toBe(11);
    const inside = remote((box: { stream: ObjectRefStream<number> }) => run(sum, box.stream));
    expect(await get(inside.remote({ stream }))).toBe(4950 - 66);
    expect((await stream.next()).done).toBe(true);
  });

  test("to several: each item goes to one of them", async () => {
    const stream = count.remote(200);
    const reads = remote(async (given: ObjectRefStream<number>) => all(given));
    const parts = await get(numbers(3).map(() => reads.remote(stream)));
    expect(parts.flat().sort((a, b) => a - b)).toEqual(numbers(200));
    for (const part of parts) expect(part).toEqual([...part].sort((a, b) => a - b));
  });

  test("with large items, an error at the end, and to a reader that leaves", async () => {
    const large = remote(function* () {
      for (let n = 0; n < 5; n += 1) yield new Float64Array(100_000).fill(n);
      throw new Error("that is all");
    });
    const reads = remote(async (given: ObjectRefStream<Float64Array>) => {
      const firsts: (number | string)[] = [];
      for await (const ref of given) firsts.push(await get(ref).then((one) => one[99_999], (error: Error) => error.message));
      return firsts;
    });
    expect(await get(reads.remote(large.remote()))).toEqual([0, 1, 2, 3, 4, "that is all"]);
    const notes = notebook();
    const leaves = remote(async (given: ObjectRefStream<number>) => {
      for await (const ref of given) if ((await get(ref)) === 3) break;
      return readFileSync(process.env.NOTES ?? "", "utf8").split("\n").at(-2);
    }, { runtimeEnv: { envVars: { NOTES: notes.path } } });
    expect(await get(leaves.remote(noted.remote(notes.path, 1000)))).toBe("finally, TaskCancelledError");
  });

  test("to a reader that dies: the next one reads on, and each item comes once at most", async () => {
    const stream = count.remote(60);
    const reader = remote(async (given: ObjectRefStream<number>, path: string) => {
      for await (const ref of given) {
        const n = await get(ref);
        appendFileSync(path, `${n}\n`);
        if (n === 20) process.kill(process.pid, "SIGKILL");
      }
    });
    const notes = notebook();
    await get(reader.remote(stream, notes.path));
    expect(notes.lines().map(Number)).toEqual(numbers(60));
  });

  test("and whose owner dies has that for its last item", async () => {
    const owner = remote(class Owner {
      make(path: string) {
        return { stream: noted.remote(path, 1000), pid: process.pid };
      }
    }).remote();
    const notes = notebook();
    const { stream, pid } = await get(owner.make.remote(notes.path));
    expect(await get((await stream.next()).value as ObjectRef)).toBe(0);
    process.kill(pid, "SIGKILL");
    const refs: ObjectRef[] = [];
    for await (const ref of stream) refs.push(ref);
    expect(await errorOf(refs.at(-1) as ObjectRef)).toMatchObject({ name: "OwnerDiedError" });
  });
});
