// Runs outlive what carries them out: drivers and nodes are killed in the middle, and another process goes on.

import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Ended, Machine } from "./machine.ts";

const DAG = pathToFileURL(fileURLToPath(new URL("../../dist/dag/index.js", import.meta.url))).href;
const NODE = ["--num-cpus", "2", "--object-store-memory", "64MiB"];
let machine: Machine;
let storage: string;

beforeEach(async () => {
  machine = new Machine();
  storage = join(machine.folder, "kept");
  await start();
});
afterEach(() => machine.remove());

async function start(): Promise<void> {
  expect(await machine.troupe("start", "--head", "--port", "0", ...NODE, "--storage", storage)).toMatchObject({ code: 0 });
}

async function killEverything(): Promise<void> {
  for (const { pid } of (await machine.status()).nodes) process.kill(pid, "SIGKILL");
  await machine.troupe("stop", "--force");
}

/** Each task leaves a line a start. */
const starts = (): Record<string, number> => {
  const counts: Record<string, number> = {};
  const file = join(machine.folder, "starts");
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  for (const line of text.split("\n")) if (line !== "") counts[line] = (counts[line] ?? 0) + 1;
  return counts;
};

const GRAPH = (folder: string) => `
  import { appendFileSync, existsSync } from "node:fs";
  import * as troupeDag from ${JSON.stringify(DAG)};
  const { clear, dag, defineStore, getRun, mark, resume, store, task } = troupeDag;
  const folder = ${JSON.stringify(folder)};
  defineStore("safe", { dir: folder + "/safe" });
  const step = (name, more = {}) => task(name, (...values) => {
    appendFileSync(folder + "/starts", name + "\\n");
    return values.reduce((sum, value) => sum + value, 1);
  }, more);
  const fails = task("fails", (value) => {
    appendFileSync(folder + "/starts", "fails\\n");
    if (!existsSync(folder + "/mended")) throw new RangeError("not yet");
    return value * 10;
  });
  const load1 = step("load1"), load2 = step("load2", { checkpoint: store("safe") }), transform = step("transform");
  const graph = dag("demo", () => fails(transform(load1(), load2())));`;

function driver(body: string): Promise<Ended> {
  return machine.driver(`${GRAPH(machine.folder)}
    await init({ address: "auto" });
    {
      ${body}
    }
    await shutdown();`);
}

