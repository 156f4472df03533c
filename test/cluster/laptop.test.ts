// A driver on a machine without an agent: nothing is shared with the cluster but the channel to the agent it dialled, and nothing
// dials the driver.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { get, list, remote, shutdown, type ObjectRef } from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";
import { Machine, tokenFileOf, type Ended } from "../cli/machine.ts";
import { Hosts } from "./fixtures/hosts.ts";

/** A broken connection is waited for before it counts as an end. */
const JOB_ENDS_WITHIN_MS = 25_000;

const HELPERS = `
  const { default: assert } = await import("node:assert/strict");
  const { readFileSync } = await import("node:fs");
  const there = { resources: { there: 0.1 }, numCpus: 0.1 };
  const filled = (size, value) => new Uint8Array(size).fill(value);
  const sum = (bytes) => { let total = 0; for (let at = 0; at < bytes.length; at += 4096) total += bytes[at]; return total; };
  class Keeper {
    #count = 0;
    #kept;
    add() { return ++this.#count; }
    keep(refs) { this.#kept = refs; }
    async read() { return (await this.#kept[0].value()).length; }
    async lose() { return this.#kept[0].value({ timeoutMs: 20_000 }).then(() => "a value", (error) => error.code); }
  }
`;

/** What every driver can do, whose cluster has a node with the resource "there". Each prints "ok", or what is wrong. */
const WORK = `${HELPERS}
  // Tasks at its home and elsewhere, chained, side by side, failing.
  const inc = remote((x) => x + 1), incThere = remote((x) => x + 1, there);
  assert.equal(await run(inc, inc.remote(incThere.remote(1))), 4);
  const many = Array.from({ length: 500 }, (_, x) => (x % 2 === 0 ? inc : incThere).remote(x));
  assert.deepEqual(await get(many), many.map((_, x) => x + 1));
  await assert.rejects(run(remote(() => { throw new RangeError("no"); }, there)), RangeError);
  await assert.rejects(run(remote(() => process.exit(3), { ...there, maxRetries: 0 })), { code: "WORKER_CRASHED" });

  // Actors.
  const keeper = remote(Keeper, there).remote(), near = remote(Keeper).remote();
  for (const actor of [keeper, near]) {
    const counts = await get(Array.from({ length: 100 }, () => actor.add.remote()));
    assert.deepEqual(counts, counts.map((_, at) => at + 1));
  }
  // The first handle is what it lives by.
  const named = remote(Keeper, { ...there, name: "named" }).remote();
  assert.equal(await get((await getActor("named")).add.remote()), 1);
  assert.equal(await get(named.add.remote()), 2);
  console.log("ok");
`;

const OBJECTS = `${HELPERS}
  const keeper = remote(Keeper, there).remote(), near = remote(Keeper).remote();
  // 20 MB both ways: by put, as an argument, as a result.
  const large = filled(20_000_000, 3);
  const put20 = await put(large);
  assert.equal(sum(await get(put20)), sum(large));
  assert.equal(await run(remote(sum, there), put20), sum(large));
  assert.equal(await run(remote(sum), large), sum(large));
  const made = remote(filled, there).remote(20_000_000, 5);
  assert.equal(sum(await get(made)), sum(filled(20_000_000, 5)));
  assert.equal(await run(remote(sum), made), sum(filled(20_000_000, 5)));

  // Large data in code goes the same way.
  const table = filled(300_000, 7);
  assert.deepEqual(await get([remote(() => sum(table), there).remote(), remote(() => sum(table)).remote()]), [518, 518]);

  // Refs passed on, of values that are there and of values that are not yet, to those who keep them and to those who ask further.
  const later = remote(async (size) => {
    await new Promise((resolve) => setTimeout(resolve, 200));
    return new Uint8Array(size);
  });
  for (const ref of [put20, made, later.remote(100_000), later.remote(10)]) {
    const size = (await get(ref)).length;
    for (const actor of [keeper, near]) {
      await get(actor.keep.remote([ref]));
      assert.equal(await get(actor.read.remote()), size);
    }
  }
  const inner = remote(([ref]) => remote((bytes) => bytes.length).remote(ref).value(), there);
  assert.equal(await run(inner, [put20]), 20_000_000);
  const never = remote(() => new Promise(() => {})).remote();
  const { ready, pending } = await wait([never, put20]);
  assert.deepEqual([ready.length, pending.length, ready[0] === put20], [1, 1, true]);
  cancel(never);

  // What is released is freed, the copies too.
  const stored = async () => (await list.stores()).reduce((total, { objects }) => total + objects, 0);
  const before = await stored();
  const passing = await put(filled(1_000_000, 1));
  await run(remote(sum, there), passing);
  passing.release();
  while ((await stored()) > before) await new Promise((resolve) => setTimeout(resolve, 20));
  console.log("ok");
`;

