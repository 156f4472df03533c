// A daily pipeline over three million flights: 90 days filled in, latest first, one instance an airport, a warehouse that one
// task at a time writes, and two graphs that wait for what comes of it.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Table } from "apache-arrow";
import { init } from "troupe";
import { all, any, asset, ctx, dag, defineStore, serveDags, shortCircuit, sql, store, task, variable } from "troupe/dag";

const FLIGHTS = join(dirname(createRequire(import.meta.url).resolve("vega-datasets")), "../data/flights-3m.parquet");
const DAYS = 90;
const AIRPORTS = 12;
/** What the other airports are summed up as. */
const OTHERS = "others";
const DELAYED_MINUTES = 15;

interface Row {
  readonly origin: string;
  readonly flights: number;
  readonly delayed: number;
}

const folder = await mkdtemp(join(tmpdir(), "flights-"));
process.env.TROUPE_CONN_WAREHOUSE = `duckdb://${join(folder, "warehouse.db")}`;
const reports = defineStore("reports", { dir: join(folder, "reports") });
const [daily, month] = [asset("warehouse/daily"), asset("warehouse/month")];

const from = task("from", () => ctx().run.dataInterval.start);
const to = task("to", () => ctx().run.dataInterval.end);

const busiest = task("busiest", (flights: Table): string[] => {
  const counts = new Map<string, number>();
  for (const origin of flights.getChild("origin")!) counts.set(origin, (counts.get(origin) ?? 0) + 1);
  const names = [...counts].sort(([, a], [, b]) => b - a).slice(0, AIRPORTS).map(([name]) => name);
  return [...names, OTHERS];
});

const summarise = task("summarise", (flights: Table, airports: readonly string[], origin: string): Row => {
  const [origins, delays] = [flights.getChild("origin")!, flights.getChild("delay")!];
  let [count, delayed] = [0, 0];
  for (let row = 0; row < flights.numRows; row += 1) {
    const name = airports.includes(origins.get(row) as string) ? (origins.get(row) as string) : OTHERS;
    if (name !== origin) continue;
    count += 1;
    if ((delays.get(row) as number) > DELAYED_MINUTES) delayed += 1;
  }
  return { origin, flights: count, delayed };
});

/** For one run of the month, whichever day comes last. */
const isComplete = async (found: Table): Promise<boolean> => {
  const { month: name, left } = found.get(0)!.toJSON() as { month: string; left: number };
  if (left > 0) return false;
  let isFirst = false;
  await variable<boolean>(`complete-${name}`).update((before) => { isFirst = before === undefined; return true; });
  return isFirst;
};

const days = dag("flights", { schedule: "@daily", defaultTask: { retries: 2, retryDelayMs: 100 } }, () => {
  const [start, end] = [from(), to()];
  const flights = sql("duckdb:", { id: "extract" })`
    select origin, delay from read_parquet(${FLIGHTS}) where date >= ${start}::timestamp and date < ${end}::timestamp`;
  const airports = busiest(flights);
  const rows = summarise.expand({ origin: airports }, flights, airports);
  const loaded = sql("warehouse", { id: "load", outlets: daily })`
    insert or replace into daily select ${start}::date, origin, flights::integer, delayed::integer from ${rows}`;
  const found = sql("warehouse", { id: "missing" })`
    select strftime(${start}::date, '%Y-%m') as month, (day(last_day(${start}::date)) - count(distinct day))::integer as left
    from daily where date_trunc('month', day) = date_trunc('month', ${start}::date)`.after(loaded);
  const close = task("close", () => undefined, { outlets: month })();
  shortCircuit(isComplete, found).before(close);
});

/** Waits for both: reports are written when a month is complete. */
const monthly = dag("monthly", { schedule: all(daily, month) }, () => {
  const table = sql("warehouse")`
    select strftime(day, '%Y-%m') as month, sum(flights)::integer as flights, count(distinct day)::integer as days
    from daily group by 1 order by 1`;
  const publish = task("publish", async (found: Table) => {
    for (const row of found) await store("reports").put(`${row.month}.json`, JSON.stringify(row));
  });
  publish(table);
});
/** Waits for either. */
const watch = dag("watch", { schedule: any(daily, month) }, () => task("look", () => ctx().run.assetEvents?.[0].asset)());

await using _cluster = await init({ numCpus: 2 });
const create = dag("create", () => sql("warehouse")`
  create table daily (day date, origin text, flights integer, delayed integer, primary key (day, origin))`);
await (await create.run()).result();
const service = await serveDags({ dags: [monthly, watch] });

const started = Date.now();
const span = { from: "2001-01-02", to: "2001-04-01" };
const backfill = await days.backfill({ ...span, reverse: true, maxActiveRuns: 3 });
await backfill.done;
const states = backfill.runs.map(({ state }) => state);
assert.deepEqual([states.length, new Set(states)], [DAYS, new Set(["success"])]);
assert.equal(backfill.runs[0].logicalDate.toISOString(), "2001-04-01T00:00:00.000Z");
const rows = await backfill.runs[0].tasks();
assert.equal(rows.filter(({ id }) => id.startsWith("summarise[")).length, AIRPORTS + 1);
assert.deepEqual(new Set((await days.backfill({ ...span, dryRun: true })).map(({ action }) => action)), new Set(["skip"]));
console.log(`${DAYS} days, ${rows.length * DAYS} tasks in ${((Date.now() - started) / 1000).toFixed(1)} s`);

/** Graphs that wait for assets run behind those that make them. */
for (;;) {
  const served = await service.dags();
  const ended = served.map(({ runs }) => runs.filter(({ state }) => state === "success").length);
  if (ended[0] === 3 && ended[1] === DAYS + 3) break;
  assert.ok(Date.now() - started < 180_000, `monthly and watch ran ${ended.join(" and ")} times`);
  await new Promise((resolve) => setTimeout(resolve, 100));
}

// Nothing is lost, and nothing is counted twice: the warehouse has what the file has.
const check = dag("check", () => ({
  loaded: sql("warehouse")`select sum(flights)::integer as flights, sum(delayed)::integer as delayed from daily`,
  expected: sql()`select count(*)::integer as flights, (count(*) filter (delay > ${DELAYED_MINUTES}))::integer as delayed
    from read_parquet(${FLIGHTS}) where date >= '2001-01-01' and date < '2001-04-01'`,
}));
const { loaded, expected } = await (await check.run()).result();
assert.deepEqual(loaded.get(0)!.toJSON(), expected.get(0)!.toJSON());
for await (const { key } of reports.list()) console.log(key, (await reports.get(key)).toString());
const told = await Promise.all([1, 2, 3].map(async (n) => JSON.parse((await reports.get(`2001-0${n}.json`)).toString()).days));
assert.deepEqual(told, [31, 28, 31]);
await service.stop();
await rm(folder, { recursive: true });
