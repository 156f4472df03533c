// Runs whose engine is another process, or dies: they can be cancelled from anywhere, and what they triggered is there once.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { init, kv, shutdown } from "troupe";
import { dag, getRun, pool, resume, serveDags, setup, task, teardown, variable } from "troupe/dag";
import { type TestCluster, testCluster } from "troupe/testing";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";

const PROGRAM = fileURLToPath(new URL("./fixtures/dag-engine.mjs", import.meta.url));
let cluster: TestCluster;
const engines: ChildProcess[] = [];

beforeAll(async () => {
  cluster = await testCluster({ nodes: [{ numCpus: 2 }] });
  await init({ address: cluster.address, token: cluster.token });
});
afterEach(() => { for (const engine of engines.splice(0)) engine.kill("SIGKILL"); });
afterAll(async () => {
  await shutdown();
  await cluster.stop();
});

interface RunRecord {
  readonly id: string;
  readonly dagId: string;
  readonly state: string;
}

async function recordsOf(dagId: string): Promise<RunRecord[]> {
  const found: RunRecord[] = [];
  for await (const [, record] of kv.scan<RunRecord>("dag/run/")) if (record.dagId === dagId) found.push(record);
  return found;
}

/** The engine of a scenario. */
function engineOf(scenario: string): ChildProcess {
  const env = { ...process.env, ADDRESS: cluster.address, TOKEN: cluster.token };
  const engine = spawn(process.execPath, [PROGRAM, scenario], { env, stdio: ["ignore", "pipe", "inherit"] });
  engines.push(engine);
  return engine;
}

async function runOf(engine: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: engine.stdout! })) return line;
  throw new Error("the engine ended before it told its run");
}

const leases = async (): Promise<string[]> => {
  const keys: string[] = [];
  for await (const [key] of kv.scan("dag/lease/")) keys.push(key);
  return keys;
};

describe("a triggered run", () => {
  test.each(["triggers", "triggers-and-waits"])("is made once when its engine dies at once: %s", async (scenario) => {
    const before = new Set([...(await recordsOf("parent")), ...(await recordsOf("child"))].map(({ id }) => id));
    const [, signal] = (await once(engineOf(scenario), "exit")) as [number, string];
    expect(signal).toBe("SIGKILL");
    const [parent] = (await recordsOf("parent")).filter(({ id }) => !before.has(id));
    const made = async () => (await recordsOf("child")).filter(({ id }) => !before.has(id));
    const [child] = await made();
    expect([parent.state, child.state]).toEqual(["running", "running"]);

    const run = await resume(parent.id);
    expect(await run.result()).toBe(scenario === "triggers" ? child.id : "waited");
    // It is gone on with, also when nobody waits for it.
    await expect.poll(async () => (await made()).map(({ id, state }) => [id, state]))
      .toEqual([[child.id, "success"]]);
    expect(await leases()).toEqual([]);
  });
});

describe("a pool", () => {
  const taken = async () => (await kv.get<{ held: Readonly<Record<string, number>> }>("dag/pool/turns"))?.held ?? {};

  test("has so many places in the whole cluster, and processes take turns", async () => {
    const ids = await Promise.all(["turns", "turns"].map((scenario) => runOf(engineOf(scenario))));
    const runs = await Promise.all(ids.map((id) => getRun(id)));
    await Promise.all(runs.map((run) => run.done()));
    expect(runs.map(({ state }) => state)).toEqual(["success", "success"]);
    expect([await variable("now").get(), await variable("most").get()]).toEqual([0, 1]);
    await expect.poll(taken).toEqual({});
  });

  test("gets back the places of a process that died", async () => {
    const engine = engineOf("one-turn");
    const held = await runOf(engine);
    await expect.poll(async () => Object.values(await taken())).toEqual([1]);
    engine.kill("SIGKILL");
    const next = task("next", () => "its turn", { pool: pool("turns", 1), numCpus: 0 });
    expect(await (await dag("next", () => next()).run()).result()).toBe("its turn");
    await expect.poll(taken).toEqual({});
    await (await getRun(held)).cancel();
  });
});

describe("cancel", () => {
  test("of a run of another driver ends it there, and is answered when it has", async () => {
    const id = await runOf(engineOf("waits"));
    const seen = await getRun(id);
    await seen.cancel("enough");
    expect([seen.state, (await recordsOf("waits")).find((one) => one.id === id)?.state]).toEqual(["cancelled", "cancelled"]);
    const told: unknown[] = [];
    for await (const { value } of seen.events()) told.push(value);
    expect(told).toContain("enough");
    for await (const [key] of kv.scan("dag/cancel/")) expect(key).toBe("");
    // What is over stays as it is.
    await seen.cancel();
    expect((await getRun(id)).state).toBe("cancelled");
  });

  test("of a run whose driver has died ends it here", async () => {
    const engine = engineOf("waits");
    const id = await runOf(engine);
    engine.kill("SIGKILL");
    await (await getRun(id)).cancel();
    expect([(await recordsOf("waits")).find((one) => one.id === id)?.state, await leases()]).toEqual(["cancelled", []]);
  });

  test("of a run of a service lets it clean up first", async () => {
    const sleep = task("sleep", (_of: unknown) => new Promise((resolve) => setTimeout(resolve, 600_000)), { numCpus: 0 });
    const tidy = task("tidy", (_of: unknown) => kv.set("tidied", true), { numCpus: 0 });
    const graph = dag("cleans", () => {
      const made = setup(task("make", () => 1, { numCpus: 0 })());
      const slept = sleep(made);
      teardown(tidy(slept), { setups: [made] });
    });
    const service = await serveDags({ dags: [graph] }, { name: "cancels" });
    const id = await service.trigger("cleans");
    const run = await getRun(id);
    await expect.poll(async () => (await run.tasks())[1].state).toBe("running");
    await run.cancel();
    expect([run.state, await kv.get("tidied"), (await service.run(id)).state]).toEqual(["cancelled", true, "cancelled"]);
    await service.stop();
  });
});
