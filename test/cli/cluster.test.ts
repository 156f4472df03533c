// A cluster from the command line, as people start one: real processes, found again by their records, ended by `troupe stop`.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Machine, tokenFileOf } from "./machine.ts";
import { childrenOf } from "../../sdk/testing/process-tree.ts";

let machine: Machine;

beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine.remove());

const NODE = ["--num-cpus", "1", "--object-store-memory", "64MiB"];
const HEAD = ["start", "--head", "--port", "0", ...NODE];

const alive = (pid: number): boolean => {
  try {
    // A zombie is nobody any more.
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    // It has gone.
    return false;
  }
};

function sessions(): string[] {
  return readdirSync(join(machine.folder, `troupe-${process.getuid?.() ?? 0}`));
}

describe("start and stop", () => {
  test("a head and a second node form a cluster that a program finds, and stop ends all of it", async () => {
    const head = await machine.troupe(...HEAD);
    expect([head.code, head.stderr]).toEqual([0, ""]);
    const { address } = await machine.status();
    expect(head.stdout).toContain(`troupe start --address ${address} --token-file ${tokenFileOf(head)}`);
    const joining = ["start", "--address", address, "--token-file", tokenFileOf(head), "--labels", "zone=a", "rack=2"];
    const joined = await machine.troupe(...joining, "--resources", '{"disk": 2}', ...NODE);
    expect([joined.code, joined.stderr]).toEqual([0, ""]);
    expect(joined.stdout).toMatch(/joined cluster \w+, which has 2 nodes now/);

    const { nodes, resources } = await machine.status();
    expect(nodes.map(({ state, isHead }) => [state, isHead])).toEqual([["ALIVE", true], ["ALIVE", false]]);
    expect(nodes[1]).toMatchObject({ labels: { zone: "a", rack: "2" }, resources: { disk: 2 } });
    expect(resources).toMatchObject({ CPU: 2, disk: 2 });
    const listed = await machine.troupe("list", "nodes", "--json", "--filter", "isHead=false");
    expect((JSON.parse(listed.stdout) as { id: string }[]).map(({ id }) => id)).toEqual([nodes[1].id]);
    const workers = await machine.troupe("list", "workers", "--json");
    const nodesOfWorkers = (JSON.parse(workers.stdout) as { nodeId: string }[]).map(({ nodeId }) => nodeId);
    expect(new Set(nodesOfWorkers)).toEqual(new Set(nodes.map(({ id }) => id)));

    // The command itself is a process of the node while it asks.
    for (const kind of ["tasks", "objects"])
      expect(await machine.troupe("list", kind)).toEqual({ code: 0, stdout: `no ${kind}\n`, stderr: "" });

    const driver = await machine.driver(`
      await init({ address: "auto" });
      console.log(await run(remote((a, b) => a + b), 20, 22));
      await shutdown();`);
    expect(driver).toEqual({ code: 0, stdout: "42\n", stderr: "" });
    const told = await machine.troupe("memory");
    expect([told.code, told.stderr]).toEqual([0, ""]);
    expect(told.stdout).toMatch(/NODE +USED +CAPACITY +OBJECTS +SPILLED/);
    const jobs = JSON.parse((await machine.troupe("list", "jobs", "--json")).stdout) as { state: string }[];
    expect(jobs.map(({ state }) => state)).toEqual(["ENDED"]);

    const pids = nodes.flatMap(({ pid }) => [pid, ...childrenOf(pid).map((child) => child.pid)]);
    const stopped = await machine.troupe("stop");
    expect(stopped).toEqual({ code: 0, stdout: "2 nodes ended\n", stderr: "" });
    await expect.poll(() => pids.filter(alive)).toEqual([]);
    expect(sessions()).toEqual([]);
    expect(await machine.troupe("stop")).toMatchObject({ code: 0, stdout: "no node runs here\n" });
  });

  test("what kv has kept is there in the next cluster of the folder, also when the head was killed", async () => {
    const program = (body: string): string => `await init({ address: "auto" }); ${body} await shutdown();`;
    const storage = join(machine.folder, "kept");
    await machine.troupe(...HEAD, "--storage", storage);
    const { nodes } = await machine.status();
    const set = program(`for (let i = 0; i < 50; i += 1) await kv.set("k" + i, { i });
      process.kill(${childrenOf(nodes[0].pid).find(({ program }) => program === "head")?.pid}, "SIGKILL");`);
    await machine.driver(set);
    await machine.troupe("stop", "--force");
    expect((await machine.troupe(...HEAD, "--storage", storage)).code).toBe(0);
    const got = await machine.driver(program(`console.log((await kv.get("k49")).i);`));
    expect(got).toEqual({ code: 0, stdout: "49\n", stderr: "" });
    await machine.troupe("stop");
  });

  test("a cluster that was killed as a whole goes on over its storage: what may restart does, the rest says why", async () => {
    const program = (body: string): string => `await init({ address: "auto", namespace: "ns" }); ${body} await shutdown();`;
    const storage = join(machine.folder, "whole");
    const first = await machine.troupe(...HEAD, "--storage", storage);
    const { address, clusterId } = await machine.status();
    await machine.troupe("start", "--address", address, "--token-file", tokenFileOf(first), "--num-cpus", "1");
    const made = await machine.driver(program(`
      class Keeper { constructor(n) { this.n = n; } add() { return (this.n += 1); } }
      const keeper = remote(Keeper, { name: "keeper", lifetime: "detached", maxRestarts: 1 }).remote(10);
      const mortal = remote(Keeper, { name: "mortal", lifetime: "detached" }).remote(20);
      await kv.set("k", 1);
      console.log(await get([keeper.add.remote(), mortal.add.remote()]));`));
    expect(made).toEqual({ code: 0, stdout: "[ 11, 21 ]\n", stderr: "" });
    const pids = (await machine.status()).nodes.map(({ pid }) => pid);
    for (const pid of pids) process.kill(pid, "SIGKILL");
    await expect.poll(() => pids.filter(alive)).toEqual([]);
    expect((await machine.troupe(...HEAD, "--storage", storage)).code).toBe(0);
    expect((await machine.status()).clusterId).toBe(clusterId);
    const found = await machine.driver(program(`
      const keeper = await getActor("keeper");
      console.log(await get(keeper.add.remote()), await kv.get("k"));
      console.log(await getActor("mortal").catch((error) => error.code));
      console.log((await list.actors()).map(({ name, state }) => name + " " + state).sort());`));
    expect(found).toEqual({ code: 0, stdout: "11 1\nNOT_FOUND\n[ 'keeper ALIVE', 'mortal DEAD' ]\n", stderr: "" });
    const events = await machine.troupe("list", "events", "--json", "--filter", "kind=actor-died");
    const [dead] = JSON.parse(events.stdout) as { text: string }[];
    expect(dead.text).toMatch(/node \w+ died/);
    await machine.troupe("stop");
  });

  test("the head's node is killed: the others wait for the next one at its address, and what lives there lives on", async () => {
    const program = (body: string): string => `await init({ address: "auto", namespace: "ns" }); ${body} await shutdown();`;
    const storage = ["--storage", join(machine.folder, "taken-over")];
    const first = await machine.troupe(...HEAD, ...storage);
    const { address, nodes: [{ pid: head }] } = await machine.status();
    const far = ["--num-cpus", "1", "--resources", '{"far":1}'];
    await machine.troupe("start", "--address", address, "--token-file", tokenFileOf(first), ...far);
    const made = await machine.driver(program(`
      class Keeper { n = 0; add() { return (this.n += 1); } }
      const keeper = remote(Keeper, { name: "keeper", lifetime: "detached", resources: { far: 1 } }).remote();
      console.log(await get(keeper.add.remote()));`));
    expect(made).toEqual({ code: 0, stdout: "1\n", stderr: "" });
    process.kill(head, "SIGKILL");
    await expect.poll(() => alive(head)).toBe(false);
    const again = await machine.troupe(...HEAD, "--port", address.split(":")[1], ...storage);
    expect([again.code, again.stderr]).toEqual([0, ""]);
    await expect.poll(async () => (await machine.status()).nodes.filter(({ state }) => state === "ALIVE").length).toBe(2);
    const found = await machine.driver(program(`
      console.log(await get((await getActor("keeper")).add.remote()));
      console.log((await list.nodes()).map(({ state }) => state).sort());`));
    expect(found).toEqual({ code: 0, stdout: "2\n[ 'ALIVE', 'ALIVE', 'DEAD' ]\n", stderr: "" });
    await machine.troupe("stop");
  });

  test("an address of this machine is joined by its socket, another token is refused by it", async () => {
    const head = await machine.troupe(...HEAD);
    const { address } = await machine.status();
    const driver = await machine.driver(`
      const cluster = await init({ address: "${address}", tokenFile: "${tokenFileOf(head)}" });
      console.log(cluster.address);
      console.log(await cluster.joinCommand());
      await shutdown();`);
    expect([driver.stdout, driver.stderr]).toEqual([expect.stringMatching(/^unix:.*\/agent\.sock\n/), ""]);
    expect(driver.stdout).toContain(`\ntroupe start --address ${address} --token-file ${tokenFileOf(head)}\n`);
    const refused = await machine.driver(`
      const error = await init({ address: "${address}", token: "wrong" }).catch((thrown) => thrown);
      console.log(error instanceof AuthenticationError);`);
    expect(refused).toEqual({ code: 0, stdout: "true\n", stderr: "" });
  });

  test("a killed agent takes its head and workers along; what it left is found and removed", async () => {
    await machine.troupe(...HEAD);
    const [{ pid }] = (await machine.status()).nodes;
    await expect.poll(() => childrenOf(pid).map(({ program }) => program).sort()).toEqual(["head", "worker"]);
    const children = childrenOf(pid).map((child) => child.pid);
    process.kill(pid, "SIGKILL");
    await expect.poll(() => [pid, ...children].filter(alive)).toEqual([]);
    expect((await machine.troupe("status")).stderr).toContain("no running cluster was found");
    expect((await machine.troupe("stop")).code).toBe(0);
    expect(sessions()).toEqual([]);
  });

  test("a record whose process id is somebody else's now is not signalled", async () => {
    await machine.troupe(...HEAD);
    const [{ pid }] = (await machine.status()).nodes;
    const file = join(machine.folder, `troupe-${process.getuid?.() ?? 0}`, sessions()[0], "node.json");
    const record = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
    const forged = join(machine.folder, `troupe-${process.getuid?.() ?? 0}`, "s-forged");
    mkdirSync(forged);
    writeFileSync(join(forged, "node.json"), JSON.stringify({ ...record, pid: process.pid, processStart: "0/1" }));
    expect((await machine.troupe("doctor")).stdout).toContain("1 left behind");
    expect((await machine.troupe("stop")).stdout).toContain("one node ended");
    expect([alive(process.pid), alive(pid), sessions()]).toEqual([true, false, []]);
  });

  test("with --block the node ends with the command", async () => {
    const started = machine.troupe(...HEAD, "--block");
    await expect.poll(async () => (await machine.troupe("status")).code, { interval: 200 }).toBe(0);
    const stopped = await machine.troupe("stop");
    expect(stopped.stdout).toBe("one node ended\n");
    expect((await started).code).toBe(0);
  });
});
