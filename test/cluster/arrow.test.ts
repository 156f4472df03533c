// Arrow tables: how often their bytes are copied, and those of a program that a loader runs, where the class that is imported is
// not the one require() gives.

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type Table, tableFromArrays } from "apache-arrow";
import { get, init, list, put, remote, shutdown } from "troupe";
import { afterEach, expect, test } from "vitest";

const PROGRAM = fileURLToPath(new URL("./fixtures/arrow-program.ts", import.meta.url));

afterEach(() => shutdown());

function columnsOf(table: Table): Float64Array[] {
  return table.batches.flatMap(({ data }) => data.children).map(({ values }) => values as Float64Array);
}

async function madeBytes(): Promise<number> {
  return (await list.stores()).reduce((sum, store) => sum + store.madeBytes, 0);
}

test("a table of 100 MB is copied once, into the store, and read where it lies there", async () => {
  await init({ numCpus: 1, objectStoreMemory: "512MiB" });
  const rows = 6_250_000;
  const bytes = 2 * 8 * rows;
  const columns = { x: new Float64Array(rows).fill(1.5), y: new Float64Array(rows).fill(2.5) };
  const table = tableFromArrays(columns);
  const madeBefore = await madeBytes();
  const { arrayBuffers } = process.memoryUsage();
  const ref = await put(table);
  // A copy on the way would be memory of this process, or another object.
  expect(process.memoryUsage().arrayBuffers - arrayBuffers).toBeLessThan(bytes / 100);
  expect(await madeBytes() - madeBefore).toBeLessThan(bytes * 1.01);

  const [written, seen] = [columnsOf(await get(ref)), columnsOf(await get(ref))];
  expect(written.reduce((sum, { byteLength }) => sum + byteLength, 0)).toBe(bytes);
  // Two reads have the same memory: the store's. What is written to it stays in this process.
  for (const [i, column] of written.entries()) {
    column[0] = 7;
    column[rows - 1] = 8;
    expect([seen[i][0], seen[i][rows - 1]]).toEqual([7, 8]);
  }
  const others = remote((given: Table) => [given.get(0)?.x, given.get(0)?.y, process.memoryUsage().arrayBuffers] as const);
  const [x, y, held] = await get(others.remote(ref as never));
  expect([x, y]).toEqual([1.5, 2.5]);
  expect(held).toBeLessThan(bytes / 2);
});

test.each([
  ["the driver alone", ["--import", "tsx"], ""],
  ["every process", [], "--import tsx"],
])("tables travel where a loader is at work in %s, and come back as the program's own", async (_where, args, NODE_OPTIONS) => {
  const env = { ...process.env, NODE_OPTIONS };
  const { stdout } = await promisify(execFile)(process.execPath, [...args, PROGRAM], { env });
  expect(stdout).toBe("true 3 true\n");
});
