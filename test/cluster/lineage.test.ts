// Objects whose node dies, with real nodes that are killed: copies are used, tasks run again, once each, and what can't be made
// again says why.

import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  ActorDiedError, get, getRuntimeContext, list, NodeDiedError, ObjectLostError, onNode, OwnerDiedError, put,
  ReconstructionFailedError, remote, run, wait, type ObjectRef,
} from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";

const BYTES = 300_000;
const folder = mkdtempSync(join(tmpdir(), "lineage-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let cluster: TestCluster;
let first: string;
let log: string;
let tests = 0;

beforeEach(async () => {
  cluster = await testCluster({ head: { numCpus: 2 } });
  await cluster.connect();
  first = await cluster.addNode({ numCpus: 2, resources: { first: 10 } });
  // Every agent knows of it by then.
  await run(remote(() => {}, { schedulingStrategy: onNode(first) }));
  log = join(folder, `runs-${(tests += 1)}`);
});
afterEach(() => cluster.stop());

/** There while that node lives, else anywhere. */
const there = () => ({ schedulingStrategy: onNode(first, { soft: true }) });
const kill = () => cluster.removeNode(first, { graceful: false });

function runs(name: string): number {
  return readFileSync(log, "utf8").split("\n").filter((line) => line === name).length;
}

/** Tasks that tell each run, and make what tells who gave what. */
function tasks() {
  const file = log;
  const tell = (name: string) => appendFileSync(file, `${name}\n`);
  const made = (value: number) => new Uint8Array(BYTES).fill(value);
  return {
    source: remote((value: number) => {
      tell(`source ${value}`);
      return made(value);
    }, there()),
    next: remote((before: Uint8Array) => {
      tell(`next ${before[0]}`);
      return made(before[0] + 1);
    }, there()),
    sum: remote((...all: Uint8Array[]) => all.reduce((sum, one) => sum + one[0], 0)),
  };
}

describe("what tasks made", () => {
  test("is made again by its task, once, however many read it", async () => {
    const { source, sum } = tasks();
    const ref = source.remote(7);
    await wait([ref], { fetchLocal: false });
    await kill();
    const reads = Array.from({ length: 5 }, () => get(ref));
    const taken = Array.from({ length: 5 }, () => run(sum, ref));
    const inside = run(remote(async ([inner]: ObjectRef<Uint8Array>[]) => (await get(inner))[0]), [ref]);
    expect((await Promise.all(reads)).map((value) => [value.length, value[0]])).toEqual(Array(5).fill([BYTES, 7]));
    expect(await Promise.all(taken)).toEqual(Array(5).fill(7));
    expect(await inside).toBe(7);
    expect(runs("source 7")).toBe(2);
  });

  test("is made again from what its task was given, though nobody holds that any more; what nobody asks for is not", async () => {
    const { source, next } = tasks();
    const other = source.remote(50);
    let last: ObjectRef<Uint8Array> = source.remote(1);
    for (let step = 0; step < 5; step += 1) {
      const before = last;
      last = next.remote(before);
      before.release();
    }
    await wait([last, other], { numReturns: 2, fetchLocal: false });
    await kill();
    expect((await get(last))[0]).toBe(6);
    for (const step of [1, 2, 3, 4, 5]) expect(runs(`next ${step}`)).toBe(2);
    expect(runs("source 1")).toBe(2);
    expect(runs("source 50")).toBe(1);
  });

  test("comes together when one task made several; wait sees it", async () => {
    const file = log;
    const pair = remote(() => {
      appendFileSync(file, "pair\n");
      return [new Uint8Array(300_000).fill(1), new Uint8Array(300_000).fill(2)];
    }, { ...there(), numReturns: 2 });
    const [one, two] = pair.remote() as unknown as ObjectRef<Uint8Array>[];
    await wait([one, two], { numReturns: 2, fetchLocal: false });
    await kill();
    expect(await wait([one, two], { numReturns: 2 })).toEqual({ ready: [one, two], pending: [] });
    expect([(await get(one))[0], (await get(two))[0], runs("pair")]).toEqual([1, 2, 2]);
  });

  test("is made again for a task that was given it, and that alone has the CPU", async () => {
    const { source } = tasks();
    const ref = source.remote(3);
    await wait([ref], { fetchLocal: false });
    // The task is pushed with a place on a node that dies before it starts.
    const slow = remote(async (ms: number) => new Promise<void>((resolve) => void setTimeout(resolve, ms)), { numCpus: 2 });
    const read = remote((value: Uint8Array) => value[0], { numCpus: 2 });
    const busy = slow.remote(1500);
    const results = [read.remote(ref), read.remote(ref)];
    await kill();
    await get(busy);
    expect(await get(results)).toEqual([3, 3]);
  });

  test("is found when another node has a copy: nothing runs again", async () => {
    const { source } = tasks();
    const ref = source.remote(9);
    const second = await cluster.addNode({ numCpus: 1 });
    const look = remote((value: Uint8Array) => value[0], { schedulingStrategy: onNode(second) });
    expect(await run(look, ref)).toBe(9);
    await kill();
    expect((await get(ref))[0]).toBe(9);
    expect(runs("source 9")).toBe(1);
  });

  test("is made again for a process that borrows it", async () => {
    const { source } = tasks();
    class Keeper {
      #kept: ObjectRef<Uint8Array>[] = [];
      keep(refs: ObjectRef<Uint8Array>[]) {
        this.#kept = refs;
      }
      async read() {
        return (await get(this.#kept[0]))[0];
      }
    }
    const keeper = remote(Keeper).options({ resources: { head: 0 }, numCpus: 0 }).remote();
    const ref = source.remote(4);
    await wait([ref], { fetchLocal: false });
    await get(keeper.keep.remote([ref]));
    await kill();
    expect(await Promise.all([get(keeper.read.remote()), get(keeper.read.remote())])).toEqual([4, 4]);
    expect(runs("source 4")).toBe(2);
  });
});

describe("items of a stream", () => {
  const items = () => {
    const file = log;
    return remote(function* items(count: number, size: number) {
      appendFileSync(file, "run\n");
      try {
        for (let n = 1; n <= count; n += 1) yield new Uint8Array(size).fill(n);
      } finally {
        appendFileSync(file, "end\n");
      }
    }, { ...there(), streamBackpressure: 4 });
  };

  test("are made again when the generator has ended: it runs once more, no further than the last that is wanted", async () => {
    const refs: ObjectRef<Uint8Array>[] = [];
    for await (const ref of items().remote(6, BYTES)) refs.push(ref);
    const inside = run(remote(async (some: ObjectRef<Uint8Array>[]) => {
      await new Promise((resolve) => setTimeout(resolve, 1500));
      return (await get(some)).map((value) => value[0]);
    }, { numCpus: 0 }), refs.slice(0, 2));
    await kill();
    expect((await get(refs.slice(0, 4))).map((value) => [value.length, value[0]])).toEqual([1, 2, 3, 4].map((n) => [BYTES, n]));
    expect(await inside).toEqual([1, 2]);
    expect((await get(refs)).map((value) => value[0])).toEqual([1, 2, 3, 4, 5, 6]);
    expect(runs("run")).toBe(2);
    expect(runs("end")).toBe(2);
  });

  test("are made again while it goes on, here and for a reader elsewhere; each comes once", async () => {
    const stream = items().remote(9, BYTES);
    const taken: ObjectRef<Uint8Array>[] = [];
    for await (const ref of stream) {
      taken.push(ref);
      if (taken.length === 3) break;
    }
    expect((await get(taken)).map((value) => value[0])).toEqual([1, 2, 3]);
    const going = items().remote(9, BYTES);
    const first3: ObjectRef<Uint8Array>[] = [];
    const iterator = going[Symbol.asyncIterator]();
    for (let n = 0; n < 3; n += 1) first3.push((await iterator.next()).value as ObjectRef<Uint8Array>);
    await kill();
    const elsewhere = run(remote(async (rest: typeof going) => {
      const seen: number[] = [];
      for await (const ref of rest) seen.push((await get(ref))[0]);
      return seen;
    }, { numCpus: 0 }), going);
    expect((await get(first3)).map((value) => value[0])).toEqual([1, 2, 3]);
    expect((await get(taken)).map((value) => value[0])).toEqual([1, 2, 3]);
    expect(await elsewhere).toEqual([4, 5, 6, 7, 8, 9]);
  });

  test("that may not be made again say so", async () => {
    const refs: ObjectRef<Uint8Array>[] = [];
    for await (const ref of items().options({ maxRetries: 0 }).remote(2, BYTES)) refs.push(ref);
    await kill();
    await expect(get(refs[1])).rejects.toThrow(/is lost \(node .*no other node has a copy\), and can't be made.*maxRetries/);
    await expect(get(refs[1])).rejects.toThrow(ObjectLostError);
  });

  test("of an actor are made again by it, where its calls may be repeated", async () => {
    class Source {
      async *items(count: number) {
        for (let n = 1; n <= count; n += 1) yield new Uint8Array(300_000).fill(n);
      }
    }
    const source = remote(Source).options({ ...there(), maxRestarts: 1, maxTaskRetries: 1 }).remote();
    const refs: ObjectRef<Uint8Array>[] = [];
    for await (const ref of source.items.remote(3)) refs.push(ref);
    await kill();
    expect((await get(refs)).map((value) => value[0])).toEqual([1, 2, 3]);
  });
});

test("what was given by value is there for a run that makes the result again, and goes with the result", async () => {
  const { next } = tasks();
  const many = remote((...values: Uint8Array[]) => new Uint8Array(300_000).fill(values.length), there());
  const ref = next.remote(new Uint8Array(BYTES).fill(3));
  const parts = Array.from({ length: 80 }, (_, index) => new Uint8Array(120_000).fill(index));
  const all = many.remote(...parts);
  await wait([ref, all], { numReturns: 2, fetchLocal: false });
  await kill();
  expect([(await get(ref))[0], (await get(all))[0], runs("next 3")]).toEqual([4, 80, 2]);
  ref.release();
  all.release();
  await expect.poll(async () => (await list.stores()).map(({ objects }) => objects)).toEqual([0]);
});

test("what a task makes differently the second time is used, with a warning that names the task", async () => {
  const file = log;
  const different = remote(function different() {
    appendFileSync(file, "x");
    return new Uint8Array(300_000).fill(readFileSync(file, "utf8").length);
  }, there());
  const same = remote(function same() {
    return new Uint8Array(300_000).fill(1);
  }, there());
  const refs = [different.remote(), same.remote()];
  await wait(refs, { numReturns: 2, fetchLocal: false });
  const warnings: Error[] = [];
  const listen = (warning: Error) => {
    if ((warning as Error & { code?: string }).code === "TROUPE_OTHER_RESULT") warnings.push(warning);
  };
  process.on("warning", listen);
  try {
    await kill();
    expect((await get(refs)).map((value) => value[0])).toEqual([2, 1]);
    await expect.poll(() => warnings).toHaveLength(1);
    expect(warnings[0].message).toMatch(/^"different" was run again/);
  } finally {
    process.off("warning", listen);
  }
});

describe("what can't be made again says why", () => {
  test("a put, and what was made from it", async () => {
    const { next } = tasks();
    const putting = remote(async () => {
      return [getRuntimeContext().nodeId, await put(new Uint8Array(300_000).fill(5))] as const;
    }, there());
    const [node, inner] = await run(putting);
    expect(node).toBe(first);
    const made = next.remote(inner);
    await wait([made], { fetchLocal: false });
    await kill();
    await expect(get(inner).then(({ length }) => length)).rejects.toThrow(OwnerDiedError);
    const error = await get(made).catch((thrown: unknown) => thrown as Error);
    expect(error).toBeInstanceOf(ReconstructionFailedError);
    expect((error as Error).cause).toBeInstanceOf(OwnerDiedError);
  });

  test("no retries, and none left", async () => {
    const { source } = tasks();
    const never = source.options({ maxRetries: 0 }).remote(1);
    const once = source.options({ maxRetries: 1 }).remote(2);
    await wait([never, once], { numReturns: 2, fetchLocal: false });
    await kill();
    await expect(get(never)).rejects.toThrow(/^object \S+ is lost \(node \w+ died: .*\), and can't be made again: .*maxRetries/);
    await expect(get(never)).rejects.toThrow(ObjectLostError);
    first = await cluster.addNode({ numCpus: 1 });
    expect((await get(once))[0]).toBe(2);
    expect(runs("source 2")).toBe(2);
    await expect(get(never)).rejects.not.toThrow(NodeDiedError);
  });

  test("a task that fails when it runs again", async () => {
    const file = log;
    const fickle = remote(() => {
      const before = readFileSync(file, { encoding: "utf8", flag: "a+" }).length;
      appendFileSync(file, "x");
      if (before > 0) throw new RangeError("not twice");
      return new Uint8Array(300_000);
    }, there());
    const ref = fickle.remote();
    await wait([ref], { fetchLocal: false });
    await kill();
    const error = await get(ref).catch((thrown: unknown) => thrown as Error);
    expect(error).toBeInstanceOf(ReconstructionFailedError);
    expect((error as Error).cause).toMatchObject({ message: expect.stringContaining("not twice") });
  });
});

test("a borrower hears of its owner's death, waiting or not", async () => {
  class Owner {
    async lend() {
      return [await put(new Uint8Array(300_000)), remote(() => new Promise(() => {})).options({ numCpus: 0 }).remote()];
    }
    pid() {
      return process.pid;
    }
  }
  const owner = remote(Owner).options({ schedulingStrategy: onNode(first) }).remote();
  const [stored, never] = await get(owner.lend.remote());
  const pid = await get(owner.pid.remote());
  const waiting = get(never).then(() => "value", (error: unknown) => error);
  process.kill(pid, "SIGKILL");
  expect(await waiting).toBeInstanceOf(OwnerDiedError);
  await expect(get(stored)).rejects.toThrow(OwnerDiedError);
});

describe("what an actor made", () => {
  class Maker {
    made = 0;
    make(value: number) {
      this.made += 1;
      return new Uint8Array(300_000).fill(value);
    }
    count() {
      return this.made;
    }
  }

  test("is made again by the actor, where its calls may be repeated", async () => {
    const maker = remote(Maker).options({ ...there(), maxRestarts: 1, maxTaskRetries: 1 }).remote();
    const ref = maker.make.remote(6);
    const never = maker.make.options({ maxTaskRetries: 0 }).remote(7);
    await wait([ref, never], { numReturns: 2, fetchLocal: false });
    await kill();
    expect((await get(ref))[0]).toBe(6);
    await expect(get(never)).rejects.toThrow(ObjectLostError);
    expect(await get(maker.count.remote())).toBe(1);
  });

  test("is lost when the actor is dead", async () => {
    const maker = remote(Maker).options({ ...there(), maxTaskRetries: 1 }).remote();
    const ref = maker.make.remote(6);
    await wait([ref], { fetchLocal: false });
    await kill();
    const error = await get(ref).catch((thrown: unknown) => thrown as Error);
    expect(error).toBeInstanceOf(ReconstructionFailedError);
    expect((error as Error).cause).toBeInstanceOf(ActorDiedError);
  });
});
