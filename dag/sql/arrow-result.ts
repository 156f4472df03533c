// What a query gives, as an Arrow table. Integers, floats, texts, booleans, dates and times keep their types; sums of
// integers and decimals, which DuckDB keeps in 128 bits, are doubles; all else is the text that DuckDB shows.

import type { DuckDBDataChunk, DuckDBResult, DuckDBType } from "@duckdb/node-api";
import type { DataType, Table, Vector } from "apache-arrow";
import type { Arrow, DuckDb } from "./packages.ts";

type Numbers = Float64Array;
type NumberArray = new (length: number) => Numbers;

interface Column {
  readonly type: DataType;
  /** Set for values that lie in DuckDB's memory as they do in Arrow's. */
  readonly array?: NumberArray | undefined;
  readonly read: (value: never) => unknown;
}

export async function tableOf(result: DuckDBResult, duckdb: DuckDb, arrow: Arrow): Promise<Table> {
  const chunks = (await result.fetchAllChunks()).filter(({ rowCount }) => rowCount > 0);
  const columns = result.columnTypes().map((type) => columnOf(type, duckdb, arrow));
  const names = result.deduplicatedColumnNames();
  const vectors = columns.map((column, i) => vectorOf(column, i, chunks, arrow));
  return new arrow.Table(Object.fromEntries(names.map((name, i) => [name, vectors[i]])));
}

function vectorOf(column: Column, at: number, chunks: readonly DuckDBDataChunk[], arrow: Arrow): Vector {
  const rows = chunks.reduce((sum, { rowCount }) => sum + rowCount, 0);
  if (column.array !== undefined) {
    const data = rawValues(column.array, at, chunks, rows) as never;
    if (data !== undefined) return arrow.makeVector(arrow.makeData({ type: column.type as never, length: rows, data }));
  }
  if (column.type.typeId === arrow.Type.Utf8) return textsOf(column, at, chunks, rows, arrow);
  const values: unknown[] = [];
  for (const chunk of chunks) {
    for (const value of chunk.getColumnValues(at)) values.push(value === null ? null : column.read(value as never));
  }
  return arrow.vectorFromArray(values, column.type as never) as Vector;
}

/** Undefined when there are nulls among them. */
function rawValues(
  ArrayType: NumberArray, at: number, chunks: readonly DuckDBDataChunk[], rows: number,
): Numbers | undefined {
  const all = new ArrayType(rows);
  let row = 0;
  for (const chunk of chunks) {
    const vector = chunk.getColumnVector(at) as unknown as {
      readonly items?: Numbers;
      readonly validity: { itemValid(index: number): boolean };
    };
    if (vector.items === undefined) return undefined;
    for (let i = 0; i < chunk.rowCount; i += 1) if (!vector.validity.itemValid(i)) return undefined;
    all.set(vector.items.subarray(0, chunk.rowCount), row);
    row += chunk.rowCount;
  }
  return all;
}

/** One buffer for all texts: made one by one they take ten times as long. */
function textsOf({ type, read }: Column, at: number, chunks: readonly DuckDBDataChunk[], rows: number, arrow: Arrow): Vector {
  const offsets = new Int32Array(rows + 1);
  const nulls = new Uint8Array(Math.ceil(rows / 8));
  const parts: string[] = [];
  let [row, bytes, nullCount] = [0, 0, 0];
  for (const chunk of chunks) {
    for (const value of chunk.getColumnValues(at)) {
      if (value === null) nullCount += 1;
      else {
        const text = String(read(value as never));
        nulls[row >> 3] |= 1 << (row & 7);
        parts.push(text);
        bytes += Buffer.byteLength(text);
      }
      offsets[(row += 1)] = bytes;
    }
  }
  const data = Buffer.from(parts.join(""));
  return arrow.makeVector(arrow.makeData({
    type: type as never, length: rows, nullCount, nullBitmap: nullCount === 0 ? null : nulls, valueOffsets: offsets, data,
  } as never));
}

const same = (value: never): unknown => value;

function columnOf(type: DuckDBType, { DuckDBTypeId: Id }: DuckDb, arrow: Arrow): Column {
  const raw = (found: DataType, array: unknown): Column => ({ type: found, array: array as NumberArray, read: same });
  const microseconds = (at: { readonly micros: bigint }): number => Number(at.micros) / 1000;
  switch (type.typeId) {
    case Id.TINYINT: return raw(new arrow.Int8(), Int8Array);
    case Id.SMALLINT: return raw(new arrow.Int16(), Int16Array);
    case Id.INTEGER: return raw(new arrow.Int32(), Int32Array);
    case Id.BIGINT: return raw(new arrow.Int64(), BigInt64Array);
    case Id.UTINYINT: return raw(new arrow.Uint8(), Uint8Array);
    case Id.USMALLINT: return raw(new arrow.Uint16(), Uint16Array);
    case Id.UINTEGER: return raw(new arrow.Uint32(), Uint32Array);
    case Id.UBIGINT: return raw(new arrow.Uint64(), BigUint64Array);
    case Id.FLOAT: return raw(new arrow.Float32(), Float32Array);
    case Id.DOUBLE: return raw(new arrow.Float64(), Float64Array);
    case Id.BOOLEAN: return { type: new arrow.Bool(), read: same };
    case Id.HUGEINT: case Id.UHUGEINT: return { type: new arrow.Float64(), read: Number };
    case Id.DECIMAL: return { type: new arrow.Float64(), read: (value: { toDouble(): number }) => value.toDouble() };
    case Id.DATE: return { type: new arrow.DateDay(), read: (at: { days: number }) => new Date(at.days * 86_400_000) };
    case Id.TIMESTAMP: return { type: new arrow.TimestampMillisecond(), read: microseconds };
    case Id.TIMESTAMP_TZ: return { type: new arrow.TimestampMillisecond("UTC"), read: microseconds };
    case Id.BLOB: return { type: new arrow.Binary(), read: (value: { bytes: Uint8Array }) => value.bytes };
    default: return { type: new arrow.Utf8(), read: String };
  }
}
