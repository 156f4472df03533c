// A cluster over hosts in network namespaces. One host is cut off by taking its link down.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tokenFileOf } from "../cli/machine.ts";
import { Hosts } from "./fixtures/hosts.ts";

/** Silence of 5 s is death; a tick more, and what the machine needs. */
const DEAD_WITHIN_MS = 15_000;
const HOSTS = 3;

const reason = Hosts.obstacle();
const hosts = new Hosts();
const { machines } = hosts;
const addressOf = (host: number): string => hosts.addressOf(host);

const NODE = ["--num-cpus", "1", "--object-store-memory", "64MiB", "--insecure-i-understand"];

async function startCluster(): Promise<void> {
  const [first, ...others] = machines;
  const head = await first.troupe("start", "--head", "--listen", addressOf(1), ...NODE);
  expect([head.code, head.stderr]).toEqual([0, expect.stringContaining("WARNING: the cluster's token and all data")]);
  const joins = others.map((machine, at) => {
    const join = ["start", "--address", `${addressOf(1)}:6380`, "--token-file", tokenFileOf(head)];
    return machine.troupe(...join, "--resources", `{"host${at + 2}": 1, "far": 1}`, ...NODE);
  });
  for (const { code, stderr } of await Promise.all(joins)) expect(code, stderr).toBe(0);
}

beforeAll(async () => {
  if (reason !== undefined) return;
  hosts.make(HOSTS);
  await startCluster();
});
afterAll(async () => {
  if (reason === undefined) await hosts.remove();
});

describe("hosts in namespaces", () => {
  test("nodes tell the address others reach them at", async (context) => {
    if (reason !== undefined) return context.skip(reason);
    const { nodes } = await machines[0].status();
    expect(nodes.map(({ address }) => address.split(":")[0]).sort()).toEqual([addressOf(1), addressOf(2), addressOf(3)]);
    // The other hosts' commands find their own node, and see the same cluster.
    expect((await machines[2].status()).nodes).toHaveLength(HOSTS);
  });

  test("tasks and actors run where their resources are", async (context) => {
    if (reason !== undefined) return context.skip(reason);
    const { stdout, stderr } = await machines[0].driver(`
      await init({ address: "auto" });
      const address = () => process.getBuiltinModule("os").networkInterfaces().eth0[0].address;
      const tasks = [2, 3].map((host) => remote(address, { resources: { ["host" + host]: 1 } }));
      console.log((await get(tasks.map((task) => task.remote()))).join(" "));
      class Counter {
        count = 0;
        add() { this.count += 1; return process.getBuiltinModule("os").networkInterfaces().eth0[0].address + " " + this.count; }
      }
      const counter = await remote(Counter, { resources: { host3: 1 } }).remote();
      await counter.add.remote();
      console.log(await get(counter.add.remote()));
      await shutdown();`);
    expect([stdout, stderr]).toEqual([`${addressOf(2)} ${addressOf(3)}\n${addressOf(3)} 2\n`, ""]);
  });

  test("an object goes on from what has come when the link is down for a while", async (context) => {
    if (reason !== undefined) return context.skip(reason);
    const third = (await machines[2].status()).nodes.find(({ address }) => address.startsWith(`${addressOf(3)}:`))?.id ?? "";
    const copied = async (): Promise<number> => {
      const { stdout } = await machines[0].troupe("list", "stores", "--json", "--filter", `nodeId=${third}`);
      return (JSON.parse(stdout) as { copiedBytes: number }[])[0]?.copiedBytes ?? 0;
    };
    const obstacle = hosts.slow(3, 80);
    if (obstacle !== undefined) return context.skip(obstacle);
    const size = 24 * 1024 * 1024;
    const running = machines[0].driver(`
      await init({ address: "auto" });
      const bytes = new Uint8Array(${size});
      for (let at = 0; at < bytes.length; at += 997) bytes[at] = at & 255;
      const read = remote(async ([ref]) => {
        const value = await get(ref);
        for (let at = 0; at < value.length; at += 997) if (value[at] !== (at & 255)) return "wrong at " + at;
        return value.length;
      }, { resources: { host3: 1 }, maxRetries: 0 });
      console.log(await run(read, [await put(bytes)]));
      await shutdown();`);
    await expect.poll(copied, { interval: 50 }).toBeGreaterThan(0);
    hosts.cutOff(3);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    hosts.restore(3);
    expect(await running).toEqual({ code: 0, stdout: `${size}\n`, stderr: "" });
    // It did not begin anew: twice the bytes would have come.
    expect(await copied()).toBeLessThan(1.5 * size);
  });

  test("a host that is cut off is declared dead, and its task runs on another", async (context) => {
    if (reason !== undefined) return context.skip(reason);
    const third = (await machines[2].status()).nodes.find(({ address }) => address.startsWith(`${addressOf(3)}:`))?.id;
    const running = machines[0].driver(`
      await init({ address: "auto" });
      const slow = remote(async () => {
        const address = process.getBuiltinModule("os").networkInterfaces().eth0[0].address;
        if (address === "${addressOf(3)}") await new Promise((resolve) => setTimeout(resolve, 60_000));
        return address;
      }, { resources: { far: 1 }, schedulingStrategy: onNode("${third}", { soft: true }) });
      console.log(await get(slow.remote()));
      await shutdown();`);
    const filters = ["--filter", `nodeId=${third}`, "--filter", "state=LEASED"];
    const busy = async () => JSON.parse((await machines[0].troupe("list", "workers", "--json", ...filters)).stdout) as unknown[];
    await expect.poll(async () => (await busy()).length, { interval: 250 }).toBe(1);
    hosts.cutOff(3);
    const dead = async () => {
      const { nodes } = await machines[0].status();
      return nodes.filter(({ state }) => state === "DEAD").map(({ address }) => address.split(":")[0]);
    };
    await expect.poll(dead, { timeout: DEAD_WITHIN_MS, interval: 250 }).toEqual([addressOf(3)]);
    expect(await running).toEqual({ code: 0, stdout: `${addressOf(2)}\n`, stderr: "" });
  });
});
