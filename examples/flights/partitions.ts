// Partitions of the flights: rows of the Parquet file as Arrow tables, and what is counted in one of them.

import { DuckDBInstance } from "@duckdb/node-api";
import { Dictionary, makeData, makeVector, Table, Uint16, Utf8, vectorFromArray } from "apache-arrow";

/** The airports' names in order; everything else refers to them by their place in it. */
export type Airports = readonly string[];

export const MONTHS = 12;
/** Minutes from which on a flight counts as delayed. */
export const DELAYED = 15;

/** The raw columns of one batch of rows. */
export interface Columns {
  readonly month: Uint8Array;
  readonly delay: Int16Array;
  readonly distance: Int16Array;
  readonly origin: Uint16Array;
  readonly destination: Uint16Array;
}

/** Sums by origin and month: the figure of airport `a` in month `m` is at `a * MONTHS + m`. */
export interface Totals {
  readonly flights: Float64Array;
  readonly delay: Float64Array;
  readonly delayed: Float64Array;
  /** Of the tables that were read for it. */
  readonly bytes: number;
}

export async function listAirports(file: string): Promise<Airports> {
  const names = `select origin as name from ${source(file)} union select destination from ${source(file)} order by name`;
  return query("", names, async (chunks) => {
    const found: string[] = [];
    for await (const chunk of chunks) found.push(...(chunk.getColumnValues(0) as string[]));
    return found;
  });
}

/** Rows `from` to `to` (not included) of the file, with one dictionary for both airport columns. */
export async function readPartition(file: string, from: number, to: number, airports: Airports): Promise<Table> {
  const rows = to - from;
  const columns: Columns = {
    month: new Uint8Array(rows), delay: new Int16Array(rows), distance: new Int16Array(rows),
    origin: new Uint16Array(rows), destination: new Uint16Array(rows),
  };
  const type = `create type airport as enum (${airports.map(quoted).join(", ")})`;
  const selected =
    "month(date)::utinyint - 1::utinyint as month, delay::smallint, distance::smallint, origin::airport, destination::airport"
    + ` from ${source(file)} where file_row_number >= ${from} and file_row_number < ${to}`;
  await query(type, `select ${selected}`, async (chunks) => {
    let row = 0;
    for await (const chunk of chunks) {
      Object.values(columns).forEach((column: Uint8Array | Int16Array | Uint16Array, index) => {
        const { items } = chunk.getColumnVector(index) as unknown as { items: ArrayLike<number> };
        column.set(items, row);
      });
      row += chunk.rowCount;
    }
    if (row !== rows) throw new RangeError(`${file} has ${from + row} rows, not ${to}`);
  });
  return tableOf(columns, airports);
}

function tableOf({ month, delay, distance, origin, destination }: Columns, airports: Airports): Table {
  const dictionary = vectorFromArray(airports, new Utf8());
  const type = new Dictionary(new Utf8(), new Uint16());
  const airport = (data: Uint16Array) => makeVector(makeData({ type, data, dictionary }));
  return new Table({
    month: makeVector(month), delay: makeVector(delay), distance: makeVector(distance),
    origin: airport(origin), destination: airport(destination),
  });
}

/** The columns as they lie in memory, batch by batch: nothing is copied. */
export function* columnsOf(table: Table): Generator<Columns> {
  for (const batch of table.batches) {
    const [month, delay, distance, origin, destination] = batch.data.children.map(({ values }) => values as never);
    yield { month, delay, distance, origin, destination };
  }
}

export function totalsOf(table: Table, airports: Airports): Totals {
  const size = airports.length * MONTHS;
  const zeros = () => new Float64Array(size);
  const totals = { flights: zeros(), delay: zeros(), delayed: zeros(), bytes: bytesOf(table) };
  for (const { month, delay, origin } of columnsOf(table)) {
    for (let row = 0; row < month.length; row += 1) {
      const place = origin[row] * MONTHS + month[row];
      totals.flights[place] += 1;
      totals.delay[place] += delay[row];
      if (delay[row] > DELAYED) totals.delayed[place] += 1;
    }
  }
  return totals;
}

export function mergeTotals(...parts: Totals[]): Totals {
  const add = (key: "flights" | "delay" | "delayed") =>
    parts[0][key].map((_, place) => parts.reduce((sum, part) => sum + part[key][place], 0));
  const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
  return { flights: add("flights"), delay: add("delay"), delayed: add("delayed"), bytes };
}

function bytesOf(table: Table): number {
  return table.batches.reduce((sum, batch) => sum + batch.data.byteLength, 0);
}

/** The file as a source in SQL, with the number of each row. */
export function source(file: string): string {
  return `read_parquet(${quoted(file)}, file_row_number = true)`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

type Chunks = Awaited<ReturnType<Awaited<ReturnType<DuckDBInstance["connect"]>>["stream"]>>;
type Chunk = NonNullable<Awaited<ReturnType<Chunks["fetchChunk"]>>>;

/** Runs one query in a database of its own. A task has one CPU: without the bounds DuckDB takes the machine. */
export async function query<T>(preparation: string, sql: string, read: (chunks: AsyncIterable<Chunk>) => Promise<T>): Promise<T> {
  const instance = await DuckDBInstance.create(":memory:", { threads: "1", memory_limit: "512MB" });
  const connection = await instance.connect();
  try {
    if (preparation !== "") await connection.run(preparation);
    return await read(chunksOf(await connection.stream(sql)));
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

async function* chunksOf(result: Chunks): AsyncGenerator<Chunk> {
  for (;;) {
    const chunk = await result.fetchChunk();
    if (chunk === null || chunk.rowCount === 0) return;
    yield chunk;
  }
}
