// sql, listFiles and loadFile: tables in, tables out, with every type; files of each format from each kind of store.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { DuckDBInstance } from "@duckdb/node-api";
import {
  Binary, Bool, DateDay, Decimal, Dictionary, Float32, Int8, Int32, Int64, makeTable, makeVector, RecordBatch, Table,
  tableFromArrays, tableToIPC, TimestampMillisecond, Uint16, Utf8, type Vector, vectorFromArray,
} from "apache-arrow";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { dag, type DagRun, defineStore, group, listFiles, loadFile, sql, task, variable } from "../../dag/index.ts";
import { S3Server } from "./s3-server.ts";

const folder = mkdtempSync(join(tmpdir(), "sql-"));
const s3 = new S3Server();
beforeAll(() => s3.listen());
afterAll(async () => {
  await s3.close();
  rmSync(folder, { recursive: true });
});

const rowsOf = (table: Table): object[] => table.toArray().map((row: { toJSON(): object }) => row.toJSON());
const query = async (draw: () => unknown): Promise<Table> => {
  const run = (await dag("q", draw as () => never).test()) as DagRun<Table>;
  return run.result();
};
const reason = async (draw: () => unknown): Promise<string> => {
  const run = await dag("q", draw as () => never).test();
  return (await run.tasks()).find(({ state }) => state === "failed")!.reason!;
};