describe("runs that outlive their processes", () => {
  test("a run whose nodes were all killed is resumed by another driver: only what was not in a store runs again", async () => {
    const first = await driver(`const run = await graph.run(); await run.done(); console.log(run.id, run.state);`);
    expect([first.code, first.stderr]).toEqual([0, ""]);
    const [id, state] = first.stdout.trim().split(" ");
    expect([state, starts()]).toEqual(["failed", { load1: 1, load2: 1, transform: 1, fails: 1 }]);
    await killEverything();
    writeFileSync(join(machine.folder, "mended"), "");
    await start();
    const second = await driver(`
      const seen = await getRun("${id}");
      console.log(seen.state, (await seen.tasks()).map(({ id, state }) => id + "=" + state).join(" "));
      const run = await resume("${id}");
      console.log(await run.result(), run.id === "${id}", run.state);
      console.log((await run.tasks()).map(({ id, attempt }) => id + "=" + attempt).join(" "));`);
    expect(second).toEqual({ code: 0, stderr: "", stdout: [
      "failed load1=success load2=success transform=success fails=failed",
      "30 true success",
      "load1=1 load2=0 transform=1 fails=1\n",
    ].join("\n") });
    expect(starts()).toEqual({ load1: 2, load2: 1, transform: 2, fails: 2 });
  });

  test("a driver that is killed in the middle is followed by another one; the journal says where it stood", async () => {
    const killed = await driver(`
      const slow = task("slow", async (value) => {
        appendFileSync(folder + "/starts", "slow\\n");
        while (!existsSync(folder + "/go")) await new Promise((resolve) => setTimeout(resolve, 20));
        return value + 1;
      });
      const run = await dag("cut", () => slow(load2())).run();
      for await (const event of run.events()) if (event.taskId === "slow" && event.state === "running") break;
      console.log(run.id);
      // What has happened is on its way to the journal.
      await new Promise((resolve) => setTimeout(resolve, 300));
      process.kill(process.pid, "SIGKILL");`);
    const id = killed.stdout.trim();
    writeFileSync(join(machine.folder, "go"), "");
    const next = await driver(`
      const seen = await getRun("${id}");
      console.log(seen.state, (await seen.tasks()).map(({ id, state }) => id + "=" + state).join(" "));
      const run = await resume("${id}");
      console.log(await run.result(), (await seen.done()).state, await seen.result());`);
    expect(next).toEqual({ code: 0, stderr: "", stdout: "running load2=success slow=running\n2 success 2\n" });
    expect(starts()).toEqual({ load2: 1, slow: 2 });
  });

  test("a damaged checkpoint is not believed: the task runs again, and the run says why", async () => {
    const { stdout } = await driver(`const run = await graph.run(); await run.done(); console.log(run.id);`);
    const folder = join(machine.folder, "safe");
    for (const name of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      if (name.isFile()) truncateSync(join(name.parentPath, name.name), 5);
    }
    await killEverything();
    await start();
    writeFileSync(join(machine.folder, "mended"), "");
    const next = await driver(`
      const run = await resume("${stdout.trim()}");
      console.log(await run.result());
      for await (const { type, taskId, value } of run.events()) {
        if (type === "log" && taskId === "load2") console.log(value);
      }`);
    expect(next.stdout).toMatch(/^30\nits checkpoint demo\/.* in store safe is of no use: it has 5 bytes .* damaged\n$/);
    expect(starts()).toEqual({ load1: 2, load2: 2, transform: 2, fails: 2 });
  });

  test("tasks are cleared and marked from another process; a run is one process's at a time", async () => {
    const { stdout } = await driver(`const run = await graph.run(); await run.done(); console.log(run.id);`);
    const id = stdout.trim();
    const next = await driver(`
      const marked = await mark("${id}", "fails", "success");
      await marked.done();
      const there = await getRun("${id}");
      console.log(marked.state, there.state);
      const cleared = await clear("${id}", { task: "load2" });
      await cleared.done();
      console.log(cleared.state, (await clear("none", { task: "a" }).catch((error) => error)).name);`);
    expect(next).toEqual({ code: 0, stderr: "", stdout: "success success\nfailed NotFoundError\n" });
    expect(starts()).toEqual({ load1: 1, load2: 2, transform: 2, fails: 2 });
  });

  test("results outlive who made them and who asked for them: another driver goes on with them, nothing runs again", async () => {
    const killed = await driver(`
      const big = task("big", () => {
        appendFileSync(folder + "/starts", "big\\n");
        return new Float64Array(200_000).fill(2);
      });
      const sum = task("sum", (values, more) => {
        appendFileSync(folder + "/starts", "sum\\n");
        if (!existsSync(folder + "/mended")) throw new Error("not yet");
        return values.reduce((a, b) => a + b, more);
      });
      const run = await dag("kept", () => sum(big(), load1())).run();
      await run.done();
      console.log(run.id);
      process.kill(process.pid, "SIGKILL");`);
    writeFileSync(join(machine.folder, "mended"), "");
    const next = await driver(`
      const run = await resume("${killed.stdout.trim()}");
      console.log(await run.result());
      console.log((await run.tasks()).map(({ id, attempt }) => id + "=" + attempt).join(" "));`);
    expect(next).toEqual({ code: 0, stderr: "", stdout: "400001\nbig=0 load1=0 sum=1\n" });
    expect(starts()).toEqual({ big: 1, load1: 1, sum: 2 });
  });
});
