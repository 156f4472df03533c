// Errors in workers name the user's own file, line and column, whatever became of the text on its way there.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runProgram } from "./programs.ts";
import { differences, Matrix, nodes, STACK_SETTINGS } from "./settings.ts";

const matrix = new Matrix();
beforeAll(() => matrix.prepare(STACK_SETTINGS), 60_000);
afterAll(() => matrix.remove());

/** Where the file says `new Error("name")`. */
function placeIn(text: string, name: string): string {
  const rows = text.slice(0, text.search(new RegExp(`new \\w*Error\\("${name}`))).split("\n");
  return `'${name} stacks.ts:${rows.length}:${(rows.at(-1) as string).length + 1}'`;
}

for (const [major, node] of nodes()) {
  for (const setting of STACK_SETTINGS) {
    if (major < (setting.since ?? 0) || !(process.env.TROUPE_MATRIX === "all" || node === process.execPath)) continue;
    test.concurrent(`${setting.name} on Node ${major}`, { timeout: 300_000 }, async ({ skip }) => {
      if (node === undefined) return skip(`Node ${major} is not here: run npm run setup -- --tests`);
      const lines = await matrix.lines(setting, node, major);
      const text = readFileSync(join(matrix.root, "stacks.ts"), "utf8");
      const names = lines.map(({ name }) => name.split(" ")[1]);
      expect(lines.map(({ actual }) => actual)).toEqual(names.map((name) => placeIn(text, name)));
      expect(lines.length).toBeGreaterThanOrEqual(12);
    });
  }
}

test("JavaScript as it was written, on lines that were changed on their way", async () => {
  const lines = await runProgram({ entry: "thrower.mjs", files: { "thrower.mjs": THROWER } });
  expect(differences(lines)).toEqual([]);
  expect(lines.map(({ actual }) => actual)).toEqual([
    "'thrower.mjs:6:9'", "'thrower.mjs:9:35'", "'thrower.mjs:14:11'", "'thrower.mjs:15:64'", "'thrower.mjs:18:43'",
    "'thrower.mjs:18:43'",
  ]);
});

const THROWER = `
import { captureAll, shipperOf } from "./runner.mjs";
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
const counted = () => { count += 1; throw new Error(\`\${count}\`); };
const again = (await (async (code) => (await shipperOf()).revive(code.id, code.bytes))((await shipperOf()).capture(counted)));
const cases = {
  declared: () => caught(declared), later: () => caught(later()), method: () => caught(() => new Thrower().throws()),
  sameLine: () => caught(() => new Thrower().fails()), counted: () => caught(counted), twice: () => caught(again),
};
await captureAll(cases);
`;
