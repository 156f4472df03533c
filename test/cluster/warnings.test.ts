// What programs are told when they fall into a known trap: once a place, with the place, and not when they don't.

import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { cancel, get, init, put, ready, remote, run, shutdown } from "troupe";
import { dag, task } from "troupe/dag";
import { until } from "../until.ts";

const warnings: (Error & { code?: string })[] = [];
const heard = (warning: Error) => void warnings.push(warning);

beforeAll(async () => {
  process.env.TROUPE_LONG_WAIT_MS = "200";
  process.on("warning", heard);
  await init({ numCpus: 2, resources: { seat: 1 } });
});
afterAll(async () => {
  await shutdown();
  process.off("warning", heard);
  delete process.env.TROUPE_LONG_WAIT_MS;
  delete process.env.TROUPE_WARNINGS;
});
beforeEach(() => {
  warnings.length = 0;
});

/** Warnings come in the next turn. */
async function told(code: string): Promise<string[]> {
  await new Promise((resolve) => setImmediate(resolve));
  return warnings.filter((warning) => warning.code === code).map((warning) => warning.message);
}

/** The line of this call, as warnings name it. */
function place(linesOn: number): RegExp {
  const line = Number(/warnings\.test\.ts:(\d+)/.exec(String(new Error().stack).split("\n")[2])?.[1]) + linesOn;
  return new RegExp(`^test/cluster/warnings\\.test\\.ts:${line}:\\d+ `);
}

const twice = remote((n: number) => n * 2);

test("a get in a loop, once, with the line of the get", async () => {
  const here = place(1);
  for (let n = 0; n < 250; n += 1) await get(twice.remote(n));
  const [text, ...more] = await told("TROUPE_GET_IN_LOOP");
  expect(text).toMatch(here);
  expect(text).toContain("waits for one task before it submits the next");
  expect(more).toEqual([]);
  // The same at another place; and no trap at all.
  for (let n = 0; n < 110; n += 1) await run(twice, n);
  expect(await told("TROUPE_GET_IN_LOOP")).toHaveLength(2);
  for (let n = 0; n < 110; n += 1) await get([twice.remote(n), twice.remote(n)]);
  expect(await told("TROUPE_GET_IN_LOOP")).toHaveLength(2);
});

test("the same large argument in every call; not a buffer that is filled anew, and not a ref", async () => {
  const table = new Float64Array(300_000).fill(1);
  const sum = remote((data: Float64Array, at: number) => data[at]);
  const here = place(1);
  await get(Array.from({ length: 20 }, (_, at) => sum.remote(table, at)));
  const [text, ...more] = await told("TROUPE_REPEATED_ARGUMENT");
  expect(text).toMatch(here);
  expect(text).toContain("sends the same value (args[0], 2.3 MiB) again");
  expect(more).toEqual([]);
  const buffer = new Float64Array(300_000);
  const fresh = Array.from({ length: 20 }, (_, at) => sum.remote(buffer.fill(at), at));
  const ref = await put(table);
  await get([...fresh, ...Array.from({ length: 20 }, (_, at) => sum.remote(ref, at))]);
  expect(await told("TROUPE_REPEATED_ARGUMENT")).toHaveLength(1);
});

test("tasks that are smaller than their way", async () => {
  for (let round = 0; round < 6; round += 1) await get(Array.from({ length: 1000 }, (_, n) => twice.remote(n)));
  const [text, ...more] = await told("TROUPE_TINY_TASKS");
  expect(text).toMatch(/^the code of "twice" takes \d+ µs, .*called at test\/cluster\/warnings\.test\.ts:\d+:\d+/);
  expect(more).toEqual([]);
});

test("a wait that can never end, with what it lacks; not one that only takes long", async () => {
  const never = remote(() => 1, { resources: { unheard: 1 }, throwOnInfeasible: false }).remote();
  const here = place(1);
  const waiting = get(never).catch(() => {});
  await until(async () => (await told("TROUPE_ENDLESS_WAIT")).length > 0);
  const [text] = await told("TROUPE_ENDLESS_WAIT");
  expect(text).toMatch(here);
  expect(text).toMatch(/waits for what may never come: .*unheard/s);
  await cancel(never);
  await waiting;
  class Holder {
    hold() {
      return 1;
    }
  }
  const holder = remote(Holder, { resources: { seat: 1 } }).remote();
  await ready(holder);
  const stuck = remote(() => 1, { resources: { seat: 1 } }).remote();
  const also = get(stuck).catch(() => {});
  await until(async () => (await told("TROUPE_ENDLESS_WAIT")).length > 1);
  expect((await told("TROUPE_ENDLESS_WAIT"))[1]).toContain("actors or placement groups hold what it needs");
  await cancel(stuck);
  await also;
  expect(await run(remote(() => new Promise((resolve) => setTimeout(resolve, 700, 7))))).toBe(7);
  expect(await told("TROUPE_ENDLESS_WAIT")).toHaveLength(2);
});

test("what a graph waits for, one after the other, is no line of the user's", async () => {
  const chain = task("chain", (n: number) => n, { maxActivePerRun: 1 });
  await (await dag("chain", () => chain.expand({ n: Array.from({ length: 120 }, (_, i) => i) })).run()).done();
  expect(await told("TROUPE_GET_IN_LOOP")).toEqual([]);
});

test("TROUPE_WARNINGS=off", async () => {
  process.env.TROUPE_WARNINGS = "off";
  for (let n = 0; n < 250; n += 1) await get(twice.remote(n));
  expect(await told("TROUPE_GET_IN_LOOP")).toEqual([]);
});
