// Entry scripts of every kind: what a worker computes is what the entry computes.

import { describe, expect, test } from "vitest";
import { type CaseLine, runProgram } from "./programs.ts";

function differences(lines: readonly CaseLine[]): string[] {
  return lines.filter(({ failed, expected, actual }) => failed !== undefined || expected !== actual)
    .map(({ name, failed, message, expected, actual }) => [name, failed, message, expected, actual].join(" | "));
}

describe("functions and classes of an entry script", () => {
  test("of plain ES modules", async () => {
    const lines = await runProgram({ entry: "cases.mjs" });
    expect(differences(lines)).toEqual([]);
    expect(lines.length).toBeGreaterThanOrEqual(85);
  });

  test("of CommonJS", async () => {
    const lines = await runProgram({ entry: "cases.cjs" });
    expect(differences(lines)).toEqual([]);
    expect(lines.length).toBeGreaterThanOrEqual(15);
  });

  test("under tsx, by a worker without it", async () => {
    const files = { "around.mjs": 'import * as entry from "./cases.ts";\nexport const viaEntry = () => typeof entry;\n' };
    const copies = { "cases.ts": "cases.mjs" };
    const lines = await runProgram({ entry: "cases.ts", flags: ["--import", "tsx"], copies, files });
    expect(differences(lines)).toEqual([]);
    expect(lines.length).toBeGreaterThanOrEqual(85);
  });

  test("equal code has an equal id in every process", async () => {
    const files = { "one.mjs": ONE };
    const [first, second] = await runProgram({ entry: "one.mjs", files, times: 2 });
    expect(first).toMatchObject({ id: expect.stringMatching(/^[0-9a-f]{32}$/), label: "job (one.mjs:5:13)" });
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

  test("without an inspector, code of the entry is refused", async () => {
    const flags = ["--experimental-permission", "--allow-fs-read=*", "--allow-fs-write=*"];
    const modern = Number(process.versions.node.split(".")[0]) >= 24 ? ["--permission", ...flags.slice(1)] : flags;
    const [line] = await runProgram({ entry: "one.mjs", flags: modern, files: { "one.mjs": ONE } });
    expect(line.failed).toBe("CAPTURE_NO_INSPECTOR");
    expect(line.message).toMatch(/\nfix: .*--allow-inspector/);
  });
});

test("a stack shows the file, line and column of the entry's text", async () => {
  const files = { "thrower.mjs": THROWER };
  const lines = await runProgram({ entry: "thrower.mjs", files });
  expect(differences(lines)).toEqual([]);
  expect(lines.map(({ actual }) => actual)).toEqual([
    "'thrower.mjs:6:9'", "'thrower.mjs:9:35'", "'thrower.mjs:14:11'", "'thrower.mjs:15:64'",
  ]);
});

const ONE = `
import { captureAll } from "./runner.mjs";
const { createShipper } = await import(process.argv[2]);
const constant = 1;
const job = () => constant;
await captureAll(createShipper(), { job }, process.argv[3]);
`;

const THROWER = `
import { captureAll } from "./runner.mjs";
const place = (error) => /(thrower\\.mjs:\\d+:\\d+)/.exec(error.stack)[1];
let count = 0;
function declared() {
  throw new Error("a");
}
function later() {
  return () => { if (place) throw new Error("b"); };
}
class Thrower {
  static kept = 1; #secret = 2;
  throws() { count++;
    throw new Error(String(this.#secret));
  } get [Symbol.toStringTag]() { return "T"; } fails() { throw new Error("d"); }
}
const caught = (fn) => { try { fn(); } catch (error) { return place(error); } };
const cases = {
  declared: () => caught(declared), later: () => caught(later()), method: () => caught(() => new Thrower().throws()),
  sameLine: () => caught(() => new Thrower().fails()),
};
const { createShipper } = await import(process.argv[2]);
await captureAll(createShipper(), cases, process.argv[3]);
`;
