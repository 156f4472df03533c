// Three million flights: read in partitions by tasks, kept as Arrow tables in shared memory, counted by tasks and by actors, and
// checked against a plain computation in one process.
//
//   npm run demo -- [--small] [--partitions N] [--json] [--address HOST:PORT --token-file FILE] [--file flights-3m.parquet]

import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { get, init, list, put, remote, run, type StoreRow } from "troupe";
import { AirportGroup, type Route } from "./airports.ts";
import { checkRoutes, checkTotals } from "./check.ts";
import { type Airports, listAirports, mergeTotals, MONTHS, readPartition, type Totals, totalsOf } from "./partitions.ts";
import { bytes, count, millis, percent, Progress, tableText } from "./report.ts";

const ROWS = 3_000_000;
const SMALL_ROWS = 200_000;
const GROUPS = 4;
const SHOWN = 8;

interface Arguments {
  readonly file: string;
  readonly rows: number;
  readonly partitions: number;
  readonly json: boolean;
  readonly address: string | undefined;
  readonly tokenFile: string | undefined;
}

/** What the object stores of the cluster did for this job. */
interface Moved {
  /** Objects and bytes written into shared memory. */
  readonly made: number;
  readonly madeBytes: number;
  /** Bytes that went from node to node. */
  readonly copiedBytes: number;
}

interface Outcome {
  readonly airports: Airports;
  readonly totals: Totals;
  readonly routes: readonly Route[];
  /** Milliseconds, by what was done. */
  readonly timings: Record<string, number>;
  readonly objects: number;
  readonly moved: Moved;
}

const remotely = {
  listAirports: remote(listAirports), readPartition: remote(readPartition), totalsOf: remote(totalsOf),
  mergeTotals: remote(mergeTotals), AirportGroup: remote(AirportGroup),
};

function readArguments(): Arguments {
  const { values } = parseArgs({
    options: {
      small: { type: "boolean" }, json: { type: "boolean" }, partitions: { type: "string" }, file: { type: "string" },
      address: { type: "string" }, "token-file": { type: "string" },
    },
  });
  const partitions = Number(values.partitions ?? (values.small ? 4 : 6 * availableParallelism()));
  if (!Number.isSafeInteger(partitions) || partitions < 1) {
    throw new RangeError(`--partitions must be a whole number from 1, not ${values.partitions}`);
  }
  return {
    file: values.file ?? dataFile(), rows: values.small ? SMALL_ROWS : ROWS, partitions, json: values.json ?? false,
    address: values.address, tokenFile: values["token-file"],
  };
}

/** The data that came with the package vega-datasets. */
function dataFile(): string {
  const entry = createRequire(import.meta.url).resolve("vega-datasets");
  return fileURLToPath(new URL("../data/flights-3m.parquet", `file://${entry}`));
}

async function compute({ file, rows, partitions }: Arguments): Promise<Outcome> {
  const before = await list.stores();
  const started = performance.now();
  const timings: Record<string, number> = {};
  const lap = (name: string) => {
    timings[name] = performance.now() - started - Object.values(timings).reduce((sum, ms) => sum + ms, 0);
  };

  const airports = await run(remotely.listAirports, file);
  const names = await put(airports);
  lap("list the airports");

  const bound = (part: number) => Math.floor((rows * part) / partitions);
  const tables = Array.from({ length: partitions }, (_, part) =>
    remotely.readPartition.remote(file, bound(part), bound(part + 1), names));
  const parts = tables.map((table) => remotely.totalsOf.remote(table, names));
  const groups = Array.from({ length: GROUPS }, (_, group) => remotely.AirportGroup.remote(names, group, GROUPS));
  // The tables stay where they are: what is passed on are refs.
  const fed = groups.flatMap((group) => tables.map((table) => group.add.remote(table)));

  const progress = new Progress(parts.length + fed.length);
  await Promise.all([...parts, ...fed].map(async (ref) => {
    await get<unknown>(ref);
    progress.step();
  }));
  lap("read and count");

  const [totals, ...routes] = await Promise.all([
    get(remotely.mergeTotals.remote(...parts)), ...groups.map((group) => get(group.routes.remote())),
  ]);
  lap("collect");
  const objects = 2 + tables.length + parts.length + fed.length + 1 + groups.length;
  const moved = movedBetween(before, await list.stores());
  return { airports, totals, routes: routes.flat(), timings, objects, moved };
}

