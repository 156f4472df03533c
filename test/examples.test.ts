// Every example runs as its reader would run it: compiled, in a process of its own. It must end well and leave nothing behind.

import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { processesWith } from "./leak-check.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const TIMEOUT_MS = 60_000;
const GRAPH_TIMEOUT_MS = 240_000;
const OUTPUT_SHOWN = 4000;

const examples = readdirSync(join(ROOT, "examples"))
  .filter((name) => name.endsWith(".ts"))
  .map((name) => ({ name: name.replace(/\.ts$/, ""), args: [] as string[] }));
const demo = { name: "flights/demo", args: ["--small"] };
/** Whole projects on real data. */
const graphs = readdirSync(join(ROOT, "examples", "dags"))
  .filter((name) => name.endsWith(".ts"))
  .map((name) => ({ name: `dags/${name.replace(/\.ts$/, "")}`, args: [] as string[] }));

/** Sockets and session folders of what runs here, apart from those of other tests. */
const folder = mkdtempSync(join(tmpdir(), "ex-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly output: string;
}

function runExample(name: string, args: readonly string[], marker: string): Promise<Ended> {
  const child = spawn(process.execPath, [join(ROOT, "dist", "examples", `${name}.js`), ...args], {
    env: { ...process.env, TMPDIR: folder, EXAMPLE_RUN: marker },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: name.startsWith("dags/") ? GRAPH_TIMEOUT_MS : TIMEOUT_MS,
    killSignal: "SIGKILL",
  });
  let output = "";
  child.stdout.on("data", (bytes: Buffer) => (output += bytes.toString()));
  child.stderr.on("data", (bytes: Buffer) => (output += bytes.toString()));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, output }));
  });
}

describe("examples", () => {
  test("there is one for each capability, and each is short", () => {
    expect(examples.length).toBeGreaterThanOrEqual(8);
    for (const { name } of examples) {
      expect(readFileSync(join(ROOT, "examples", `${name}.ts`), "utf8").split("\n").length, name).toBeLessThanOrEqual(60);
    }
  });

  const timeout = GRAPH_TIMEOUT_MS + 10_000;
  test.each([...examples, demo, ...graphs])("$name runs, and leaves nothing behind", { timeout }, async ({ name, args }) => {
    const marker = `${process.pid}-${name}`;
    const { code, output } = await runExample(name, args, marker);
    expect(code, output.slice(-OUTPUT_SHOWN)).toBe(0);
    expect(output.trim()).not.toBe("");
    // A private cluster ends with its driver: what is still there now has outlived it.
    await expect.poll(() => processesWith(`EXAMPLE_RUN=${marker}`)).toEqual([]);
    await expect.poll(() => leftIn(folder)).toEqual([]);
  });
});

/** Files and sockets below the folder; folders that are empty don't count. */
function leftIn(root: string): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name));
}
