// A whole cluster under a seed: head, two agents, workers and a driver in this process, in virtual time. The same seed twice is
// the same history, line by line; every seed has the same results, whatever was delayed or killed on the way.

import { describe, expect, test } from "vitest";
import { simulate, type Simulation } from "../../sdk/testing/index.ts";

const NODES = [{ numCpus: 2 }, { numCpus: 2, resources: { far: 2 } }];
const SEEDS = Array.from({ length: 100 }, (_, index) => index + 1);

class Account {
  #balance = 0;

  add(amount: number): number {
    this.#balance += amount;
    return this.#balance;
  }
}

/** Tasks that need one another, nested ones, an actor on the far node, a value of the store. */
async function everything(sim: Simulation) {
  const add = sim.remote((a: number, b: number) => a + b);
  const slow = sim.remote(async (ms: number) => {
    await sim.sleep(ms);
    return sim.process.node;
  }, { numCpus: 1 });
  const far = sim.remote(() => sim.process.node, { resources: { far: 1 } });
  const nested = sim.remote(async (depth: number): Promise<number> => {
    return depth === 0 ? 0 : (await nested.remote(depth - 1).value()) + 1;
  });
  const large = sim.remote((size: number) => new Uint8Array(size).fill(7));
  const sum = sim.remote((bytes: Uint8Array) => bytes.reduce((total, byte) => total + byte, 0), { resources: { far: 1 } });
  const account = sim.actor(Account, { resources: { far: 1 } });

  const chain = Array.from({ length: 8 }).reduce((ref: ReturnType<typeof add.remote>) => add.remote(ref, 1), add.remote(0, 0));
  const nodes = Array.from({ length: 6 }, () => slow.remote(50));
  const balances = [10, -3, 5].map((amount) => account.add.remote(amount));
  return {
    chain: await chain.value(),
    nested: await nested.remote(5).value(),
    far: await far.remote().value(),
    sum: await sum.remote(large.remote(200_000)).value(),
    balances: await Promise.all(balances.map((ref) => ref.value())),
    spread: new Set(await Promise.all(nodes.map((ref) => ref.value()))).size,
  };
}

