// `troupe init dag`: a project with a graph that runs, and whose test is green, at once.

import { mkdirSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import type { Command } from "commander";
import { InvalidArgumentError } from "../runtime/errors.ts";
import { dependencyFrom, linkPackage } from "./own-package.ts";
import { print } from "./table.ts";

export function declareInit(init: Command): void {
  init.addHelpText("after", "\nExample:\n  $ troupe init dag sales");
  init.command("dag").description("a project with a graph that runs at once")
    .argument("<name>", "its folder")
    .addHelpText("after", "\nExample:\n  $ troupe init dag sales\n  $ cd sales && troupe dag test sales")
    .action(initDag);
}

const PROJECT: Readonly<Record<string, string>> = {
  "package.json": '{\n  "name": "NAME",\n  "private": true,\n  "type": "module",\n  "scripts": {\n    "test": "node --test",\n' +
    '    "start": "troupe dag run NAME"\n  },\n  "dependencies": {\n    "troupe": "SPEC"\n  }\n}\n',
  "dags/NAME.mjs": `import { dag, task } from "troupe/dag";

const read = task("read", (path) => path.split("/").length);
const double = task("double", (n) => n * 2, { retries: 2, retryDelayMs: 1000 });
const sum = task("sum", (numbers) => numbers.reduce((a, b) => a + b, 0));

export const pipeline = dag("NAME", { schedule: "@daily", params: { path: "a/b/c" } }, ({ path }) => {
  const parts = read(path);
  return sum(double.expand({ n: [1, 2, 3, parts] }));
});
`,
  "NAME.test.mjs": `import assert from "node:assert/strict";
import { test } from "node:test";
import { pipeline } from "./dags/NAME.mjs";

test("the pipeline adds up", async () => {
  const run = await pipeline.test({ path: "x/y" });
  assert.equal(await run.result(), 16);
});
`,
};

function initDag(folder: string): void {
  const name = basename(resolve(folder)).replaceAll(/[^A-Za-z0-9_-]/g, "-");
  try {
    mkdirSync(join(folder, "dags"), { recursive: true });
    const filled = (text: string): string => text.replaceAll("NAME", name).replaceAll("SPEC", dependencyFrom(folder));
    for (const [file, text] of Object.entries(PROJECT)) {
      writeFileSync(join(folder, file.replaceAll("NAME", name)), filled(text), { flag: "wx" });
    }
    linkPackage(folder);
  } catch (error) {
    throw new InvalidArgumentError(`${folder} can't be made: ${(error as Error).message}`);
  }
  print(`${folder} is ready:\n  cd ${folder}\n  npm test\n  npx troupe dag run ${name}`);
}
