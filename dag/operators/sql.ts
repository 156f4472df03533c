// sql: a query as a task. Values are bound, tables of other tasks are sources; the result is an Arrow table, which stays in
// the store.

import type { Table } from "apache-arrow";
import type { DuckDBValue } from "@duckdb/node-api";
import { describeValue } from "../../sdk/contract.ts";
import { InvalidArgumentError } from "../../sdk/index.ts";
import type { Node } from "../graph/node.ts";
import type { DagTaskOptions } from "../graph/options.ts";
import { pool } from "../graph/pool.ts";
import { isPlain } from "../graph/structure.ts";
import { task } from "../graph/task.ts";
import { ctx } from "../run/context.ts";
import { registerTable } from "../sql/arrow-scan.ts";
import { tableOf } from "../sql/arrow-result.ts";
import { IN_MEMORY, withDatabase } from "../sql/duckdb-file.ts";
import { type Arrow, type DuckDb, loadArrow, loadDuckDb } from "../sql/packages.ts";

export interface SqlTag {
  /** Values may be nodes: of numbers, texts, dates, lists of them; of Arrow tables and lists of rows. */
  (texts: TemplateStringsArray, ...values: readonly unknown[]): Node<Table>;
}

/**
 * Queries on a database of DuckDB: the name of a connection, `duckdb:///path/to/file`, or `duckdb:` for none but the tables
 * that are given. Unless another pool is named, the queries of a file run one after the other.
 */
export function sql(conn: string = IN_MEMORY, options: DagTaskOptions = {}): SqlTag {
  if (typeof conn !== "string" || conn === "") {
    throw new InvalidArgumentError(`sql: expected the name of a connection, or duckdb:///path, not ${describeValue(conn)}`);
  }
  const turns = conn === IN_MEMORY ? {} : { pool: pool(`sql:${conn}`, 1) };
  const query = task(options.id ?? "sql", runSql, { ...turns, ...options });
  return (texts, ...values) => query(conn, [...texts], [...values] as never);
}

export function runSql(conn: string, texts: readonly string[], values: readonly unknown[]): Promise<Table> {
  return withDatabase(conn, ctx().signal, async (database) => {
    const [duckdb, arrow] = await Promise.all([loadDuckDb(), loadArrow()]);
    const bound: DuckDBValue[] = [];
    const words = values.map((value, i) => {
      const table = tableFrom(value, arrow);
      // Nothing says of which type the elements of this one would be.
      if (Array.isArray(value) && value.length === 0) return "[]";
      if (table === undefined) return `$${bound.push(boundValue(value, duckdb))}`;
      registerTable(`table_${i + 1}`, table, database, duckdb, arrow);
      return `table_${i + 1}()`;
    });
    const query = texts.map((text, i) => (i === 0 ? text : words[i - 1] + text)).join("");
    return tableOf(await database.run(query, bound), duckdb, arrow);
  });
}

/** Of Arrow tables, and of lists of plain objects. */
function tableFrom(value: unknown, { tableFromJSON }: Arrow): Table | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if ("schema" in value && "batches" in value && "getChildAt" in value) return value as Table;
  if (!Array.isArray(value) || value.length === 0) return undefined;
  const isRow = (row: unknown): boolean => typeof row === "object" && row !== null && isPlain(row);
  return value.every(isRow) ? tableFromJSON(value as Record<string, unknown>[]) : undefined;
}

function boundValue(value: unknown, duckdb: DuckDb): DuckDBValue {
  if (value === undefined) return null;
  if (value instanceof Date) return new duckdb.DuckDBTimestampTZValue(BigInt(value.getTime()) * 1000n);
  if (value instanceof Uint8Array) return new duckdb.DuckDBBlobValue(value);
  if (typeof value === "object" && value !== null && isPlain(value)) {
    throw new InvalidArgumentError(`sql: ${describeValue(value)} can't be bound: bind its fields, or JSON.stringify of it`);
  }
  if (Array.isArray(value)) return duckdb.listValue(value.map((one) => boundValue(one, duckdb)));
  return value as DuckDBValue;
}
