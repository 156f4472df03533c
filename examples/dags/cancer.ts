// From a notebook to a graph in five steps, on the breast-cancer table. The functions of the notebook stay as they are.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { init } from "troupe";
import { dag, task } from "troupe/dag";

interface Part {
  readonly x: readonly Float64Array[];
  readonly y: Uint8Array;
}
interface Parts {
  readonly train: Part;
  readonly test: Part;
}
interface Model {
  readonly rate: number;
  readonly weights: Float64Array;
}
interface Score {
  readonly rate: number;
  readonly accuracy: number;
}
interface Notebook {
  readonly parameters: { readonly path: string; readonly rates: readonly number[]; readonly seed: number };
  load(path: string): Part;
  split(table: Part, seed: number): Parts;
  fit(parts: Parts, rate: number): Model;
  evaluate(parts: Parts, model: Model): Score;
  best(scores: readonly Score[]): Score;
  readonly outcome: Score;
}

const FOLDER = join(dirname(createRequire(import.meta.url).resolve("troupe/package.json")), "examples", "dags");
const ACCURACY_MIN = 0.94;

/** 1. The notebook's cells are one module, with other parameters in place of the tagged cell; it runs from top to bottom. */
async function runNotebook(file: string, parameters: Notebook["parameters"], folder: string): Promise<Notebook> {
  const { cells } = JSON.parse(await readFile(file, "utf8")) as {
    cells: { cell_type: string; metadata: { tags?: string[] }; source: string[] }[];
  };
  const text = cells
    .filter(({ cell_type: type }) => type === "code")
    .map(({ metadata: { tags = [] }, source }) => (
      tags.includes("parameters") ? `export const parameters = ${JSON.stringify(parameters)};` : source.join("")
    ));
  const module = join(folder, "notebook.mjs");
  await writeFile(module, text.join("\n\n"));
  return (await import(pathToFileURL(module).href)) as Notebook;
}

const folder = await mkdtemp(join(tmpdir(), "notebook-"));
const parameters = { path: join(FOLDER, "data", "breast-cancer.csv"), rates: [0.003, 0.03, 0.3, 1], seed: 42 };
const notebook = await runNotebook(join(FOLDER, "cancer.ipynb"), parameters, folder);

// 2. Each function becomes a task: a name, and what it needs beside.
const load = task("load", notebook.load);
const split = task("split", notebook.split);
const fit = task("fit", notebook.fit, { args: ["parts", "rate"], retries: 2 });
const evaluate = task("evaluate", notebook.evaluate, { args: ["parts", "model"] });
const best = task("best", notebook.best);

// 3. The last cell becomes the body: calls draw edges, the loop over step sizes is one instance each.
const study = dag("cancer", { params: notebook.parameters }, ({ path, rates, seed }) => {
  const parts = split(load(path), seed);
  const models = fit.expand({ rate: rates }, parts);
  return best(evaluate.expand({ model: models }, parts));
});

// 4. The same graph in this process, for a test; 5. and on the cluster.
const tested = await (await study.test()).result();
await using _cluster = await init({ numCpus: 2 });
const run = await study.run();
const found = await run.result();

assert.deepEqual(tested, notebook.outcome);
assert.deepEqual(found, notebook.outcome);
assert.ok(found.accuracy >= ACCURACY_MIN, `an accuracy of ${found.accuracy}`);
assert.equal((await run.tasks()).filter(({ state }) => state === "success").length, 11);
console.log(`notebook and graph agree: ${(found.accuracy * 100).toFixed(1)} % right with a step of ${found.rate}`);
await rm(folder, { recursive: true });