/** Of its network, which nobody else is in. */
const LISTENS_NOWHERE = `
  for (const name of ["tcp", "tcp6"]) {
    assert.doesNotMatch(readFileSync("/proc/net/" + name, "utf8"), /^ *\\d+: \\S+ \\S+ 0A /m);
  }
`;

/** Leaves an actor, a task and an object behind as a crash does. */
const KILLED = `${HELPERS}
  const keeper = remote(Keeper, { ...there, name: "left" }).remote();
  await get(keeper.add.remote());
  const object = await put(filled(1_000_000, 1));
  await run(remote(([ref]) => ref.value().then((bytes) => bytes.length), there), [object]);
  const endless = remote(() => new Promise(() => {}), there).remote();
  console.log((await init({ ignoreReinit: true })).jobId);
  process.kill(process.pid, "SIGKILL");
`;

function expectOk({ code, stdout, stderr }: Ended): void {
  expect([code, stdout, stderr]).toEqual([0, "ok\n", ""]);
}

describe("a driver with nothing but the address", () => {
  let cluster: TestCluster;
  let laptop: Machine;
  const environment = () => ({ TROUPE_ADDRESS: cluster.address, TROUPE_TOKEN: cluster.token });

  beforeEach(async () => {
    // Its folder of sessions is another: it finds no socket of the cluster's.
    laptop = new Machine();
    const objectStoreMemory = "256MiB";
    cluster = await testCluster({
      head: { numCpus: 2, objectStoreMemory }, nodes: [{ numCpus: 2, objectStoreMemory, resources: { there: 1 } }],
    });
  });
  afterEach(async () => {
    await shutdown();
    await cluster.stop();
    await laptop.remove();
  });

  test.each([["tasks and actors", WORK], ["objects", OBJECTS]])("has %s as every driver has", async (_what, body) => {
    expectOk(await laptop.driver(`await init();${body} await shutdown();`, environment()));
  });

  test.each([["tasks and actors", WORK], ["objects", OBJECTS]])("has %s before it has joined", async (_what, body) => {
    expectOk(await laptop.driver(body, { ...environment(), TROUPE_QUIET: "1" }));
  });

  test("sees what its tasks print, wherever they run", async () => {
    const { stdout } = await laptop.driver(`await init();${HELPERS}
      await run(remote(() => console.log("from there"), there));
      await new Promise((resolve) => setTimeout(resolve, 1000));`, environment());
    expect(stdout).toMatch(/^\(pid=\d+\) from there\n$/);
  });

  test("when it is killed, its job ends: nothing of it stays", async () => {
    await cluster.connect();
    const { stdout } = await laptop.driver(`await init();${KILLED}`, environment());
    const id = stdout.trim();
    const job = async () => (await list.jobs()).find((row) => row.id === id)?.state;
    await expect.poll(job, { timeout: JOB_ENDS_WITHIN_MS }).toBe("ENDED");
    const alive = async () => (await list.actors()).filter(({ state }) => state !== "DEAD").length;
    await expect.poll(alive, { timeout: JOB_ENDS_WITHIN_MS }).toBe(0);
    const objects = async () => (await list.stores()).map((row) => row.objects);
    await expect.poll(objects, { timeout: JOB_ENDS_WITHIN_MS }).toEqual([0, 0]);
    expect(await get(remote(() => "free", { resources: { there: 1 }, numCpus: 2 }).remote())).toBe("free");
  });

  test("when the node it is at dies, it learns why, and who holds its objects does", async () => {
    const home = await cluster.addNode({ numCpus: 1 });
    await cluster.connect();
    const address = (await list.nodes()).find(({ id }) => id === home)?.address ?? "";
    const lost = laptop.driver(`await init();${HELPERS}
      const keeper = await getActor("lasting", { namespace: "shared" });
      const pending = remote(() => new Promise(() => {})).remote();
      await get(keeper.keep.remote([pending]));
      console.log("kept");
      await get(pending).catch((error) => console.log(error.code, isInitialized()));`, {
      ...environment(), TROUPE_ADDRESS: address,
    });
    class Keeper {
      #kept: readonly ObjectRef[] = [];
      keep(refs: readonly ObjectRef[]): void {
        this.#kept = refs;
      }
      holds(): boolean {
        return this.#kept.length > 0;
      }
      lose(): Promise<string> {
        return this.#kept[0].value({ timeoutMs: 20_000 }).then(() => "a value", (error: { code: string }) => error.code);
      }
    }
    const keeper = remote(Keeper, { name: "lasting", namespace: "shared", resources: { there: 1 } }).remote();
    await expect.poll(() => get(keeper.holds.remote())).toBe(true);
    await cluster.removeNode(home, { graceful: false });
    expect(await get(keeper.lose.remote())).toBe("OWNER_DIED");
    expect((await lost).stdout).toMatch(/^kept\nCONNECTION false\n$/);
  });
});

