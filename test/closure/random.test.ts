// Random programs on a real cluster: what workers answer is what the program computes itself, or its function is refused for the
// one reason that can't be avoided.
//
// TROUPE_PROGRAMS is how many there are for each way of running them, TROUPE_FIRST_PROGRAM the seed of the first.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildSync, transformSync } from "esbuild";
import { afterAll, expect, test } from "vitest";
import { IMPORTS, randomProgram } from "./random/programs.ts";
import { nodes, programFolder, runNode } from "./settings.ts";

interface Outcome {
  readonly seed: number;
  readonly refused?: string;
  readonly here?: string;
  readonly there?: string;
}

const root = programFolder();
afterAll(() => rmSync(root, { recursive: true, force: true }));

const given = process.env.TROUPE_PROGRAMS;
const first = Number(process.env.TROUPE_FIRST_PROGRAM ?? 1);
/** Bundles, loaders and old module systems are about names and texts: fewer programs tell. */
const WAYS = [
  { name: "ES modules", count: 240, file: "entry.mjs", flags: [] },
  { name: "CommonJS", count: 60, file: "entry.cjs", flags: [] },
  { name: "tsx", count: 60, file: "entry.ts", flags: ["--import", "tsx"] },
  { name: "a minified bundle", count: 60, file: "small.mjs", flags: [] },
] as const;
/** A file with more variables than any program has takes its time. */
const AT_ONCE = 120;
/** Variables that closures share are made on purpose; where that can't be told from others like them, they are refused. */
const REFUSED_MAX = 0.12;

for (const [major, node] of nodes()) {
  for (const [at, way] of WAYS.entries()) {
    if (node !== process.execPath && process.env.TROUPE_MATRIX !== "all") continue;
    const count = Number(given ?? way.count);
    test(`${count} programs as ${way.name} on Node ${major}`, { timeout: 120_000 + count * 1000 }, async ({ skip }) => {
      if (node === undefined) return skip(`Node ${major} is not here: run npm run setup -- --tests`);
      const seeds = Array.from({ length: count }, (_, index) => first + at * 10_000 + index);
      const outcomes: Outcome[] = [];
      for (let done = 0; done < count; done += AT_ONCE) {
        outcomes.push(...await run(`${major}-${at}-${done}`, way, node, seeds.slice(done, done + AT_ONCE)));
      }
      expect(outcomes.map(({ seed }) => seed)).toEqual(seeds);
      const wrong = outcomes.find(({ refused, here, there }) => refused === undefined && here !== there);
      if (wrong !== undefined) {
        throw new Error(`program ${wrong.seed}\nhere:  ${wrong.here}\nthere: ${wrong.there}\n${randomProgram(wrong.seed).text}`);
      }
      const refused = outcomes.filter((one) => one.refused !== undefined);
      expect(refused.filter((one) => one.refused !== "CAPTURE_SHARED_MUTABLE")).toEqual([]);
      expect(refused.length).toBeLessThanOrEqual(1 + count * REFUSED_MAX);
    });
  }
}

async function run(name: string, way: (typeof WAYS)[number], node: string, seeds: readonly number[]): Promise<Outcome[]> {
  const folder = join(root, name);
  mkdirSync(folder);
  for (const file of ["helpers.mjs", "runner.mjs"]) writeFileSync(join(folder, file), readFileSync(join(root, file)));
  writeFileSync(join(folder, way.file), compiled(way.file, folder, sourceOf(seeds)));
  const out = join(root, `${name}.json`);
  await runNode(node, [...way.flags, join(folder, way.file)], root, out);
  return JSON.parse(readFileSync(out, "utf8")) as Outcome[];
}

function compiled(file: string, folder: string, source: string): string {
  if (file.endsWith(".cjs")) return transformSync(source, { format: "cjs", platform: "node", logLevel: "error" }).code;
  if (file !== "small.mjs") return source;
  return buildSync({
    bundle: true, minify: true, format: "esm", platform: "node", external: ["troupe"], write: false, logLevel: "error",
    stdin: { contents: source, resolveDir: folder },
  }).outputFiles[0].text;
}

/** All programs in one file, and what runs each of them here and there. */
function sourceOf(seeds: readonly number[]): string {
  const programs = seeds.map(randomProgram);
  return `${IMPORTS}${programs.map(({ text }) => text).join("\n")}
const jobs = [${programs.map(({ seed, job }) => `[${seed}, ${job}]`).join(", ")}];
${MAIN}`;
}

/** Everything is captured before anything runs here: what runs changes what is captured. */
const MAIN = `
import { writeFileSync } from "node:fs";
import { get, init, shutdown } from "troupe";
async function main() {
  await init({ numCpus: 2, objectStoreMemory: "64MiB" });
  const outcomes = [];
  for (const [seed, job] of jobs) {
    try {
      outcomes.push({ seed, job, ref: remote(job).remote(seed % 5) });
    } catch (error) {
      outcomes.push({ seed, refused: error.captureCode ?? error.stack });
    }
  }
  for (const one of outcomes) if (one.refused === undefined) one.here = await one.job(one.seed % 5);
  for (const one of outcomes) {
    if (one.refused === undefined) one.there = await get(one.ref).catch((error) => "threw " + error.stack);
  }
  writeFileSync(process.env.CLOSURE_OUT, JSON.stringify(outcomes));
  await shutdown();
}
void main();
`;
