// Programs without init(): their first call starts a cluster, or joins one, and says so; work submitted before it is there goes
// when it is.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { testCluster } from "troupe/testing";
import { processesWith } from "../leak-check.ts";
import { Machine } from "../cli/machine.ts";

const STARTING = /^troupe: starting a private cluster on this machine, .*await init\(\)\..*TROUPE_QUIET=1\n$/;
const PATIENCE_MS = 10_000;

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(async () => {
  await nothingLeft();
  await machine.remove();
});

/** No process of the machine's programs, and nothing in its folder but the program and the folder of its user. */
async function nothingLeft(): Promise<void> {
  await expect.poll(() => processesWith(`TMPDIR=${machine.folder}`), { timeout: PATIENCE_MS }).toEqual([]);
  const rest = () => readdirSync(machine.folder, { recursive: true }).map(String)
    .filter((name) => !/^troupe-\d+$/.test(name) && name !== "driver.mjs");
  await expect.poll(rest, { timeout: PATIENCE_MS }).toEqual([]);
}

const HELPERS = `
  const inc = remote((x) => x + 1);
  const length = remote((bytes) => bytes.length);
  class Counter { count = 0; add(by = 1) { this.count += by; return this.count; } }
  const saidBy = (error) => error.code + " " + error.message.split("\\n")[0];
  const outcome = (promise) => promise.then((value) => "value " + value, saidBy);
`;

describe("the first call without init()", () => {
  test("a task starts a private cluster, says so once, and the program ends by itself", async () => {
    const { code, stdout, stderr } = await machine.driver(`${HELPERS}
      const ref = inc.remote(1);
      console.log(typeof ref.id, isInitialized());
      const sum = inc.remote(inc.remote(ref));
      console.log(await get([ref, sum]), await run(inc, 7));`);
    expect([code, stdout]).toEqual([0, "string true\n[ 2, 4 ] 8\n"]);
    expect(stderr).toMatch(STARTING);
  });

  test("put starts it, of small values and of values for the store", async () => {
    const { code, stdout, stderr } = await machine.driver(`${HELPERS}
      const small = put({ a: 1 }), large = put(new Uint8Array(5_000_000).fill(7));
      console.log(await get(await small), (await get(await large))[4_999_999], await get(length.remote(await large)));`);
    expect([code, stdout]).toEqual([0, "{ a: 1 } 7 5000000\n"]);
    expect(stderr).toMatch(STARTING);
  });

  test("an actor starts it, and its calls keep their order", async () => {
    const { code, stdout, stderr } = await machine.driver(`${HELPERS}
      const counter = remote(Counter).remote();
      const calls = Array.from({ length: 1000 }, () => counter.add.remote());
      const seen = await get(calls);
      const passed = remote((it) => it.add.remote(5).value()).remote(counter);
      console.log(seen.every((count, at) => count === at + 1), await get(passed));`);
    expect([code, stdout]).toEqual([0, "true 1005\n"]);
    expect(stderr).toMatch(STARTING);
  });

  test("a thousand tasks, large arguments and refs as arguments wait for it", async () => {
    const { code, stdout, stderr } = await machine.driver(`${HELPERS}
      const bytes = new Uint8Array(2_000_000);
      const large = length.remote(bytes), within = remote(({ ref }) => ref.value()).remote({ ref: inc.remote(41) });
      bytes.fill(1);
      const many = Array.from({ length: 1000 }, (_, x) => inc.remote(x));
      const values = await get(many);
      console.log(values.every((value, x) => value === x + 1), await get(large), await get(within));`);
    expect([code, stdout]).toEqual([0, "true 2000000 42\n"]);
    expect(stderr).toMatch(STARTING);
  });

  test("nothing is said when it is not wanted", async () => {
    const body = `${HELPERS} console.log(await run(inc, 1));`;
    expect(await machine.driver(body, { TROUPE_QUIET: "1" })).toEqual({ code: 0, stdout: "2\n", stderr: "" });
  });
});

