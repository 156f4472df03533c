// What `troupe inspect-closure` tells of a function: all that it takes along, no value of it, and what keeps it from travelling.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Machine } from "./machine.ts";

const machine = new Machine();
const file = join(machine.folder, "train.mjs");
beforeAll(() => writeFileSync(file, PROGRAM));
afterAll(() => machine.remove());

// The timer would keep a process for ever.
const PROGRAM = `
import { readFile } from "node:fs/promises";
import { remote } from ${JSON.stringify(new URL("../../dist/sdk/index.js", import.meta.url).href)};
const config = { limits: new Map([["a b", { deep: [1, 2, 3] }]]), weights: new Float64Array(5000) };
const secret = "hush hush";
let calls = 0;
class Model { #w = 1; predict(x) { return x * this.#w + config.weights[0]; } }
const model = new Model();
function helper(x) { calls++; return model.predict(x) + secret.length; }
export const step = async (file) => [await readFile(file), helper(1), config, calls];
export const job = remote((x) => step(x));
const timer = setInterval(() => {}, 1000);
const state = { deep: { timer } };
export const bad = () => state;
export default { nested() { return secret; } };
`;

interface Report {
  readonly label: string;
  readonly kind: string;
  readonly bytes: number;
  readonly entries: readonly { readonly path: string[]; readonly kind: string; readonly bytes: number }[];
}

async function reported(name: string): Promise<Report> {
  const { code, stdout, stderr } = await machine.troupe("inspect-closure", `${file}#${name}`, "--json");
  expect([code, stderr]).toEqual([0, ""]);
  return JSON.parse(stdout) as Report;
}

test("everything a function captures, with kinds, places, sizes and paths", async () => {
  const report = await reported("step");
  expect(report).toMatchObject({ label: "step (train.mjs:10:21)", kind: "function" });
  const found = new Map(report.entries.map((entry) => [entry.path.join(" "), entry]));
  expect(found.get("readFile")).toMatchObject({ kind: "import", place: "node:fs/promises#readFile" });
  expect(found.get("helper")).toMatchObject({ kind: "function", place: `${file}:9:1` });
  expect(found.get("helper model")?.kind).toBe("Model");
  expect(found.get("helper model .constructor")).toMatchObject({ kind: "class", place: `${file}:7:1` });
  expect(found.get("helper secret")?.kind).toBe("string");
  expect(found.get("calls")?.kind).toBe("number");
  expect(found.get('config .limits ["a b"] .deep')?.kind).toBe("Array");
  expect(found.get("config .weights")?.bytes).toBeGreaterThan(40_000);
  const [config, weights] = ["config", "config .weights"].map((path) => found.get(path)?.bytes ?? 0);
  expect(config).toBeGreaterThan(weights);
  expect(report.bytes).toBeGreaterThan(config + (found.get("helper")?.bytes ?? 0));
  const plain = await machine.troupe("inspect-closure", `${file}#step`);
  expect(plain.stdout).toMatch(/^step \(train\.mjs:10:21\): function, 4\d(\.\d)? KiB$/m);
  expect(plain.stdout).toMatch(/^ {2}readFile +import .*node:fs\/promises#readFile$/m);
  expect(plain.stdout).toMatch(/^ {4}\.weights +Float64Array +39\.1 KiB$/m);
  expect(plain.stdout + JSON.stringify(report)).not.toContain("hush");
});

test("a remote function, and what the default export has", async () => {
  expect((await reported("job")).entries[0]).toMatchObject({ path: ["step"], kind: "function" });
  expect((await reported("nested")).entries).toMatchObject([{ path: ["secret"], kind: "string" }]);
});

test("what can't travel ends with status 1, its code and the way to it", async () => {
  const { code, stderr } = await machine.troupe("inspect-closure", `${file}#bad`);
  expect([code, stderr]).toEqual([1, expect.stringContaining("captured through: bad -> state -> .deep -> .timer\nfix: ")]);
  const json = await machine.troupe("inspect-closure", `${file}#bad`, "--json");
  const path = ["bad", "state", ".deep", ".timer"];
  expect(json.code).toBe(1);
  expect(JSON.parse(json.stdout)).toMatchObject({ refused: { captureCode: "CAPTURE_HANDLE", variable: "timer", path } });
});

test.each([
  ["train.mjs", "is not FILE#NAME"], ["nowhere.mjs#step", "there is no file"], ["train.mjs#none", "it exports bad, job, step"],
])("%s is wrong usage", async (target, text) => {
  const { code, stderr } = await machine.troupe("inspect-closure", join(machine.folder, target));
  expect([code, stderr]).toEqual([2, expect.stringContaining(text)]);
  expect(stderr).not.toMatch(/^\s+at /m);
});
