// The head is killed again and again, at any moment of a workload that needs it: each thing that was acknowledged is there in the
// end, once, and nothing has failed.

import { expect, test } from "vitest";
import { get, getActor, inGroup, kv, list, placementGroup, ready, remote } from "troupe";
import { testCluster } from "troupe/testing";

const pause = (ms: number) => new Promise<void>((resolve) => void setTimeout(resolve, ms));
const KILLS = 8;

class Counter {
  #n = 0;

  add(): number {
    this.#n += 1;
    return this.#n;
  }
}

/** Repeats its step until it is told to stop; says how often. */
function worker(isOver: () => boolean, step: (round: number) => Promise<void>): Promise<number> {
  return (async () => {
    let round = 0;
    for (; !isOver(); round += 1) await step(round);
    return round;
  })();
}

test("a workload of everything the head does outlives its heads", async () => {
  await using cluster = await testCluster({
    head: { numCpus: 2 }, nodes: [{ numCpus: 2, resources: { far: 1 } }], storage: "lmdb",
  });
  await cluster.connect();
  let over = false;
  const isOver = () => over;
  const counter = remote(Counter, { resources: { far: 0.1 }, numCpus: 0 }).remote();
  await ready(counter);
  const double = remote((n: number) => 2 * n, { numCpus: 0.1 });
  await kv.set("n", 0);
  const written: string[] = [];

  const running = {
    tasks: worker(isOver, async (round) => {
      // Each round ships code that no node has seen.
      const shifted = remote((n: number) => n + round, { numCpus: 0.1 });
      expect(await get([double.remote(round), shifted.remote(1)])).toEqual([2 * round, 1 + round]);
    }),
    calls: worker(isOver, async (round) => expect(await get(counter.add.remote())).toBe(round + 1)),
    keys: worker(isOver, async (round) => {
      await kv.set(`key/${round}`, round);
      written.push(`key/${round}`);
      expect(await kv.cas("n", round, round + 1)).toBe(true);
    }),
    groups: worker(isOver, async () => {
      const group = await placementGroup([{ CPU: 0.1 }, { CPU: 0.1 }]);
      await group.ready();
      expect(await get(double.options({ schedulingStrategy: inGroup(group) }).remote(1))).toBe(2);
      await group.remove();
    }),
    names: worker(isOver, async (round) => {
      const name = `actor-${round}`;
      const lifetime = round % 2 === 0 ? "detached" : "job";
      const made = remote(Counter, { name, lifetime, numCpus: 0, isolation: "shared" }).remote();
      expect(await get(made.add.remote())).toBe(1);
      const found = await getActor<Counter>(name);
      expect(await get(found.add.remote())).toBe(2);
      expect(await get(made.add.remote())).toBe(3);
    }),
  };
  const all = Promise.all(Object.values(running));
  all.catch(() => (over = true));
  for (let kill = 0; kill < KILLS && !over; kill += 1) {
    await pause(100 + Math.random() * 300);
    await cluster.killHead();
    await pause(Math.random() * 100);
    await cluster.restartHead();
  }
  over = true;
  const rounds = await all;
  expect(Math.min(...rounds)).toBeGreaterThan(0);
  expect(await kv.get("n")).toBe(await running.keys);
  for (const key of written) expect(await kv.get(key)).toBe(Number(key.slice("key/".length)));
  expect((await list.nodes()).map(({ state }) => state)).toEqual(["ALIVE", "ALIVE"]);
  expect((await list.placementGroups({ limit: 1000 })).every(({ state }) => state === "REMOVED")).toBe(true);
  const names = await running.names;
  const detached = (await list.actors({ limit: 1000 })).filter(({ name, state }) => name !== "" && state === "ALIVE");
  expect(detached.length).toBeGreaterThanOrEqual(Math.ceil(names / 2));
});
