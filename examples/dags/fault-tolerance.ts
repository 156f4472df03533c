// A run that loses everything: two loads, one of them kept in a store, a transform, and a division by zero with one retry.
// Then every node is killed, and the program too. A new cluster over the same storage goes on with the run: what was kept is
// read, what was not is made again, and nothing else is.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { init, list } from "troupe";
import { dag, DagRunFailedError, defineStore, resume, task } from "troupe/dag";

const CLI = join(dirname(createRequire(import.meta.url).resolve("troupe/package.json")), "cli", "troupe.js");
const ROWS = 100_000;
const NODES = 2;

/** Who plays which part: nothing for the play itself. */
const [part = "play", folder = await mkdtemp(join(tmpdir(), "faults-")), port = String(await freePort()), runId = ""] =
  process.argv.slice(2);
const [tokenFile, divisorFile, logFile] = ["token", "divisor", "log"].map((name) => join(folder, name));

const note = (name: string): Promise<void> => appendFile(logFile, `${name}\n`);
const kept = defineStore("kept", { dir: join(folder, "kept") });
const load = async (name: string, from: number): Promise<Float64Array> => {
  await note(name);
  return Float64Array.from({ length: ROWS }, (_, i) => from + i);
};
const loadPrices = task("load_prices", () => load("load_prices", 0), { checkpoint: kept });
const loadAmounts = task("load_amounts", () => load("load_amounts", 1));
const transform = task("transform", async (prices: Float64Array, amounts: Float64Array) => {
  await note("transform");
  return prices.reduce((sum, price, i) => sum + price * amounts[i], 0);
});
const divide = task("divide", async (sum: number) => {
  await note("divide");
  const divisor = Number(await readFile(divisorFile, "utf8"));
  if (divisor === 0) throw new RangeError("division by zero");
  return sum / divisor;
}, { retries: 1, retryDelayMs: 50 });
const pipeline = dag("fault_tolerance", () => divide(transform(loadPrices(), loadAmounts())));

if (part === "play") await play();
else {
  await using _cluster = await init({ address: `127.0.0.1:${port}`, token: (await readFile(tokenFile, "utf8")).trim() });
  assert.equal((await list.nodes({ filters: { state: "ALIVE" } })).length, NODES);
  if (part === "run") await first();
  else await again();
}

/** The run fails, twice the same way. */
async function first(): Promise<void> {
  const run = await pipeline.run();
  const error = await run.result().catch((reason: unknown) => reason);
  assert.ok(error instanceof DagRunFailedError);
  assert.match(error.message, /division by zero/);
  await writeFile(join(folder, "run"), run.id);
}

async function again(): Promise<void> {
  const run = await resume(runId);
  const expected = Array.from({ length: ROWS }, (_, i) => i * (i + 1)).reduce((a, b) => a + b, 0) / 2;
  assert.equal(await run.result(), expected);
  console.log("the run went on and gave", expected);
}

async function play(): Promise<void> {
  await writeFile(tokenFile, "5e".repeat(32), { mode: 0o600 });
  await writeFile(divisorFile, "0");
  let nodes: ChildProcess[] = [];
  try {
    nodes = await startNodes();
    await perform("run");
    assert.deepEqual(await notes(), { load_prices: 1, load_amounts: 1, transform: 1, divide: 2 });

    await killAll(nodes);
    await writeFile(divisorFile, "2");
    nodes = await startNodes();
    await perform("resume", (await readFile(join(folder, "run"), "utf8")).trim());
    // One load was in the store; all else had gone with the nodes.
    assert.deepEqual(await notes(), { load_prices: 1, load_amounts: 2, transform: 2, divide: 3 });
    console.log("made again:", "load_amounts, transform, divide; read from the store: load_prices");
  } finally {
    await killAll(nodes);
    await rm(folder, { recursive: true });
  }
}

/** How often each task has begun. */
async function notes(): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const name of (await readFile(logFile, "utf8")).trim().split("\n")) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

async function startNodes(): Promise<ChildProcess[]> {
  const common = ["--token-file", tokenFile, "--num-cpus", "1", "--object-store-memory", "64MiB", "--block"];
  const head = await startNode(["--head", "--port", port, "--storage", join(folder, "storage"), ...common]);
  return [head, await startNode(["--address", `127.0.0.1:${port}`, ...common])];
}

function startNode(args: readonly string[]): Promise<ChildProcess> {
  const node = spawn(process.execPath, [CLI, "start", ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  return new Promise((resolve, reject) => {
    node.stdout.on("data", (bytes: Buffer) => {
      said += bytes.toString();
      // It is said when the node has joined.
      if (said.includes("\n")) resolve(node);
    });
    node.stderr.on("data", (bytes: Buffer) => (said += bytes.toString()));
    node.once("exit", (code) => reject(new Error(`a node ended with ${code}: ${said}`)));
  });
}

/** As a power cut would: nobody is told. */
async function killAll(nodes: readonly ChildProcess[]): Promise<void> {
  await Promise.all(nodes.map((node) => new Promise<void>((resolve) => {
    if (node.exitCode !== null || node.signalCode !== null) return resolve();
    node.removeAllListeners("exit").once("exit", () => resolve());
    node.kill("SIGKILL");
  })));
}

/** This program once more, in another part. */
async function perform(...args: readonly [name: string, id?: string]): Promise<void> {
  const [name, id = ""] = args;
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), name, folder, port, id], { stdio: "inherit" });
  const code = await new Promise((resolve) => child.once("exit", resolve));
  assert.equal(code, 0, `the part ${name} ended with ${String(code)}`);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port: found } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return found;
}
