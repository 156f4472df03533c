// Owners that hold workers and do not use them: a driver whose loop is blocked, one whose process is stopped. Others must get on,
// and nothing may be lost, or run twice, when the owner pushes at the moment its lease is taken.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import { get, remote, run } from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";

const SDK = fileURLToPath(new URL("../../dist/sdk/index.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "idle-"));

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

interface Driver {
  readonly child: ChildProcess;
  readonly line: (text: string) => Promise<string>;
}

/** Another driver of the same cluster, in a process of its own. */
function driver(body: string): Driver {
  const file = join(folder, `driver-${children.length}.mjs`);
  writeFileSync(file, `import { init, get, remote, run, shutdown } from ${JSON.stringify(SDK)};
    import { appendFileSync, existsSync, readFileSync } from "node:fs";
    const block = (ms) => { for (const until = Date.now() + ms; Date.now() < until;); };
    await init({ address: ${JSON.stringify(cluster.socket)}, token: process.env.CLUSTER_TOKEN });
    ${body}`);
  const child = spawn(process.execPath, [file], {
    env: { ...process.env, CLUSTER_TOKEN: cluster.token }, stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  let seen = "";
  const heard = new Set<() => void>();
  child.stdout.on("data", (chunk: Buffer) => {
    seen += String(chunk);
    for (const tell of heard) tell();
  });
  const line = (text: string) => new Promise<string>((found) => {
    const look = () => {
      const known = seen.split("\n").find((one) => one.includes(text));
      if (known !== undefined) found(known);
    };
    heard.add(look);
    look();
  });
  return { child, line };
}

const one = remote(() => 1);

test("a driver that blocks its loop does not keep others from the worker it was granted", async () => {
  const enough = join(folder, "enough");
  const { line } = driver(`
    const f = remote(() => process.pid);
    await run(f);
    const late = f.remote();
    console.log("blocking");
    while (!existsSync(${JSON.stringify(enough)}));
    console.log("goes on");
    console.log("late " + typeof (await get(late)));
    console.log("again " + typeof (await run(f)));`);
  await line("blocking");
  expect(await run(one)).toBe(1);
  writeFileSync(enough, "");
  await line("goes on");
  expect(await line("late")).toBe("late number");
  expect(await line("again")).toBe("again number");
});

test("a driver that is stopped neither is ended nor holds others up, and goes on later", async () => {
  const { child, line } = driver(`
    const f = remote(() => new Promise((resolve) => setTimeout(() => resolve("done"), 100)));
    const refs = Array.from({ length: 6 }, () => f.remote());
    await get(refs[0]);
    console.log("under way");
    console.log("all " + (await get(refs)).join());`);
  await line("under way");
  child.kill("SIGSTOP");
  for (let round = 0; round < 3; round += 1) {
    expect(await run(one)).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 2500));
  }
  expect(child.exitCode ?? child.signalCode).toBe(null);
  child.kill("SIGCONT");
  expect(await line("all")).toBe("all done,done,done,done,done,done");
});

// Blocks that are about as long as the bound: the lease is taken just before, while and just after the owner pushes.
test("tasks pushed while their lease is taken run exactly once", async () => {
  const log = join(folder, "ran");
  writeFileSync(log, "");
  const { line } = driver(`
    const note = remote((n) => appendFileSync(${JSON.stringify(log)}, n + "\\n"), { maxRetries: 0 });
    let count = 0;
    for (let round = 0; round < 14; round += 1) {
      await get(note.remote(count++));
      block(440 + round * 20);
      const refs = Array.from({ length: 5 }, () => note.remote(count++));
      await new Promise((resolve) => setImmediate(resolve));
      block(30);
      await get(refs);
    }
    console.log("ran " + count);`);
  let ended = false;
  const said = line("ran ").finally(() => (ended = true));
  const short = remote(() => 0);
  // Somebody always waits.
  while (!ended) await get(Array.from({ length: 3 }, () => short.remote()));
  const count = Number((await said).slice("ran ".length));
  const ran = readFileSync(log, "utf8").trim().split("\n").map(Number).sort((left, right) => left - right);
  expect(ran).toEqual(Array.from({ length: count }, (_, index) => index));
});

// The claim page of a dead worker's lease tells its owner what had started: nobody else may have it before the owner has looked.
test("a worker that dies while its owner's loop is blocked had started what it had started", async () => {
  const log = join(folder, "crashed");
  writeFileSync(log, "");
  const { line } = driver(`
    const crash = remote(async () => {
      appendFileSync(${JSON.stringify(log)}, "started\\n");
      await new Promise((resolve) => setTimeout(resolve, 300));
      process.kill(process.pid, "SIGKILL");
    }, { maxRetries: 0 });
    const ref = crash.remote();
    while (readFileSync(${JSON.stringify(log)}, "utf8") === "") await new Promise((resolve) => setTimeout(resolve, 10));
    block(2500);
    console.log("failed " + (await get(ref).catch((error) => error.code)));`);
  for (let rounds = 0; rounds < 100 && readFileSync(log, "utf8") === ""; rounds += 1) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  // Other leases are granted meanwhile, each with a page.
  for (let round = 0; round < 5; round += 1) await run(one);
  expect(await line("failed")).toBe("failed WORKER_CRASHED");
  expect(readFileSync(log, "utf8")).toBe("started\n");
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));
