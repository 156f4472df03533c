// The public types are what their checks say: the compiler itself is the judge.

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

test("remote calls, refs and handles have the types of the contract", () => {
  const tsc = fileURLToPath(new URL("../../node_modules/.bin/tsc", import.meta.url));
  const project = fileURLToPath(new URL("tsconfig.json", import.meta.url));
  const { stdout, status } = spawnSync(tsc, ["-p", project], { encoding: "utf8" });
  expect(stdout).toBe("");
  expect(status).toBe(0);
}, 180_000);
