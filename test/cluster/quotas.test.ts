// A job never holds more than its quota, in the whole cluster, and what waits for it says so.

import { expect, test } from "vitest";
import { explain, get, init, InvalidArgumentError, InfeasibleError, list, placementGroup, ready, remote, shutdown } from "troupe";
import { testCluster } from "troupe/testing";

const nap = remote(async (ms: number) => {
  const began = Date.now();
  await new Promise((resolve) => setTimeout(resolve, ms));
  return [began, Date.now()] as const;
});

function mostAtOnce(spans: readonly (readonly [number, number])[]): number {
  return Math.max(...spans.map(([began]) => spans.filter(([start, end]) => start <= began && began < end).length));
}

async function reasonOf(ref: Parameters<typeof explain>[0], kind: string): Promise<string> {
  for (;;) {
    const found = (await explain(ref)).reasons.find((reason) => reason.kind === kind);
    if (found !== undefined) return found.text;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test("tasks of a job hold its quota and no more, on all nodes together", async () => {
  await using cluster = await testCluster({ head: { numCpus: 2 }, nodes: [{ numCpus: 2 }, { numCpus: 2 }] });
  await init({ address: cluster.socket, token: cluster.token, quota: { CPU: 3 } });
  try {
    const spread = nap.options({ schedulingStrategy: "spread" });
    const refs = Array.from({ length: 30 }, (_, index) => (index % 2 === 0 ? nap : spread).remote(100));
    const last = nap.options({ name: "last" }).remote(1);
    expect(await reasonOf(last, "quota")).toContain("its job holds all of its quota");
    const most = mostAtOnce(await get(refs));
    expect(most).toBeLessThanOrEqual(3);
    expect(most).toBeGreaterThan(1);
    await get(last);
    const [job] = (await list.jobs()).filter(({ state }) => state === "RUNNING");
    expect(job).toMatchObject({ quota: { CPU: 3 } });
  } finally {
    await shutdown();
  }
});

test("a head that dies takes no quota along, and gives none twice", async () => {
  await using cluster = await testCluster({ head: { numCpus: 2 }, nodes: [{ numCpus: 2 }] });
  await init({ address: cluster.socket, token: cluster.token, quota: { CPU: 2 } });
  try {
    const refs = Array.from({ length: 40 }, () => nap.remote(100));
    await refs[0].value();
    process.kill(cluster.pids().head, "SIGKILL");
    expect(mostAtOnce(await get(refs))).toBeLessThanOrEqual(2);
    await get(nap.options({ numCpus: 2 }).remote(1));
  } finally {
    await shutdown();
  }
});

test("actors, tasks and groups of a job share its quota; tasks that wait give theirs back", async () => {
  await init({ numCpus: 4, quota: { CPU: 2 } });
  try {
    class Holder {
      hello() {
        return "hello";
      }
    }
    const Held = remote(Holder, { numCpus: 1 });
    const [first, second] = [Held.remote(), Held.remote()];
    await Promise.all([ready(first), ready(second)]);
    const third = Held.remote();
    const call = third.hello.remote();
    expect(await reasonOf(call, "quota")).toContain("quota");
    first[Symbol.dispose]();
    expect(await get(call)).toBe("hello");
    second[Symbol.dispose]();
    third[Symbol.dispose]();
    const depth = remote(async (left: number): Promise<number> => (left === 0 ? 0 : 1 + (await get(depth.remote(left - 1)))));
    expect(await get(depth.remote(20))).toBe(20);
    const group = await placementGroup([{ CPU: 2 }]);
    await group.ready();
    const blocked = nap.remote(1);
    expect(await reasonOf(blocked, "quota")).toContain("quota");
    await group.remove();
    await get(blocked);
  } finally {
    await shutdown();
  }
});

test("what no quota can ever hold is refused", async () => {
  await init({ numCpus: 4, quota: { CPU: 2, memory: "1GiB", GPU: 0 } });
  try {
    await expect(get(nap.options({ numCpus: 3 }).remote(1))).rejects.toThrow(InfeasibleError);
    await expect(get(nap.options({ memory: "2GiB" }).remote(1))).rejects.toThrow("quota");
    await expect(placementGroup([{ CPU: 2 }, { CPU: 1 }])).rejects.toThrow(InfeasibleError);
    await get(nap.options({ numCpus: 2, memory: "1GiB" }).remote(1));
  } finally {
    await shutdown();
  }
  await expect(init({ quota: { CPU: -1 } })).rejects.toThrow(InvalidArgumentError);
  await expect(init({ quota: 2 as never })).rejects.toThrow("amounts by resource");
});

test("a program's own option can't raise the quota that it was submitted with", async () => {
  process.env.TROUPE_QUOTA = '{"CPU": 1}';
  try {
    await init({ numCpus: 4, quota: { CPU: 3, disk: 1 } });
    const [job] = await list.jobs();
    expect(job).toMatchObject({ quota: { CPU: 1, disk: 1 } });
    expect(mostAtOnce(await get(Array.from({ length: 4 }, () => nap.remote(50))))).toBe(1);
  } finally {
    delete process.env.TROUPE_QUOTA;
    await shutdown();
  }
});
