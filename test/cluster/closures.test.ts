// Functions as a program writes them, on a cluster of real processes: what they capture of the cluster itself, and how their
// errors look here.

import { tableFromArrays, type Table } from "apache-arrow";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CaptureError, get, init, list, put, registerSerializer, remote, run, shutdown, TaskError } from "troupe";

beforeAll(async () => {
  await init({ numCpus: 2, objectStoreMemory: "256MiB" });
});
afterAll(() => shutdown());

test("a captured ref, an actor handle and another remote function are used inside", async () => {
  const data = await put(new Float64Array([1, 2, 3]));
  const Tally = remote(class Tally {
    total = 0;
    add(n: number): number {
      return (this.total += n);
    }
  });
  const tally = Tally.remote();
  const sum = remote((values: Float64Array) => values.reduce((a, b) => a + b, 0));
  const report = remote(async (by: number) => {
    const total = await get(sum.remote(data));
    return get(tally.add.remote(total * by));
  });
  expect(await get([report.remote(1), report.remote(2)])).toEqual(expect.arrayContaining([18]));
  expect(await get(tally.add.remote(0))).toBe(18);
});

test("a captured Arrow table of words, and an instance with a serializer of its own", async () => {
  const table: Table = tableFromArrays({ word: ["a", "b", "a"], n: Int32Array.from([1, 2, 3]) });
  const words = remote(() => table.toArray().map((row) => `${String(row?.word)}${String(row?.n)}`).join());
  expect(await run(words)).toBe("a1,b2,a3");
  const socket = new Connection("db");
  registerSerializer(Connection, { serialize: ({ name }) => name, deserialize: (name) => new Connection(name) });
  expect(await run(remote(() => [socket.name, socket.query()]))).toEqual(["db", "db: open"]);
});

class Connection {
  readonly name: string;
  readonly native = setTimeout(() => {}, 0).unref();
  constructor(name: string) {
    this.name = name;
  }
  query(): string {
    return `${this.name}: open`;
  }
}

test("an error names the file and line it was thrown at, also where the text changed on its way", async () => {
  let attempts = 0;
  const failing = remote(() => { attempts++; throw new RangeError("from afar"); }, { maxRetries: 0 });
  const here = new Error("here").stack?.split("\n")[1] ?? "";
  const line = Number(/closures\.test\.ts:(\d+):/.exec(here)?.[1]) - 1;
  const error = await run(failing).catch((one: unknown) => one);
  expect(error).toBeInstanceOf(TaskError);
  expect(error).toBeInstanceOf(RangeError);
  expect((error as Error).stack).toMatch(new RegExp(`closures\\.test\\.ts:${line}:52\\b`));
  expect(attempts).toBe(0);
});

test("tasks of functions without a name are listed by the variable they were made for", async () => {
  const squares = remote((x: number) => x * x);
  expect(await run(squares, 3)).toBe(9);
  await expect.poll(async () => (await list.tasks()).map(({ name }) => name)).toContain("squares");
});

test("what can't travel is refused before anything is sent, with the way to it", async () => {
  const state = { deep: { timer: setTimeout(() => {}, 0) } };
  const job = remote(() => state.deep.timer);
  expect(() => job.remote()).toThrow(CaptureError);
  const error = await Promise.resolve().then(() => job.remote()).catch((one: unknown) => one);
  const code = "CAPTURE_HANDLE";
  expect(error).toMatchObject({ code, captureCode: code, variable: "timer", path: ["job", "state", ".deep", ".timer"] });
  // It is the same class and code wherever it goes.
  expect(await run(remote((one: unknown) => one), error)).toMatchObject({ code });
  expect(await run(remote((one: unknown) => one), error)).toBeInstanceOf(CaptureError);
});