describe("a simulated cluster", () => {
  const run = (seed: number) => simulate({ seed, nodes: NODES }, everything);

  test("gives the results of a real one, and the same trace for the same seed", async () => {
    const first = await run(7);
    const again = await run(7);
    expect(first.value).toEqual({
      chain: 8, nested: 5, far: "node-2", sum: 1_400_000, balances: [10, 7, 12], spread: 2,
    });
    expect(first.trace).toMatch(/spawn head-1 on node-1\n(.*\n)*.*spawn agent-2 on node-2\n(.*\n)*.*deliver driver-1 > worker-/);
    expect(again.trace).toBe(first.trace);
    expect((await run(8)).trace).not.toBe(first.trace);
  });

  test(`has the same results under ${SEEDS.length} seeds`, async () => {
    for (const seed of SEEDS) {
      const { value } = await run(seed);
      expect(value, `seed ${seed}`).toMatchObject({ chain: 8, nested: 5, far: "node-2", sum: 1_400_000, balances: [10, 7, 12] });
    }
  });

  test("loses no task when workers are killed, under any seed", async () => {
    const history = async (sim: Simulation) => {
      const work = sim.remote(async (n: number) => {
        await sim.sleep(20 + (n % 7));
        return n * n;
      }, { maxRetries: 20 });
      const refs = Array.from({ length: 40 }, (_, n) => work.remote(n));
      for (let kills = 0; kills < 6; kills += 1) {
        // Long enough for a worker to boot: three in a row that never did are an error of their own.
        await sim.sleep(35);
        const [victim] = sim.workers();
        if (victim !== undefined) sim.killWorker(victim);
      }
      return Promise.all(refs.map((ref) => ref.value()));
    };
    const expected = Array.from({ length: 40 }, (_, n) => n * n);
    for (const seed of SEEDS.slice(0, 20)) {
      const first = await simulate({ seed, nodes: NODES }, history);
      expect(first.value, `seed ${seed}`).toEqual(expected);
      expect(first.trace).toContain("SIGKILL worker-");
      if (seed <= 3) expect((await simulate({ seed, nodes: NODES }, history)).trace).toBe(first.trace);
    }
  });

  test("gives each item of a stream once when workers are killed, under any seed, here and in a task", async () => {
    const history = async (sim: Simulation) => {
      const options = { maxRetries: 20, streamBackpressure: 3, numCpus: 0.5 };
      const items = sim.remote(async function* (to: number) {
        for (let n = 0; n < to; n += 1) {
          await sim.sleep(n % 3);
          yield n;
        }
      }, options);
      const read = async (stream: ReturnType<typeof items.remote>) => {
        const seen: number[] = [];
        for await (const ref of stream) seen.push(await ref.value());
        return seen;
      };
      const reads = sim.remote(read);
      const kills = (async () => {
        for (let count = 0; count < 5; count += 1) {
          await sim.sleep(35);
          const [victim] = sim.workers("node-2");
          if (victim !== undefined) sim.killWorker(victim);
        }
      })();
      const all = await Promise.all([read(items.remote(60)), reads.remote(items.remote(30)).value()]);
      await kills;
      return all.map((seen) => seen.join());
    };
    const upTo = (to: number) => Array.from({ length: to }, (_, n) => n).join();
    for (const seed of SEEDS.slice(0, 20)) {
      const { value } = await simulate({ seed, nodes: NODES }, history);
      expect(value[0], `seed ${seed}`).toBe(upTo(60));
      // A reader that is killed takes along what it had taken: the next one reads on.
      expect(upTo(30).endsWith(value[1]), `seed ${seed}: ${value[1]}`).toBe(true);
    }
  });

  test("goes quiet when its work is done: each node tells every second that it lives, and no timer runs in vain", async () => {
    const idleFromMs = 5000;
    const { trace } = await simulate({ seed: 5, nodes: NODES }, async (sim) => {
      await everything(sim);
      await sim.sleep(60_000);
    });
    const lines = trace.split("\n").map((line) => /^([\d.]+) (\w+) (\S+)/.exec(line)).filter((found) => found !== null);
    const lastMs = Number(lines.at(-1)?.[1]);
    const idle = lines.filter(([, at]) => Number(at) >= idleFromMs && Number(at) < lastMs - 500);
    const aSecond = (kind: string, from: string) =>
      (idle.filter(([, , what, who]) => what === kind && who.startsWith(from)).length * 1000) / (lastMs - 500 - idleFromMs);
    // The second node's word goes through the first one's agent, which it asks whether it is there.
    expect(aSecond("deliver", "")).toBeLessThan(5.2);
    for (const name of ["head-1", "agent-1", "agent-2"]) expect(aSecond("timer", name)).toBeLessThanOrEqual(4);
    // One look, once, at whether something has waited for long.
    expect(aSecond("timer", "worker")).toBeLessThan(0.03);
    expect(aSecond("timer", "driver")).toBeLessThan(0.03);
  });

  test("outlives its heads, whenever they die", async () => {
    for (const seed of SEEDS.slice(0, 25)) {
      const { value } = await simulate({ seed, nodes: NODES }, async (sim) => {
        const heads = (async () => {
          for (let death = 0; death < 3; death += 1) {
            await sim.sleep((seed * (death + 7) * 13) % 200);
            sim.killHead();
            await sim.sleep((seed * (death + 3) * 29) % 1500);
            await sim.restartHead();
          }
        })();
        const results = await everything(sim);
        const group = await sim.placementGroup([{ CPU: 1 }, { CPU: 1 }], { strategy: "STRICT_SPREAD" });
        await sim.groupReady(group);
        await heads;
        await sim.removeGroup(group);
        return results;
      });
      // Which nodes have room is not told without a head: work may stay together.
      const spread = expect.any(Number);
      const expected = { chain: 8, nested: 5, far: "node-2", sum: 1_400_000, balances: [10, 7, 12], spread };
      expect(value, `seed ${seed}`).toEqual(expected);
    }
  });

  test("tells why work is lost with its node", async () => {
    const { value } = await simulate({ seed: 3, nodes: NODES }, async (sim) => {
      const stuck = sim.remote(() => sim.sleep(100_000), { resources: { far: 1 }, maxRetries: 0 });
      const ref = stuck.remote();
      await sim.sleep(500);
      sim.killNode("node-2");
      return ref.value().then(() => undefined, (error: Error & { code?: string }) => ({ code: error.code, text: error.message }));
    });
    expect(value?.code).toBe("NODE_DIED");
    expect(value?.text).toContain("node-2");
  });

  test("refuses code that does real work", async () => {
    let timer: NodeJS.Timeout | undefined;
    const history = simulate({ seed: 1 }, async (sim) => {
      timer = setTimeout(() => {}, 60_000);
      return sim.remote(() => 1).remote().value();
    });
    await expect(history).rejects.toThrow(/real work.*Timeout/);
    clearTimeout(timer);
  });
});