const reason = Hosts.obstacle();

describe("a driver on a host of its own", () => {
  const hosts = new Hosts();
  const { machines } = hosts;
  let token = "";
  const environment = (host: number) => ({
    TROUPE_ADDRESS: `${hosts.addressOf(host)}:6380`, TROUPE_TOKEN_FILE: token, TROUPE_TRUSTED_NETWORK: "1",
  });

  beforeAll(async () => {
    if (reason !== undefined) return;
    hosts.make(3);
    const [first, second] = machines;
    const node = ["--num-cpus", "2", "--object-store-memory", "256MiB", "--insecure-i-understand"];
    const head = await first.troupe("start", "--head", "--listen", hosts.addressOf(1), ...node);
    token = tokenFileOf(head);
    const address = ["--address", `${hosts.addressOf(1)}:6380`, "--port", "6380", "--token-file", token];
    const joined = await second.troupe("start", ...address, "--resources", '{"there": 1}', ...node);
    expect([head.code, joined.code], joined.stderr).toEqual([0, 0]);
  });
  afterAll(async () => {
    if (reason === undefined) await hosts.remove();
  });
  beforeEach((context) => {
    if (reason !== undefined) context.skip(reason);
  });

  test.each([[1, WORK], [2, WORK], [1, OBJECTS], [2, OBJECTS]])("works through host %i", async (host, body) => {
    expectOk(await machines[2].driver(`await init();${body}${LISTENS_NOWHERE} await shutdown();`, environment(host)));
  });

  test("its network is not trusted unless it says so", async () => {
    const { stdout } = await machines[2].driver("await init().catch((error) => console.log(error.code, error.message));", {
      ...environment(1), TROUPE_TRUSTED_NETWORK: "0",
    });
    expect(stdout).toMatch(/^INVALID_ARGUMENT .*unencrypted.*trustedNetwork/);
  });

  test("when it is killed, its job ends", async () => {
    const { stdout } = await machines[2].driver(`await init();${KILLED}`, environment(2));
    const states = async (kind: string) => {
      const rows = await machines[0].troupe("list", kind, "--json");
      return JSON.parse(rows.stdout) as { id?: string; jobId?: string; state: string }[];
    };
    const job = async () => (await states("jobs")).find(({ id }) => id === stdout.trim())?.state;
    await expect.poll(job, { timeout: JOB_ENDS_WITHIN_MS, interval: 500 }).toBe("ENDED");
    const alive = async () => (await states("actors")).filter(({ state }) => state !== "DEAD").length;
    await expect.poll(alive, { timeout: JOB_ENDS_WITHIN_MS, interval: 500 }).toBe(0);
  });

  test("a driver on a host of the cluster shares its node's memory, whichever of the addresses it gives", async () => {
    const { stdout } = await machines[1].driver(`
      const cluster = await init();
      console.log(cluster.address.startsWith("unix:"));`, environment(1));
    expect(stdout).toBe("true\n");
  });
});
