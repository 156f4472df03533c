// The microbenchmarks: `node dist/bench/microbenchmark.js [--only PATTERN] [--json] [--seconds S]`.

import { parseArgs } from "node:util";
import { init, shutdown } from "troupe";
import { type Row, rowsLike } from "./rows.ts";
import { deviation, mean, median, SHORT, shown, type Windows } from "./timing.ts";

export interface BenchmarkOptions {
  /** A regular expression for names of rows; default all. */
  readonly only?: string;
  /** The least length of a window; default 1. */
  readonly seconds?: number;
  /** Called with each row as it is done. */
  readonly onResult?: (result: BenchmarkResult) => void;
}

export interface BenchmarkResult {
  readonly name: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
  readonly mean: number;
  readonly sd: number;
  readonly median: number;
  /** One figure for each window or repetition; empty when the row failed. */
  readonly values: readonly number[];
  readonly error?: string;
}

/** Runs rows one after the other, each in a private cluster of its own: what a row leaves behind slows no other. */
export async function runMicrobenchmark(options: BenchmarkOptions = {}): Promise<BenchmarkResult[]> {
  // Rows are full of traps, on purpose.
  process.env.TROUPE_WARNINGS ??= "off";
  const windows = { ...SHORT, seconds: options.seconds ?? SHORT.seconds };
  const results: BenchmarkResult[] = [];
  for (const row of rowsLike(options.only ?? "")) {
    const result = await runRow(row, windows);
    results.push(result);
    options.onResult?.(result);
  }
  return results;
}

/** A row that fails is reported; the others still run. */
async function runRow(row: Row, windows: Windows): Promise<BenchmarkResult> {
  const { name, unit, better } = row;
  try {
    if (!row.alone) await init({ resources: { custom: 100 } });
    const values = await row.measure(windows);
    return { name, unit, better, mean: mean(values), sd: deviation(values), median: median(values), values };
  } catch (error) {
    return { name, unit, better, mean: Number.NaN, sd: Number.NaN, median: Number.NaN, values: [], error: String(error) };
  } finally {
    await shutdown();
  }
}

export function resultLine({ name, unit, mean: middle, sd, median: center, error }: BenchmarkResult): string {
  if (error !== undefined) return `${name.padEnd(46)} failed: ${error.split("\n")[0]}`;
  return `${name.padEnd(46)} ${shown(middle).padStart(10)} ± ${shown(sd).padEnd(8)} median ${shown(center).padStart(10)} ${unit}`;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { only: { type: "string" }, json: { type: "boolean" }, seconds: { type: "string" } },
  });
  const seconds = values.seconds === undefined ? undefined : Number(values.seconds);
  if (seconds !== undefined && !(seconds > 0)) throw new Error(`--seconds must be a number above 0, not ${values.seconds}`);
  const onResult = values.json ? undefined : (result: BenchmarkResult) => console.log(resultLine(result));
  const results = await runMicrobenchmark({ only: values.only, seconds, onResult });
  if (values.json) console.log(JSON.stringify(results));
  if (results.length === 0 || results.some(({ error }) => error !== undefined)) process.exitCode = 1;
}

if (import.meta.filename === process.argv[1]) await main();