function movedBetween(before: readonly StoreRow[], after: readonly StoreRow[]): Moved {
  const sum = (rows: readonly StoreRow[], figure: keyof Moved) => rows.reduce((total, row) => total + row[figure], 0);
  const grown = (figure: keyof Moved) => sum(after, figure) - sum(before, figure);
  return { made: grown("made"), madeBytes: grown("madeBytes"), copiedBytes: grown("copiedBytes") };
}

interface AirportRow {
  readonly airport: string;
  readonly flights: number;
  readonly meanDelay: number;
  readonly delayedShare: number;
  readonly worstMonth: number;
  readonly worstMonthDelay: number;
}

function airportRows({ airports, totals }: Outcome): AirportRow[] {
  return airports.map((airport, index) => {
    const places = Array.from({ length: MONTHS }, (_, month) => index * MONTHS + month);
    const sum = (figures: Float64Array) => places.reduce((total, place) => total + figures[place], 0);
    const means = places.map((place) =>
      (totals.flights[place] === 0 ? Number.NEGATIVE_INFINITY : totals.delay[place] / totals.flights[place]));
    const worstMonthDelay = Math.max(...means);
    const flights = sum(totals.flights);
    return {
      airport, flights, meanDelay: sum(totals.delay) / flights, delayedShare: sum(totals.delayed) / flights,
      worstMonth: means.indexOf(worstMonthDelay) + 1, worstMonthDelay,
    };
  }).filter(({ flights }) => flights > 0).sort((a, b) => b.flights - a.flights);
}

function print(outcome: Outcome, { rows, partitions }: Arguments): void {
  const minutes = (value: number) => value.toFixed(2);
  console.log(`\n${count(rows)} flights from ${count(outcome.airports.length)} airports; the busiest:\n`);
  console.log(tableText(
    ["airport", "flights", "mean delay, min", "delayed", "worst month", "its mean delay"],
    airportRows(outcome).slice(0, SHOWN).map((row) => [
      row.airport, count(row.flights), minutes(row.meanDelay), percent(row.delayedShare), String(row.worstMonth),
      minutes(row.worstMonthDelay),
    ]),
  ));
  const busiest = [...outcome.routes].sort((a, b) => b.flights - a.flights).slice(0, SHOWN);
  console.log(`\n${count(outcome.routes.length)} routes, kept by ${GROUPS} actors; the busiest:\n`);
  console.log(tableText(
    ["route", "flights", "miles", "mean delay, min", "delayed", "longest delay"],
    busiest.map((route) => [
      `${route.origin} to ${route.destination}`, count(route.flights), count(route.meanDistance), minutes(route.meanDelay),
      percent(route.delayedShare), count(route.worstDelay),
    ]),
  ));
  const { bytes: stored } = outcome.totals;
  const { made, madeBytes, copiedBytes } = outcome.moved;
  console.log(`\n${tableText(["step", "time"], Object.entries(outcome.timings).map(([name, ms]) => [name, millis(ms)]))}\n`);
  console.log(`objects: ${outcome.objects}, of which ${partitions} are Arrow tables with ${bytes(stored)} in all`);
  console.log(`shared memory: ${made} objects, ${bytes(madeBytes)} written once; ${bytes(copiedBytes)} copied between nodes`);
  console.log(`read from the tables by tasks and actors without a copy: ${bytes(stored * (1 + GROUPS))}`);
}

async function main(): Promise<void> {
  const given = readArguments();
  const started = performance.now();
  const { address, tokenFile } = given;
  await using _cluster = await init(address === undefined ? {} : { address, tokenFile });
  const joined = performance.now() - started;
  const outcome = await compute(given);
  const checking = performance.now();
  const { file, rows } = given;
  const checks = [await checkTotals(file, rows, outcome.airports, outcome.totals), await checkRoutes(file, rows, outcome.routes)];
  const plainly = performance.now() - checking;
  Object.assign(outcome.timings, { "start or join the cluster": joined, "the same, plainly, in one process": plainly });

  const figures = checks.reduce((sum, check) => sum + check.figures, 0);
  const differences = checks.flatMap((check) => check.differences);
  const { timings, objects, totals, moved } = outcome;
  if (given.json) {
    const { partitions } = given;
    const airports = airportRows(outcome);
    console.log(
      JSON.stringify({ rows, partitions, figures, differences, timings, objects, moved, bytes: totals.bytes, airports }),
    );
  } else {
    print(outcome, given);
    console.log(differences.length === 0 ? `all ${count(figures)} figures agree with the plain computation` : "figures differ:");
  }
  for (const difference of differences) console.error(difference);
  if (differences.length > 0) process.exitCode = 1;
}

await main();
