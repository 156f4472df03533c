// Troupe, Ray and Piscina side by side, for graphs Troupe, Airflow and Prefect:
// `node dist/bench/compare.js [--only PATTERN] [--rounds N] [--seconds S] [--markdown]`.
//
// Row by row and round by round, one system after the other, so that what changes on the machine meanwhile meets all of them.

import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { rayPython } from "./python.ts";
import { type Row, rowsLike } from "./rows.ts";
import { median, shown } from "./timing.ts";

const RESULTS = fileURLToPath(new URL("../../bench/results", import.meta.url));
const OUTPUT_MAX = 64 * 1024 * 1024;

type System = "troupe" | "ray" | "piscina" | "airflow" | "prefect";

/** Who else has the row. */
function systemsOf(name: string): readonly System[] {
  return name.startsWith("dag_") ? ["troupe", ...orchestrators.keys()] : ["troupe", "ray", "piscina"];
}

/** Those whose Python was named. */
const orchestrators = new Map<System, string>(
  (["airflow", "prefect"] as const).flatMap((system) => {
    const python = process.env[`TROUPE_BENCH_${system.toUpperCase()}_PYTHON`];
    return python === undefined || python === "" ? [] : [[system, python]];
  }),
);

/** All figures of one row, by system; a system that has no such row has none. */
interface Compared {
  readonly name: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
  readonly values: Partial<Record<System, number[]>>;
  readonly errors: string[];
}

interface Commands {
  (system: System, only: string): readonly [program: string, args: readonly string[]];
}

function commandsWith(seconds: string): Commands {
  let ray: string | undefined;
  const script = (name: string) => fileURLToPath(new URL(name, import.meta.url));
  return (system, name) => {
    const args = ["--only", `^${name}$`, "--seconds", seconds];
    const orchestrator = orchestrators.get(system);
    if (orchestrator !== undefined) return [orchestrator, [script("../../bench/orchestrator-rows.py"), system, ...args]];
    if (system === "ray") return [ray ??= rayPython(), [script("../../bench/ray-rows.py"), ...args]];
    if (system === "piscina") return [process.execPath, [script("piscina-rows.js"), ...args]];
    return [process.execPath, [script("microbenchmark.js"), "--json", ...args]];
  };
}

/** Medians of the windows of one run; the reason when there are none. */
async function runOnce(commands: Commands, system: System, name: string): Promise<{ values: number[]; error?: string }> {
  const [program, args] = commands(system, name);
  try {
    const { stdout } = await promisify(execFile)(program, args, { maxBuffer: OUTPUT_MAX }).catch(withOutput);
    const results = JSON.parse(stdout.trim().split("\n").at(-1) ?? "[]") as { values: number[]; error?: string }[];
    return results[0] ?? { values: [] };
  } catch (error) {
    return { values: [], error: String(error).split("\n")[0] };
  }
}

/** A run with a failed row ends with 1 and still tells its results. */
function withOutput(error: Error & { stdout?: string }): { stdout: string } {
  if (error.stdout === undefined || error.stdout.trim() === "") throw error;
  return { stdout: error.stdout };
}

async function compareRow(commands: Commands, { name, unit, better }: Row, rounds: number): Promise<Compared> {
  const compared: Compared = { name, unit, better, values: {}, errors: [] };
  for (let round = 0; round < rounds; round += 1) {
    for (const system of systemsOf(name)) {
      const { values, error } = await runOnce(commands, system, name);
      if (values.length > 0) (compared.values[system] ??= []).push(median(values));
      if (error !== undefined) compared.errors.push(`${system}: ${error}`);
    }
  }
  return compared;
}

/** How many times better the first is. */
function ratio({ better, values }: Compared, other: System): string {
  const [ours, theirs] = [medianOf(values.troupe), medianOf(values[other])];
  if (ours === undefined || theirs === undefined) return "–";
  return `${shown(better === "higher" ? ours / theirs : theirs / ours)}×`;
}

const medianOf = (values: readonly number[] = []): number | undefined => (values.length === 0 ? undefined : median(values));

function cellsOf(compared: Compared, systems: readonly System[]): string[] {
  const { name, unit, values } = compared;
  const figures = systems.map((system) => {
    const figure = medianOf(values[system]);
    return figure === undefined ? "–" : shown(figure);
  });
  return [name, ...figures, unit, ...systems.slice(1).map((system) => ratio(compared, system))];
}

const NAME_WIDTH = 46;
const WIDTH = 12;

function textLine(cells: readonly string[]): string {
  return cells.map((cell, i) => (i === 0 ? cell.padEnd(NAME_WIDTH) : cell.padStart(WIDTH))).join(" ");
}

const headOf = (systems: readonly System[]): string[] => (
  ["row", ...systems, "unit", ...systems.slice(1).map((system) => `to ${system}`)]
);

function markdown(results: readonly Compared[], systems: readonly System[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const others = systems.slice(1).map(() => "---:");
  const rule = line(["---", ...systems.map(() => "---:"), "---", ...others]);
  return [line(headOf(systems)), rule, ...results.map((result) => line(cellsOf(result, systems)))].join("\n");
}

function machine(): Record<string, string | number> {
  const [cpu] = cpus();
  const memoryGib = Math.round(totalmem() / 2 ** 30);
  return { cpu: cpu.model, cores: cpus().length, memoryGib, kernel: release(), node: process.version };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: "string", default: "" }, rounds: { type: "string", default: "3" }, seconds: { type: "string", default: "1" },
      markdown: { type: "boolean" },
    },
  });
  const rounds = Number(values.rounds);
  if (!Number.isSafeInteger(rounds) || rounds < 1) throw new RangeError(`--rounds must be from 1, not ${values.rounds}`);
  const commands = commandsWith(values.seconds);
  const results: Compared[] = [];
  const rows = rowsLike(values.only);
  const systems = [...new Set(rows.flatMap(({ name }) => systemsOf(name)))];
  console.log(textLine(headOf(systems)));
  for (const row of rows) {
    const compared = await compareRow(commands, row, rounds);
    results.push(compared);
    console.log(textLine(cellsOf(compared, systems)));
    for (const error of new Set(compared.errors)) console.error(`  ${error}`);
  }
  if (values.markdown) console.log(`\n${markdown(results, systems)}`);
  mkdirSync(RESULTS, { recursive: true });
  const file = `${RESULTS}/compare-${new Date().toISOString().replaceAll(":", "-")}.json`;
  writeFileSync(file, `${JSON.stringify({ machine: machine(), rounds, seconds: Number(values.seconds), results }, null, 2)}\n`);
  console.log(`written to bench/results/${file.slice(RESULTS.length + 1)}`);
}

await main();
