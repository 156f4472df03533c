// sql and stores on a real cluster: tables go from worker to worker, and a file is written by one process at a time.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Table } from "apache-arrow";
import { init, shutdown } from "troupe";
import { dag, defineStore, listFiles, loadFile, sql, task } from "troupe/dag";
import { afterAll, beforeAll, expect, test } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "dag-sql-"));
beforeAll(() => init({ numCpus: 3 }));
afterAll(async () => {
  await shutdown();
  rmSync(folder, { recursive: true });
});

const rowsOf = (table: Table): object[] => table.toArray().map((row: { toJSON(): object }) => row.toJSON());

test("tables of other tasks are sources, and results stay in the store", async () => {
  const files = defineStore("tables", { dir: folder });
  await files.put("a.csv", "k,v\na,1\nb,2\na,3\n");
  const total = task("total", (table: Table) => Number(table.getChild("v")!.get(0)));
  const run = await dag("tables", () => {
    const rows = loadFile({ store: files, key: "a.csv" });
    const sum = sql()`select sum(v)::integer as v from ${rows} where k = ${"a"}`;
    return { of: total(sum), files: listFiles({ store: "tables" }) };
  }).run();
  expect(await run.result()).toMatchObject({ of: 4, files: [{ key: "a.csv" }] });
});

test("processes that write one file wait for each other, also beside each other's pools", async () => {
  const conn = `duckdb://${join(folder, "shared.db")}`;
  const made = await dag("make", () => sql(conn)`create table t (n integer)`).run();
  await made.result();
  const write = (id: string) => dag(id, () => {
    for (let i = 0; i < 6; i += 1) sql(conn, { pool: undefined, id: `w${i}` })`insert into t values (${i})`;
  });
  const runs = await Promise.all(["one", "two"].map((id) => write(id).run()));
  for (const run of runs) await run.result();
  const read = await dag("read", () => sql(conn)`select count(*)::integer as rows, sum(n)::integer as n from t`).run();
  expect(rowsOf((await read.result()) as Table)).toEqual([{ rows: 12, n: 30 }]);
});
