// Arrow tables of a program that a loader runs: the class it imports is not the one require() gives.

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const PROGRAM = fileURLToPath(new URL("./fixtures/arrow-program.ts", import.meta.url));

test.each([
  ["the driver alone", ["--import", "tsx"], ""],
  ["every process", [], "--import tsx"],
])("tables travel where a loader is at work in %s, and come back as the program's own", async (_where, args, NODE_OPTIONS) => {
  const env = { ...process.env, NODE_OPTIONS };
  const { stdout } = await promisify(execFile)(process.execPath, [...args, PROGRAM], { env });
  expect(stdout).toBe("true 3 true\n");
}, 60_000);
