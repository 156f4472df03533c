// The same cases in every setting, on every supported release of Node: what a worker computes is what the program computes.
//
// The usual run has every setting on the Node that runs it, and ES modules on the others; TROUPE_MATRIX=all has everything.

import { afterAll, beforeAll, expect, test } from "vitest";
import { differences, ES_MODULES, Matrix, nodes, SETTINGS, TEST_RUNNER } from "./settings.ts";

const matrix = new Matrix();
beforeAll(() => matrix.prepare([...SETTINGS, TEST_RUNNER]), 60_000);
afterAll(() => matrix.remove());

/** Fewer would mean that a part of the cases was not run. */
const CASES = 160;
const isWhole = process.env.TROUPE_MATRIX === "all";

for (const [major, node] of nodes()) {
  for (const setting of [TEST_RUNNER, ...SETTINGS]) {
    if (major < (setting.since ?? 0) || !(isWhole || node === process.execPath || setting === ES_MODULES)) continue;
    // Waiting for a free core counts too.
    test.concurrent(`${setting.name} on Node ${major}`, { timeout: 600_000 }, async ({ skip }) => {
      if (node === undefined) return skip(`Node ${major} is not here: run npm run setup -- --tests`);
      const lines = await matrix.lines(setting, node, major);
      expect(differences(lines)).toEqual([]);
      expect(lines.length).toBeGreaterThanOrEqual(setting === TEST_RUNNER ? 4 * CASES : CASES);
    });
  }
}
