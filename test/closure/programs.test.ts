// Entry scripts of every kind: what a worker computes is what the entry computes.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { CAPTURE_CODES } from "../../runtime/closure/refusal.ts";
import { runProgram } from "./programs.ts";
import { differences, nodes, ROOT } from "./settings.ts";

describe("functions and classes of an entry script", () => {
  test("under tsx, as CommonJS, with the names of the file as it was written", async () => {
    const files = { "app.cts": TYPED };
    const lines = await runProgram({ entry: "app.cts", flags: ["--import", "tsx"], files });
    expect(differences(lines)).toEqual([]);
    expect(lines.map(({ label }) => label)).toContain("scaled (app.cts:15:11)");
  });

  test.each([
    ["a folder", ".", "entry.cjs", []], ["a name without its ending", "entry", "entry.js", []],
    ["a link", "link.mjs", "entry.mjs", []], ["a kept link", "link.mjs", "entry.mjs", ["--preserve-symlinks-main"]],
    ["a thread", "thread.mjs", "entry.mjs", []],
  ])("of an entry that is named by %s: it runs once", async (_, entry, file, flags) => {
    const files = {
      [file]: file === "entry.mjs" ? `${ONCE}export { job, Task };` : ONCE, "thread.mjs": THREAD,
      "package.json": JSON.stringify({ type: file === "entry.js" ? "commonjs" : "module", main: file }),
    };
    const links = { "link.mjs": file };
    const lines = await runProgram({ entry, flags, files, links });
    expect(differences(lines)).toEqual([]);
    expect(lines.map(({ actual }) => actual)).toEqual(["41", "42"]);
  });

  test("of a text given on the command line", async () => {
    const code = 'const seven = 7; import("./runner.mjs").then(({ captureAll }) => ' +
      'captureAll({ seven: () => [seven, require("./local.cjs").times(2)] }))';
    expect(differences(await runProgram({ entry: code, flags: ["-e"] }))).toEqual([]);
    const module = 'import { captureAll } from "./runner.mjs"; import { RATE, scale } from "./helpers.mjs"; const seven = 7; ' +
      "await captureAll({ seven: () => [seven, RATE, scale(1)] });";
    expect(differences(await runProgram({ entry: module, flags: ["--input-type=module", "-e"] }))).toEqual([]);
  });

  test("equal code has an equal id in every process", async () => {
    const files = { "one.mjs": ONE };
    const [first, second] = await runProgram({ entry: "one.mjs", files, times: 2 });
    expect(first).toMatchObject({ id: expect.stringMatching(/^[0-9a-f]{32}$/), label: "job (one.mjs:4:13)" });
    expect(second.id).toBe(first.id);
  });
});

describe("what can't be sent", () => {
  test("is refused with its code, the way to it, and a remedy", async () => {
    const lines = await runProgram({ entry: "refusals.mjs" });
    expect(lines.filter(({ name, failed }) => name.split(" ")[0] !== failed)).toEqual([]);
    for (const { message, path, variable } of lines) {
      expect(message).toMatch(/^can't send ".*" to a worker: .+\ncaptured through: .+\nfix: .+\.$/);
      expect(path?.length).toBeGreaterThan(0);
      expect(variable).toBeTruthy();
    }
    expect(lines.find(({ name }) => name.endsWith("deep"))?.path?.slice(1)).toEqual(["state", ".deep", ".srv"]);
  });

  test("and each code is in the catalogue", () => {
    const catalogue = readFileSync(join(ROOT, "docs/errors.md"), "utf8");
    expect(CAPTURE_CODES.filter((code) => !catalogue.includes(`| \`${code}\` |`))).toEqual([]);
  });

  test("without an inspector, but for what modules export, and the process says so once", async () => {
    for (const [major, node] of nodes()) {
      if (node === undefined) continue;
      const permission = major >= 24 ? "--permission" : "--experimental-permission";
      const flags = [permission, "--allow-fs-read=*", "--allow-fs-write=*"];
      const lines = await runProgram({ entry: "blind.mjs", flags, files: { "blind.mjs": BLIND }, node });
      const { job, nameless, warnings, ...sent } = Object.fromEntries(lines.map((line) => [line.name, line]));
      expect([job.failed, nameless.failed, warnings.message]).toEqual(["CAPTURE_NO_INSPECTOR", "CAPTURE_NO_INSPECTOR", "1"]);
      expect(job.message).toMatch(/^can't send "job" to a worker: this process has no inspector.*\n.*\nfix: export it .*--allow/);
      expect(differences(Object.values(sent))).toEqual([]);
      expect(Object.keys(sent)).toEqual(["scale", "byDefault", "class", "ofPackage", "commonJs"]);
    }
  });
});

// Importing an entry again would say so on stdout of the worker, and in the result.
const ONCE = `
const isFirst = process.env.CLOSURE_OUT !== undefined;
globalThis.runs = (globalThis.runs ?? 0) + 1;
const job = () => 40 + (isFirst ? 1 : 9);
class Task { x() { return 42; } }
if (typeof module === "object") Object.assign(exports, { job, Task });
setTimeout(async () => {
  if (!isFirst || globalThis.runs > 1) return;
  const { captureAll } = await import("./runner.mjs");
  await captureAll({ job, Task: () => new Task().x() });
}, 5);
`;

const THREAD = `
import { Worker } from "node:worker_threads";
new Worker(new URL("./entry.mjs", import.meta.url)).on("error", (error) => { throw error; });
`;

const TYPED = `
import { parse } from "acorn";
import * as acorn from "acorn";
import { readFileSync } from "node:fs";
enum Level { Low, High }
abstract class Shape<T> {
  constructor(protected readonly size: T, private n = 1) {}
  abstract area(): number;
  get count() { return this.n; }
}
class Square extends Shape<number> { #scale = 2; area(): number { return this.size * this.#scale; } }
const rate: number = 7;
let count = 0;
const cases = {
  scaled: (): number => rate,
  imported: () => [parse("1", { ecmaVersion: 2020 }).type, typeof acorn.version, typeof readFileSync],
  levels: () => [Level.High, Level[0]],
  shapes: () => [new Square(3).area(), new Square(1).count, Square.name],
  state: () => { count++; return count; },
};
import("./runner.mjs" as string).then(({ captureAll }) => captureAll(cases));
`;

/** In a process that may not look at its functions. */
const BLIND = `
import { createRequire } from "node:module";
import { readFileSync, writeFileSync } from "node:fs";
import byDefault, { scale, Shape } from "./helpers.mjs";
import { captureAll } from "./runner.mjs";
const require = createRequire(import.meta.url);
const [{ times }, parser] = [require("./local.cjs"), require("acorn")];
let warnings = 0;
process.on("warning", ({ code }) => { if (code === "TROUPE_REFERENCE_ONLY") warnings++; });
const job = () => 1;
const cases = { scale: [scale, 2], byDefault: [byDefault, 2], class: [Shape], ofPackage: [parser.isNewLine, 10],
  commonJs: [times, 2], job, nameless: [() => 2].at() };
await captureAll(cases);
await new Promise((resolve) => setImmediate(resolve));
const lines = JSON.parse(readFileSync(process.env.CLOSURE_OUT, "utf8"));
lines.push({ name: "warnings", failed: "no case", message: String(warnings) });
writeFileSync(process.env.CLOSURE_OUT, JSON.stringify(lines));
`;

const ONE = `
import { captureAll } from "./runner.mjs";
const constant = 1;
const job = () => constant;
await captureAll({ job });
`;
