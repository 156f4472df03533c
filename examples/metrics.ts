// Metrics: counted in tasks, told by the node for Prometheus, beside the system's own; and a timeline of what ran.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Counter, get, Histogram, init, list, remote, timeline } from "troupe";

const REPORTS = 20;

const rows = new Counter("report_rows_total", { tags: ["kind"], description: "Rows that reports have read." });
const seconds = new Histogram("report_seconds", { buckets: [0.001, 0.01, 0.1] });

const report = remote((number: number) => {
  const started = performance.now();
  const sum = Array.from({ length: 10_000 }, (_, i) => i % number).reduce((total, each) => total + each, 0);
  // The same metrics as out here: what is captured is their names.
  rows.inc(10_000, { kind: number % 2 === 0 ? "even" : "odd" });
  seconds.observe((performance.now() - started) / 1000);
  return sum;
}, { name: "report" });

await using _cluster = await init({ numCpus: 1 });
await get(Array.from({ length: REPORTS }, (_, i) => report.remote(i + 1)));

const [{ metricsPort }] = await list.nodes();
const told = [
  /report_rows_total\{kind="odd",node="\w+"\} 100000/,
  new RegExp(`report_seconds_count\\{node="\\w+"\\} ${REPORTS}`),
];
let text = "";
// Processes tell once a second.
for (const end = Date.now() + 60_000; !told.every((line) => line.test(text)) && Date.now() < end; await delay(100)) {
  text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
}
const lines = text.split("\n").filter((line) => /^(report_rows_total|report_seconds_count|troupe_workers)/.test(line));
for (const line of told) assert.match(text, line);

const folder = mkdtempSync(join(tmpdir(), "timeline-"));
await timeline(join(folder, "trace.json"));
interface Trace {
  readonly traceEvents: readonly { readonly name: string; readonly ph: string }[];
}
const trace = JSON.parse(readFileSync(join(folder, "trace.json"), "utf8")) as Trace;
const runs = trace.traceEvents.filter(({ name, ph }) => name === "report" && ph === "X");
assert.equal(runs.length, REPORTS);
rmSync(folder, { recursive: true });
console.log(`metrics: ${lines.length} lines of interest, and ${runs.length} runs in the timeline\n  ${lines.join("\n  ")}`);
