// Arrow tables as sources of queries: DuckDB asks for the columns it needs, 2048 rows at a time.

import type { DuckDBConnection, DuckDBDataChunk, DuckDBType, DuckDBValue } from "@duckdb/node-api";
import type { DataType, Field, Table, Vector } from "apache-arrow";
import { InvalidArgumentError } from "../../sdk/index.ts";
import type { Arrow, DuckDb } from "./packages.ts";

/** A column of a table, as DuckDB takes it. */
interface Column {
  readonly name: string;
  readonly type: DuckDBType;
  readonly vector: Vector;
  /** Values whose bytes are DuckDB's own lie as they are. */
  readonly isRaw: boolean;
  readonly convert: ((value: never) => DuckDBValue) | undefined;
}

interface Scan {
  row: number;
  readonly columns: readonly number[];
}

type Numbers = Float64Array;
interface NumberVector {
  readonly items: Numbers;
  flush(): void;
}

const ROWS = 2048;

/** From now on `name()` is the table. */
export function registerTable(name: string, table: Table, connection: DuckDBConnection, duckdb: DuckDb, arrow: Arrow): void {
  const columns = table.schema.fields.map((field, i) => columnOf(name, field, table.getChildAt(i)!, duckdb, arrow));
  connection.registerTableFunction(
    duckdb.DuckDBTableFunction.create({
      name,
      supportsProjectionPushdown: true,
      bindFunction: (bind) => {
        for (const column of columns) bind.addResultColumn(column.name, column.type);
        bind.setCardinality(table.numRows, true);
      },
      initFunction: (init) => {
        init.setInitData({ row: 0, columns: init.getColumnIndexes() } satisfies Scan);
        init.setMaxThreads(1);
      },
      mainFunction: (info, chunk) => {
        const scan = info.initData as Scan;
        const rows = Math.min(ROWS, table.numRows - scan.row);
        chunk.rowCount = rows;
        // What asks for no column, such as count(*), is given another number.
        const asked = rows === 0 ? [] : scan.columns;
        asked.forEach((at, place) => columns[at] !== undefined && fill(chunk, place, columns[at], scan.row, rows));
        scan.row += rows;
      },
    }),
  );
}

function fill(chunk: DuckDBDataChunk, place: number, { vector, isRaw, convert }: Column, row: number, rows: number): void {
  if (isRaw) {
    const target = chunk.getColumnVector(place) as unknown as NumberVector;
    copyNumbers(vector, row, rows, target.items);
    return target.flush();
  }
  const values: (DuckDBValue | null)[] = [];
  for (let i = 0; i < rows; i += 1) {
    const value = vector.get(row + i) as never;
    values.push(value === null || convert === undefined ? value : convert(value));
  }
  chunk.setColumnValues(place, values);
}

/** From the vector's batches, each a piece of memory. */
function copyNumbers(vector: Vector, row: number, rows: number, target: Numbers): void {
  let first = 0;
  for (const { values, length } of vector.data as readonly { values: Numbers; length: number }[]) {
    const from = Math.max(row - first, 0);
    const to = Math.min(row + rows - first, length);
    if (from < to) target.set(values.subarray(from, to), first + from - row);
    first += length;
    if (first >= row + rows) return;
  }
}

function columnOf(table: string, { name, type }: Field, vector: Vector, duckdb: DuckDb, arrow: Arrow): Column {
  const raw = rawType(type, duckdb, arrow);
  // 64-bit columns of Arrow are typed arrays of bigints, as DuckDB's are.
  if (raw !== undefined) return { name, type: raw, vector, isRaw: vector.nullCount === 0, convert: undefined };
  const { DataType } = arrow;
  const of = (found: DuckDBType, convert?: (value: never) => DuckDBValue): Column => (
    { name, type: found, vector, isRaw: false, convert }
  );
  if (DataType.isDictionary(type)) {
    // What lies in the memory of such a column are places in its dictionary.
    return { ...columnOf(table, { name, type: type.dictionary } as Field, vector, duckdb, arrow), isRaw: false };
  }
  if (DataType.isUtf8(type) || DataType.isLargeUtf8(type)) return of(duckdb.VARCHAR);
  if (DataType.isBool(type)) return of(duckdb.BOOLEAN);
  if (DataType.isNull(type)) return of(duckdb.VARCHAR);
  if (DataType.isBinary(type)) return of(duckdb.BLOB, (bytes: Uint8Array) => new duckdb.DuckDBBlobValue(bytes));
  if (DataType.isDate(type)) {
    return of(duckdb.DATE, (at: number | Date) => new duckdb.DuckDBDateValue(Math.floor(Number(at) / 86_400_000)));
  }
  if (DataType.isTimestamp(type)) {
    return of(duckdb.TIMESTAMP, (at: number) => new duckdb.DuckDBTimestampValue(BigInt(Math.round(at * 1000))));
  }
  if (DataType.isDecimal(type)) {
    const { scale } = type;
    return of(duckdb.DOUBLE, (words: Uint32Array) => Number(wideInteger(words)) / 10 ** scale);
  }
  throw new InvalidArgumentError(`sql: column ${name} of ${table} is ${String(type)}, which queries do not take`);
}

function rawType(type: DataType, duckdb: DuckDb, { Type, DataType }: Arrow): DuckDBType | undefined {
  if (DataType.isFloat(type)) {
    // Half precision is rare, and has no type there.
    return ({ 1: duckdb.FLOAT, 2: duckdb.DOUBLE } as Record<number, DuckDBType>)[type.precision];
  }
  if (!DataType.isInt(type)) return undefined;
  const { TINYINT, SMALLINT, INTEGER, BIGINT, UTINYINT, USMALLINT, UINTEGER, UBIGINT } = duckdb;
  const signed = { 8: TINYINT, 16: SMALLINT, 32: INTEGER, 64: BIGINT };
  const unsigned = { 8: UTINYINT, 16: USMALLINT, 32: UINTEGER, 64: UBIGINT };
  return type.typeId === Type.Int ? (type.isSigned ? signed : unsigned)[type.bitWidth] : undefined;
}

/** Little-endian words of a signed integer. */
function wideInteger(words: Uint32Array): bigint {
  let value = 0n;
  for (let i = words.length - 1; i >= 0; i -= 1) value = (value << 32n) | BigInt(words[i]);
  return BigInt.asIntN(words.length * 32, value);
}
