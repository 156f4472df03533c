// What tasks print: in files of the node's session, at the driver, and nowhere any more when the cluster has ended. Who does not
// read costs lines, not memory.

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import { list, remote, run } from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";
import { until } from "../until.ts";

const SDK = fileURLToPath(new URL("../../dist/sdk/index.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "prints-"));

let cluster: TestCluster;
const children: ChildProcess[] = [];

beforeEach(async () => {
  cluster = await testCluster({ head: { numCpus: 1 } });
  await cluster.connect();
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await cluster.stop();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Of the head's node. */
async function logsFolder(): Promise<string> {
  const [{ id }] = await list.nodes();
  return join(tmpdir(), `troupe-${process.getuid?.()}`, `s-${id}`, "logs");
}

function printed(logs: string): string {
  return readdirSync(logs).map((name) => readFileSync(join(logs, name), "utf8")).join("");
}

function residentBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
}

test("lines of tasks are in the files of their node until it ends", async () => {
  const logs = await logsFolder();
  await run(remote(() => {
    console.log("to stdout");
    console.error("to stderr");
  }));
  await expect.poll(() => existsSync(logs) && printed(logs)).toMatch(/to stdout\n/);
  await expect.poll(() => printed(logs)).toMatch(/to stderr\n/);
  await cluster.stop();
  expect(existsSync(dirname(logs))).toBe(false);
});

test("a driver that is stopped misses lines, and is told how many; its node does not keep them for it", async () => {
  const file = join(folder, "driver.mjs");
  writeFileSync(file, `import { init, remote, run, shutdown } from ${JSON.stringify(SDK)};
    await init({ address: ${JSON.stringify(cluster.socket)}, token: process.env.CLUSTER_TOKEN });
    const flood = remote(async (folder) => {
      const { existsSync, writeFileSync } = await import("node:fs");
      const told = async (what, meanwhile) => {
        for (; !existsSync(folder + "/" + what); meanwhile()) await new Promise((resolve) => setTimeout(resolve, 100));
      };
      console.log("first words");
      await told("stopped", () => {});
      for (let line = 0; line < 120_000; line += 1) {
        console.log(line + " " + "x".repeat(1000));
        if (line % 500 === 0) await new Promise((resolve) => setTimeout(resolve, 10));
      }
      writeFileSync(folder + "/flooded", "");
      await told("reads", () => console.log("are you there?"));
      console.log("last words");
      await told("enough", () => {});
    });
    process.stderr.write("begins\\n");
    await run(flood, ${JSON.stringify(folder)});
    process.stderr.write("done\\n");
    await shutdown();`);
  const child = spawn(process.execPath, [file], {
    env: { ...process.env, CLUSTER_TOKEN: cluster.token }, stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  let out = "";
  let told = "";
  child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (told += chunk.toString()));
  const agent = [...cluster.pids().agents.values()][0];
  await expect.poll(() => told).toContain("begins");
  const before = residentBytes(agent);
  const logs = await logsFolder();
  const tell = (what: string) => writeFileSync(join(folder, what), "");
  await expect.poll(() => existsSync(logs) && printed(logs)).toContain("first words");
  child.kill("SIGSTOP");
  tell("stopped");
  await expect.poll(() => existsSync(join(folder, "flooded")), { timeout: 100_000 }).toBe(true);
  await expect.poll(() => printed(logs).includes("\n119999 "), { interval: 500 }).toBe(true);
  // A hundred and twenty megabytes were printed.
  expect(residentBytes(agent) - before).toBeLessThan(80 * 1024 * 1024);
  child.kill("SIGCONT");
  await until(() => /\(\d+ lines were dropped: this driver did not read them in time\)/.test(out));
  tell("reads");
  await until(() => out.includes("last words"));
  tell("enough");
  await expect.poll(() => told).toContain("done");
}, 240_000);
