// What something waits for, in words and as data, in every state that it can wait in.

import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  cancel, explain, get, getRuntimeContext, kill, put, ready, remote, wait, type Cluster, type Explanation, type ReasonKind,
} from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";

let cluster: TestCluster;
let driver: Cluster;

beforeEach(async () => {
  cluster = await testCluster({ head: { numCpus: 2 }, nodes: [{ numCpus: 1, resources: { b: 1 } }] });
  driver = await cluster.connect();
});
afterEach(() => cluster.stop());

/** Asks until these kinds, and no others, are given. */
async function explained(what: Parameters<typeof explain>[0], ...kinds: ReasonKind[]): Promise<Explanation> {
  const until = Date.now() + 60_000;
  for (;;) {
    const found = await explain(what);
    const told = found.reasons.map(({ kind }) => kind);
    if (told.join() === kinds.join()) {
      expect(found.text.split("\n")).toHaveLength(kinds.length);
      return found;
    }
    if (Date.now() > until) throw new Error(`expected ${kinds.join()}, got ${told.join()}: ${found.text}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const nap = remote(async function nap(ms: number) {
  await new Promise((resolve) => setTimeout(resolve, ms, getRuntimeContext().signal));
  return ms;
});
const LONG = 600_000;

test("running: where, and since when; waiting for resources behind it; for arguments behind that", async () => {
  const running = nap.options({ resources: { b: 1 } }).remote(LONG);
  const found = await explained(running, "running");
  const b = (await driver.nodes()).find(({ resources }) => resources.b === 1)?.id;
  expect(found.reasons[0]).toMatchObject({ kind: "running", id: running.id, name: "nap", nodeId: b, attempt: 0 });
  expect(found.reasons[0].ageMs).toBeGreaterThan(0);
  expect(found.text).toMatch(/^task "nap" \(.+\) runs in process \d+ of node /);
  const behind = nap.options({ resources: { b: 1 } }).remote(1);
  const queued = await explained(behind, "resources");
  expect(queued.reasons[0]).toMatchObject({ id: behind.id, isKept: false, resources: { b: 1, CPU: 1 } });
  const after = nap.remote(behind);
  const [first, second] = (await explained(after, "arguments", "resources")).reasons;
  expect(first).toMatchObject({ id: after.id, objectIds: [behind.id] });
  expect(second.id).toBe(behind.id);
  await cancel([running, behind], { force: true });
  await expect(get(after)).rejects.toThrow();
  expect((await explained(after, "failed")).reasons[0].errorCode).toBe("TASK_CANCELLED");
});

test("what actors hold for life is told apart: no task that ends makes room", async () => {
  class Holder {
    hold() {
      return 1;
    }
  }
  const holder = remote(Holder, { resources: { b: 1 } }).remote();
  await ready(holder);
  const stuck = nap.options({ resources: { b: 1 } }).remote(1);
  const { reasons, text } = await explained(stuck, "resources");
  expect(reasons[0].isKept).toBe(true);
  expect(text).toContain("actors or placement groups hold what it needs");
  await kill(holder);
  expect(await get(stuck)).toBe(1);
});

test("what no node can ever hold", async () => {
  const never = nap.options({ resources: { unheard: 1 }, throwOnInfeasible: false }).remote(1);
  const { reasons, text } = await explained(never, "infeasible");
  expect(reasons[0]).toMatchObject({ resources: { unheard: 1 } });
  expect(text).toContain("unheard");
  await cancel(never);
});

test("a task that waits in its code, through the one that it waits for; one whose loop does not turn", async () => {
  const outer = remote(async function outer() {
    return get(nap.options({ resources: { b: 1 } }).remote(600_000));
  });
  const ref = outer.remote();
  const { reasons } = await explained(ref, "running", "waiting", "running");
  expect(reasons[1].objectIds).toEqual([reasons[2].id]);
  expect(reasons[2]).toMatchObject({ name: "nap" });
  await cancel(ref, { force: true });
  const spin = remote(function spin() {
    for (const until = Date.now() + 60_000; Date.now() < until;);
  }, { maxRetries: 0 });
  const spinning = spin.remote();
  await explained(spinning, "running", "blocked");
  await cancel(spinning, { force: true });
});

test("the delay before a retry", async () => {
  const fails = remote(function fails() {
    throw new Error("again");
  }, { retryExceptions: true, retryDelayMs: 500_000, maxRetryDelayMs: 500_000 });
  const { reasons } = await explained(fails.remote(), "retry");
  expect(reasons[0].retryInMs).toBeGreaterThan(0);
  expect(reasons[0].attempt).toBe(1);
});

test("calls of an actor: before its turn, while it is made, while it is restarted, and when it is dead", async () => {
  class Slow {
    async nap(ms: number) {
      await new Promise((resolve) => setTimeout(resolve, ms));
    }
    pid() {
      return process.pid;
    }
  }
  const slow = remote(Slow, { resources: { b: 1 }, maxRestarts: 1 }).remote();
  const pid = await get(slow.pid.remote());
  const running = slow.nap.remote(LONG);
  const second = slow.nap.remote(LONG);
  const third = slow.pid.remote();
  await explained(running, "running");
  expect((await explained(second, "actor-queue")).reasons[0]).toMatchObject({ ahead: 0, name: "Slow.nap" });
  const { reasons, text } = await explained(third, "actor-queue");
  expect(reasons[0].ahead).toBe(1);
  expect(text).toContain('1 calls before it, "Slow.nap" runs');
  await explained(slow, "ready");
  // The only node that can hold it is full when it is to live again.
  const blocker = nap.options({ resources: { b: 1 } }).remote(LONG);
  await explained(blocker, "resources");
  process.kill(pid, "SIGKILL");
  await wait([running]);
  const waiting = slow.pid.options({ maxTaskRetries: 1 }).remote();
  const restart = await explain(waiting);
  expect(restart.reasons.map(({ kind }) => kind)).not.toContain("unknown");
  await kill(slow);
  await explained(slow, "actor-dead");
  await cancel(blocker, { force: true });
});

test("an actor that finds no room to start in", async () => {
  class Idle {
    touch() {
      return 1;
    }
  }
  const holder = nap.options({ resources: { b: 1 } }).remote(LONG);
  await explained(holder, "running");
  const idle = remote(Idle, { resources: { b: 1 } }).remote();
  const { reasons } = await explained(idle.touch.remote(), "actor-queue", "actor-pending", "resources");
  expect(reasons[2].resources).toMatchObject({ b: 1 });
  await cancel(holder, { force: true });
});

test("what is there, what its stream's reader has not taken, and what nobody knows", async () => {
  expect((await explained(await put(1), "ready")).text).toContain("is ready");
  const endless = remote(async function* endless() {
    for (let n = 0; ; n += 1) yield n;
  }, { streamBackpressure: 3 });
  const stream = endless.remote();
  expect((await explained(stream, "running", "stream")).text).toContain("3 of its items are not taken");
  await cancel(stream);
  await explained("0123456789abcdef.1", "unknown");
  await expect(explain("what")).rejects.toThrow("expected a ref");
});

test("an owner whose loop does not turn can't hand out what it has: it is named", async () => {
  const block = remote(async function block() {
    const inner = nap.remote(1000);
    setTimeout(() => {
      for (const until = Date.now() + 20_000; Date.now() < until;);
    }, 200);
    return [inner];
  }, { maxRetries: 0 });
  const [inner] = await get(block.remote());
  const { reasons } = await explained(inner, "owner-blocked");
  expect(reasons[0].text).toContain("its owner does not answer");
});

test("troupe explain says the same", async () => {
  const never = nap.options({ resources: { unheard: 1 }, throwOnInfeasible: false }).remote(1);
  await explained(never, "infeasible");
  const tokenFile = join(mkdtempSync(join(tmpdir(), "explain-")), "token");
  writeFileSync(tokenFile, cluster.token, { mode: 0o600 });
  const { stdout } = await promisify(execFile)(process.execPath, [
    "cli/troupe.js", "explain", never.id, "--json", "--address", cluster.address, "--token-file", tokenFile,
  ]);
  expect(JSON.parse(stdout)).toMatchObject({ reasons: [{ kind: "infeasible", id: never.id }] });
  rmSync(dirname(tokenFile), { recursive: true });
  await cancel(never);
});