describe("sql", () => {
  test("binds values, whatever they hold, and reads tables and rows of other tasks", async () => {
    const flights = task("flights", () => tableFromArrays({ origin: ["ATL", "JFK", "ATL"], delay: Int16Array.of(5, 7, 30) }));
    const names = task("names", () => [{ code: "ATL", city: "Atlanta" }, { code: "JFK", city: "New York" }]);
    const found = await query(() => sql()`
      select city, sum(delay) as delay, count(*)::integer as n, ${"it's; drop table x --"} as note
      from ${flights()} f join ${names()} on code = origin
      where delay >= ${task("least", () => 5)()} and origin in (select unnest(${["ATL", "JFK"]})) group by city order by city`);
    expect(rowsOf(found)).toEqual([
      { city: "Atlanta", delay: 35, n: 2, note: "it's; drop table x --" },
      { city: "New York", delay: 7, n: 1, note: "it's; drop table x --" },
    ]);
    expect(rowsOf(await query(() => sql()`select 1::integer as a where not 'ATL' = any(${[]})`))).toEqual([{ a: 1 }]);
    const run = await dag("q", () => sql()`select ${{ a: 1 }}`).test();
    await expect(run.result()).rejects.toThrow(/{ a: 1 } can't be bound: bind its fields/);
    expect(() => dag("q", () => sql(5 as never)`select 1`)).toThrow(/sql: expected the name of a connection/);
  });

  test("every type goes in and comes out, with nulls and in several batches", async () => {
    const at = new Date("2026-01-02T03:04:05.678Z");
    const day = new Date("2026-01-02");
    const columns: Record<string, readonly [Vector, unknown[]]> = {
      i8: [vectorFromArray([-1, null], new Int8()), [-1, null]],
      u16: [makeVector(Uint16Array.of(65535, 1)), [65535, 1]],
      i32: [makeVector(Int32Array.of(-7, 7)), [-7, 7]],
      i64: [vectorFromArray([2n ** 62n, null], new Int64()), [2n ** 62n, null]],
      f32: [vectorFromArray([0.5, -0.25], new Float32()), [0.5, -0.25]],
      f64: [makeVector(Float64Array.of(1e300, -0.1)), [1e300, -0.1]],
      bool: [vectorFromArray([true, null], new Bool()), [true, null]],
      text: [vectorFromArray(["ü\u0000x", null], new Utf8()), ["ü\u0000x", null]],
      word: [vectorFromArray(["a", "b"], new Dictionary(new Utf8(), new Uint16())), ["a", "b"]],
      coded: [vectorFromArray([70_000, 5], new Dictionary(new Int32(), new Uint16())), [70_000, 5]],
      day: [vectorFromArray([day, null], new DateDay()), [day.getTime(), null]],
      time: [vectorFromArray([at, null], new TimestampMillisecond()), [at.getTime(), null]],
    };
    const given = new Table(Object.fromEntries(Object.entries(columns).map(([name, [vector]]) => [name, vector])));
    const twice = new Table([...given.batches, ...given.batches]);
    const found = await query(() => sql()`select * from ${task("given", () => twice)()}`);
    for (const [name, [, expected]] of Object.entries(columns)) {
      expect([...found.getChild(name)!], name).toEqual([...expected, ...expected]);
    }
    const blob = await query(() => sql()`select ${Uint8Array.of(1, 2)} as b, ${at} as t, 1.25::decimal(9,2) as d,
      [1, 2] as list, sum(x) as s from ${task("given", () => tableFromArrays({ x: Int32Array.of(2 ** 31 - 1, 1) }))()}`);
    expect(rowsOf(blob)).toEqual([{ b: Uint8Array.of(1, 2), t: at.getTime(), d: 1.25, list: "[1, 2]", s: 2 ** 31 }]);
    const bytes = vectorFromArray([Uint8Array.of(3)], new Binary());
    const decimal = vectorFromArray([Uint32Array.of(12345, 0, 0, 0)], new Decimal(2, 10, 128));
    const odd = await query(() => sql()`select * from ${task("odd", () => new Table({ bytes, decimal }))()}`);
    expect(rowsOf(odd)).toEqual([{ bytes: Uint8Array.of(3), decimal: 123.45 }]);
  });

  test("large tables pass in pieces, and only the columns that are asked for", async () => {
    const rows = 300_001;
    const part = (from: number, to: number): RecordBatch => {
      const x = Float64Array.from({ length: to - from }, (_, i) => from + i);
      return makeTable({ x, y: new Int32Array(to - from).fill(2) }).batches[0];
    };
    const table = new Table([part(0, 1000), part(1000, 200_000), part(200_000, rows)]);
    const found = await query(() => sql()`select x * 2 as x, x::bigint as n from ${task("t", () => table)()} order by x`);
    expect(found.numRows).toBe(rows);
    expect([found.getChild("x")!.get(200_000), found.getChild("n")!.get(rows - 1)]).toEqual([400_000, 300_000n]);
    expect(rowsOf(await query(() => sql()`select count(*)::int as n from ${task("t", () => table)()}`))).toEqual([{ n: rows }]);
    const none = await query(() => sql()`select * from ${task("t", () => table)()} where x < 0`);
    expect([none.numRows, none.schema.names]).toEqual([0, ["x", "y"]]);
  });

  test("a file keeps what was written; its queries take turns; a wrong query says what is wrong", async () => {
    process.env.TROUPE_CONN_RESULTS = `duckdb://${join(folder, "results.db")}`;
    const insert = (n: number) => sql("results")`insert into r values (${n})`;
    const run = await dag("writes", () => {
      const made = sql("results")`create table r (n integer)`;
      const all = Array.from({ length: 8 }, (_, i) => insert(i));
      made.before(...all);
      return sql("results", { id: "sum" })`select sum(n) as n, count(*)::int as rows from r`.after(...all);
    }).test();
    expect(rowsOf((await run.result()) as Table)).toEqual([{ n: 28, rows: 8 }]);
    const started = (await run.tasks()).filter(({ id }) => id.startsWith("sql"));
    expect(started).toHaveLength(9);
    expect(await reason(() => sql("results")`select * from nothing`)).toMatch(/nothing does not exist/);
    process.env.TROUPE_CONN_RESULTS = "postgres://a/b";
    expect(await reason(() => sql("results")`select 1`)).toMatch(/connection results is postgres:.*must be duckdb/);
    delete process.env.TROUPE_CONN_RESULTS;
    expect(await reason(() => sql("results")`select 1`)).toMatch(/connection results is not known/);
  });
});

describe("files", () => {
  const csv = "name,n,at\na,1,2026-01-01\n\"b, c\",2,2026-01-02\n";
  const rows = [{ name: "a", n: 1n }, { name: "b, c", n: 2n }];
  const contents = async (): Promise<Record<string, string | Uint8Array>> => {
    const parquet = join(folder, "it's.parquet");
    const instance = await DuckDBInstance.create();
    const database = await instance.connect();
    await database.run(`copy (from (values ('a', 1), ('b, c', 2)) t(name, n)) to '${parquet.replace("'", "''")}'`);
    instance.closeSync();
    return {
      "in/a.parquet": readFileSync(parquet),
      "in/a.csv": csv, "in/a.csv.gz": gzipSync(csv), "in/a.json": JSON.stringify([{ name: "a", n: 1 }, { name: "b, c", n: 2 }]),
      "in/deep/a.ndjson": '{"name":"a","n":1}\n{"name":"b, c","n":2}\n',
      "in/a.arrow": tableToIPC(new Table({ name: vectorFromArray(["a", "b, c"], new Utf8()), n: vectorFromArray([1n, 2n]) })),
    };
  };

  test.each([
    ["a folder", () => defineStore("files", { dir: join(folder, "files") })],
    ["S3", () => defineStore("files", { s3: s3.place() })],
  ])("in %s are listed, and loaded whatever their format", async (_, make) => {
    const files = make();
    for (const [key, content] of Object.entries(await contents())) await files.put(key, content);
    const read = task("read", (table: Table) => (
      rowsOf(table.select(["name", "n"])).map((row) => ({ ...row, n: BigInt((row as { n: number }).n) }))
    ));
    const run = await dag("loads", () => {
      const found = listFiles({ store: "files", prefix: "in/", pattern: "in/**/*.*" });
      const load = group("each", (key: string) => read(loadFile({ store: files, key })));
      return {
        keys: found.map(({ key }) => key),
        rows: load.expand({ key: found.map(({ key }) => key) }),
        direct: listFiles({ store: files, pattern: "in/*.csv" }, { id: "csvs" }).map(({ size }) => size),
      };
    }).test();
    const { keys, rows: found, direct } = (await run.result()) as { keys: string[]; rows: object[][]; direct: number[] };
    expect(keys).toEqual(["in/a.arrow", "in/a.csv", "in/a.csv.gz", "in/a.json", "in/a.parquet", "in/deep/a.ndjson"]);
    expect(found).toEqual(Array.from({ length: 6 }, () => rows));
    expect(direct).toEqual([csv.length]);
  });

  test("of a web server are loaded", async () => {
    const server = createServer((request, response) => void response.writeHead(request.url === "/d/a.csv" ? 200 : 404).end(csv));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    defineStore("web", { http: `http://127.0.0.1:${(server.address() as AddressInfo).port}/d` });
    expect(rowsOf(await query(() => loadFile({ store: "web", key: "a.csv", columns: ["name", "n"] })))).toEqual(rows);
    expect(await reason(() => loadFile({ store: "web", key: "b.csv" }))).toMatch(/store web has no file b.csv/);
    await new Promise((resolve) => server.close(resolve));
  });

  test("of the machine are loaded by their path, columns by name; what can't be told is said", async () => {
    const path = join(folder, "plain.csv");
    writeFileSync(path, csv);
    expect((await query(() => loadFile({ path, columns: ["at", "name"] }))).schema.names).toEqual(["at", "name"]);
    expect(await reason(() => loadFile({ path: join(folder, "x.bin") }))).toMatch(/can't be told by its name: give format/);
    expect(await reason(() => loadFile({ path: join(folder, "no.csv") }))).toMatch(/No files found/);
    expect(await reason(() => loadFile({ store: "none", key: "a.csv" }))).toMatch(/store none is not known/);
    expect(await reason(() => loadFile({}))).toMatch(/give \{ path \}, or \{ store, key \}/);
    const listed = await query(() => listFiles({ dir: folder, pattern: "plain.*" }) as never);
    expect(listed).toMatchObject([{ key: "plain.csv", size: csv.length }]);
  });
});

test("variables change one after the other, here without a cluster", async () => {
  const count = variable<number>("count");
  const add = task("add", (n: number) => count.update((before) => (before ?? 0) + n));
  const read = task("read", () => count.get());
  const run = await dag("counts", () => read().after(add.expand({ n: Array.from({ length: 20 }, (_, i) => i) }))).test();
  expect(await run.result()).toBe(190);
});

test("a package that is missing is named, and how to get it", () => {
  const hooks = `export async function resolve(specifier, context, next) {
    if (specifier !== "@duckdb/node-api") return next(specifier, context);
    throw Object.assign(new Error("Cannot find package"), { code: "ERR_MODULE_NOT_FOUND" });
  }`;
  const program = `import { register } from "node:module";
    register("data:text/javascript," + encodeURIComponent(${JSON.stringify(hooks)}));
    const { dag, sql } = await import(${JSON.stringify(new URL("../../dist/dag/index.js", import.meta.url).href)});
    const run = await dag("q", () => sql()\`select 1\`).test();
    console.log((await run.tasks())[0].reason);`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8" });
  expect(stdout.trim(), stderr).toBe("sql and loadFile need the package @duckdb/node-api: npm install @duckdb/node-api");
});
