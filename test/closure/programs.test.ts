// Entry scripts of every kind: what a worker computes is what the entry computes.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { CAPTURE_CODES } from "../../runtime/closure/refusal.ts";
import { runProgram } from "./programs.ts";
import { differences, ROOT } from "./settings.ts";

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

  test("without an inspector, code of the entry is refused", async () => {
    const flags = ["--experimental-permission", "--allow-fs-read=*", "--allow-fs-write=*"];
    const modern = Number(process.versions.node.split(".")[0]) >= 24 ? ["--permission", ...flags.slice(1)] : flags;
    const [line] = await runProgram({ entry: "one.mjs", flags: modern, files: { "one.mjs": ONE } });
    expect(line.failed).toBe("CAPTURE_NO_INSPECTOR");
    expect(line.message).toMatch(/\nfix: .*--allow-inspector/);
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

const ONE = `
import { captureAll } from "./runner.mjs";
const constant = 1;
const job = () => constant;
await captureAll({ job });
`;
