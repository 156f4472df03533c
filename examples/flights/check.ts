// The same figures computed plainly, in this process and in SQL, and compared: counts exactly, means to 1e-9 of their size.

import type { Route } from "./airports.ts";
import { type Airports, DELAYED, MONTHS, query, source, type Totals } from "./partitions.ts";

const TOLERANCE = 1e-9;
const SHOWN = 5;

/** Figures by what they are of: "ATL, month 3" or "ATL to DFW". */
type Figures = ReadonlyMap<string, readonly number[]>;

export interface Checked {
  readonly figures: number;
  /** The first few, in words. */
  readonly differences: readonly string[];
}

export async function checkTotals(file: string, rows: number, airports: Airports, totals: Totals): Promise<Checked> {
  const expected = await plainly(file, rows, "origin || ', month ' || month(date)", "avg(delay)");
  const found = new Map<string, readonly number[]>();
  totals.flights.forEach((flights, place) => {
    if (flights === 0) return;
    const name = `${airports[Math.floor(place / MONTHS)]}, month ${(place % MONTHS) + 1}`;
    found.set(name, [flights, totals.delayed[place] / flights, totals.delay[place] / flights]);
  });
  return compare(expected, found);
}

export async function checkRoutes(file: string, rows: number, routes: readonly Route[]): Promise<Checked> {
  const expected = await plainly(file, rows, "origin || ' to ' || destination", "avg(delay), avg(distance), max(delay)");
  const found = new Map(routes.map(({ origin, destination, flights, delayedShare, meanDelay, meanDistance, worstDelay }) =>
    [`${origin} to ${destination}`, [flights, delayedShare, meanDelay, meanDistance, worstDelay]]));
  return compare(expected, found);
}

async function plainly(file: string, rows: number, key: string, figures: string): Promise<Figures> {
  const counts = `count(*), count(*) filter (delay > ${DELAYED}) / count(*)`;
  const sql = `select ${key}, ${counts}, ${figures} from ${source(file)} where file_row_number < ${rows} group by 1`;
  return query("", sql, async (chunks) => {
    const found = new Map<string, readonly number[]>();
    for await (const chunk of chunks) {
      for (const [name, ...values] of chunk.getRows()) found.set(String(name), values.map(Number));
    }
    return found;
  });
}

function compare(expected: Figures, found: Figures): Checked {
  const differences: string[] = [];
  for (const name of new Set([...expected.keys(), ...found.keys()])) {
    const [wanted, got] = [expected.get(name), found.get(name)];
    if (wanted !== undefined && got !== undefined && wanted.every((value, i) => agree(value, got[i], i === 0))) continue;
    differences.push(`${name}: expected ${wanted?.join(", ") ?? "nothing"}; got ${got?.join(", ") ?? "nothing"}`);
  }
  const figures = [...expected.values()].reduce((sum, values) => sum + values.length, 0);
  return { figures, differences: differences.slice(0, SHOWN) };
}

function agree(wanted: number, got: number, exactly: boolean): boolean {
  return exactly ? wanted === got : Math.abs(wanted - got) <= TOLERANCE * Math.max(1, Math.abs(wanted));
}