describe("around a start that nobody asked for", () => {
  test("init() is refused and says why, or gives the cluster there is", async () => {
    const { code, stdout, stderr } = await machine.driver(`${HELPERS}
      const ref = inc.remote(1);
      console.log(await outcome(init()));
      const cluster = await init({ ignoreReinit: true });
      console.log((await cluster.nodes()).length, cluster.jobId.startsWith("job-"), await get(ref));
      await cluster.shutdown();
      console.log(isInitialized(), await outcome(init({ numCpus: 1 }).then((other) => other !== cluster)));
      console.log(await run(inc, 2));`);
    expect(stdout).toMatch(/^ALREADY_INITIALIZED .*a call before it started one.*\n1 true 2\nfalse value true\n3\n$/);
    expect([code, stderr]).toEqual([0, expect.stringMatching(STARTING)]);
  });

  test("calls during init() that is not awaited go to that cluster, silently", async () => {
    const { code, stdout, stderr } = await machine.driver(`${HELPERS}
      const starting = init({ numCpus: 1, namespace: "mine" });
      console.log(await get(inc.remote(1)), (await starting).namespace);`);
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "2 mine\n", stderr: "" });
  });

  test("shutdown() at once fails what waits, and ends everything", async () => {
    const { code, stdout } = await machine.driver(`${HELPERS}
      const ref = inc.remote(1), counter = remote(Counter).remote(), large = put(new Uint8Array(1_000_000));
      const outcomes = [get(ref), get([ref]), get(counter.add.remote()), large].map(outcome);
      await shutdown();
      console.log(isInitialized());
      console.log((await Promise.all(outcomes)).join("\\n"));
      console.log(await outcome(get([ref])));
      console.log(isInitialized());`);
    const lines = stdout.trim().split("\n");
    expect([code, lines[0], lines.at(-1)]).toEqual([0, "false", "false"]);
    expect(lines.slice(1, -1)).toHaveLength(5);
    for (const line of lines.slice(1, -1)) expect(line).toMatch(/was shut down by this process/);
  });

  test("after shutdown() the next call starts another", async () => {
    const { code, stdout, stderr } = await machine.driver(`${HELPERS}
      console.log(await run(inc, 1)); await shutdown(); console.log(await run(inc, 2));`);
    expect([code, stdout, stderr.match(/starting a private cluster/g)?.length]).toEqual([0, "2\n3\n", 2]);
  });

  test.each(["", "process.exit(0);", 'process.kill(process.pid, "SIGKILL");'])(
    "a program that ends right after its call leaves nothing behind: %s",
    async (end) => {
      await machine.driver(`${HELPERS} put(1); inc.remote(1); ${end}`);
      await nothingLeft();
    },
  );

  test("a program that ends right after the start of the host leaves nothing behind", async () => {
    await machine.driver(`put(1); process.exit(0);`);
    await nothingLeft();
  });

  test("tasks and actors never start one: they have their cluster", async () => {
    const { code, stdout, stderr } = await machine.driver(`${HELPERS}
      const pids = await run(remote(async () => [await run(remote(() => process.ppid)), process.ppid]));
      console.log(pids[0] === pids[1]);`);
    expect([code, stdout]).toEqual([0, "true\n"]);
    expect(stderr).toMatch(STARTING);
  });

  test("work for a cluster that was lost is not taken to another", async () => {
    const { code, stdout, stderr } = await machine.driver(`${HELPERS}
      const host = await run(remote(() => process.ppid));
      process.kill(host, "SIGKILL");
      while (isInitialized()) await new Promise((resolve) => setTimeout(resolve, 5));
      try { inc.remote(1); } catch (error) { console.log(error.code, error.message); }
      await shutdown();
      console.log(await run(inc, 1));`);
    expect(stdout).toMatch(/^NOT_FOUND the session this belongs to has ended: the agent of this node is gone.*\n2\n$/);
    expect([code, stderr.match(/starting a private cluster/g)?.length]).toEqual([0, 2]);
  });
});

describe("a start that fails", () => {
  const ASKED = `${HELPERS}
    const large = put(new Uint8Array(1_000_000));
    const refs = [inc.remote(1), inc.remote(inc.remote(2)), remote(Counter).remote().add.remote()];
    for (const one of [...refs.map((ref) => get(ref)), large].map(outcome)) console.log(await one);
    console.log(isInitialized(), await outcome(getActor("nobody")));`;

  async function everythingFails(environment: Record<string, string>, cause: RegExp): Promise<void> {
    const { code, stdout } = await machine.driver(ASKED, environment);
    const lines = stdout.trim().split("\n");
    expect([code, lines.length]).toEqual([0, 5]);
    for (const line of lines) expect(line).toMatch(cause);
    expect(lines[4]).toMatch(/^false /);
  }

  test("no folder for the sockets", async () => {
    await everythingFails({ TMPDIR: join(machine.folder, "driver.mjs") }, /ENOTDIR/);
  });

  test("nobody at TROUPE_ADDRESS", async () => {
    await everythingFails({ TROUPE_ADDRESS: "127.0.0.1:1", TROUPE_TOKEN: "x" }, /127\.0\.0\.1:1.*ECONNREFUSED/);
  });

  test("no token for TROUPE_ADDRESS", async () => {
    await everythingFails({ TROUPE_ADDRESS: "127.0.0.1:1" }, /joining a cluster needs its token/);
  });

  test("the wrong token", async () => {
    const cluster = await testCluster();
    await everythingFails({ TROUPE_ADDRESS: cluster.socket, TROUPE_TOKEN: "wrong" }, /token given is not this cluster's/);
    await cluster.stop();
  });

  test("a host that can't come up", async () => {
    // What the driver starts requires a file that is not there.
    const { stdout } = await machine.driver(`process.env.NODE_OPTIONS = "--require ./is-not-there.cjs";\n${ASKED}`);
    for (const line of stdout.trim().split("\n")) expect(line).toMatch(/host process ended \(exit code 1\)/);
  });
});

describe("with TROUPE_ADDRESS", () => {
  test("the first call joins that cluster and says so", async () => {
    const cluster = await testCluster({ head: { numCpus: 2, resources: { here: 1 } } });
    const { code, stdout, stderr } = await machine.driver(
      `${HELPERS}
      const large = put(new Uint8Array(2_000_000));
      console.log(await run(remote(() => "ran", { resources: { here: 1 } })), (await get(await large)).length);`,
      { TROUPE_ADDRESS: cluster.socket, TROUPE_TOKEN: cluster.token },
    );
    expect([code, stdout]).toEqual([0, "ran 2000000\n"]);
    expect(stderr).toMatch(/^troupe: joining the cluster at unix:.*TROUPE_ADDRESS.*\n$/);
    await cluster.stop();
  });
});
