// The cluster's key-value store, from drivers and workers: order, compare-and-set, batches, refusals.

import { get, init, InvalidArgumentError, kv, put, remote, run, SerializationError, shutdown } from "troupe";
import { testCluster } from "troupe/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

describe("kv", () => {
  beforeAll(() => init({ numCpus: 2 }));
  afterAll(() => shutdown());

  async function scanned(prefix: string, options = {}): Promise<[string, unknown][]> {
    const found: [string, unknown][] = [];
    for await (const entry of kv.scan(prefix, options)) found.push(entry);
    return found;
  }

  test("what one process sets another one gets, in the order of keys", async () => {
    await kv.set("order/b", { n: 2, when: new Date(5), list: [1n, new Map([["x", 1]])] });
    await run(remote(async () => {
      await kv.set("order/a", 1);
      await kv.set("order/c/d", undefined);
    }));
    expect(await scanned("order/")).toEqual([
      ["order/a", 1], ["order/b", { n: 2, when: new Date(5), list: [1n, new Map([["x", 1]])] }], ["order/c/d", undefined],
    ]);
    expect(await scanned("order/", { after: "order/a", limit: 1 })).toHaveLength(1);
    await kv.delete("order/a");
    await kv.delete("order/a");
    expect([await kv.get("order/a"), (await scanned("order/")).length]).toEqual([undefined, 2]);
  });

  test("scans go on beyond one answer", async () => {
    await kv.batch(
      Array.from({ length: 2500 }, (_, i) => ({
        type: "set" as const,
        key: `many/${String(i).padStart(5, "0")}`,
        value: i,
      })),
    );
    const values = (await scanned("many/")).map(([, value]) => value);
    expect(values).toEqual(Array.from({ length: 2500 }, (_, i) => i));
    const large = new Uint8Array(900_000).fill(7);
    for (let i = 0; i < 6; i += 1) await kv.set(`large/${i}`, large);
    expect((await scanned("large/")).map(([key]) => key)).toEqual(Array.from({ length: 6 }, (_, i) => `large/${i}`));
  });

  test("compare-and-set: of many at once one wins, and no count is lost", async () => {
    expect(await kv.cas("cas", undefined, 0)).toBe(true);
    expect(await kv.cas("cas", undefined, 1)).toBe(false);
    const increase = remote(async () => {
      for (let tries = 1; ; tries += 1) {
        const count = (await kv.get<number>("cas"))!;
        if (await kv.cas("cas", count, count + 1)) return tries;
      }
    }, { numCpus: 0.25 });
    await get(Array.from({ length: 40 }, () => increase.remote()));
    expect(await kv.get("cas")).toBe(40);
  });

  test("a batch is made as a whole, or not at all", async () => {
    await kv.set("batch/a", 1);
    const changes = [{ type: "set", key: "batch/b", value: 1 }, { type: "check", key: "batch/a", value: 2 }] as const;
    expect([await kv.batch(changes), await kv.get("batch/b")]).toEqual([false, undefined]);
    expect(
      await kv.batch([{ type: "check", key: "batch/a", value: 1 }, { type: "delete", key: "batch/a" }, changes[0]]),
    ).toBe(true);
    expect([await kv.get("batch/a"), await kv.get("batch/b")]).toEqual([undefined, 1]);
  });

  test("what it can't keep is refused at the door", async () => {
    await expect(kv.set("", 1)).rejects.toThrow(InvalidArgumentError);
    await expect(kv.set("x".repeat(1025), 1)).rejects.toThrow(/from 1 to 1024 bytes/);
    await expect(kv.set("big", new Uint8Array(1_100_000))).rejects.toThrow(/put\(\) large ones/);
    await expect(kv.set("ref", { ref: await put(1) })).rejects.toThrow(/can't hold refs/);
    await expect(kv.set("fn", () => 1)).rejects.toThrow(/can't hold functions/);
    await expect(kv.set("symbol", { a: Symbol("s") })).rejects.toThrow(SerializationError);
    await expect(kv.batch([{ type: "put", key: "a" } as never])).rejects.toThrow(/set, delete or check/);
  });
});

test("with a folder behind it, it works the same", async () => {
  await using cluster = await testCluster({ storage: "lmdb", head: { numCpus: 1 } });
  await using _driver = await cluster.connect();
  await kv.set("durable", { a: 1 });
  expect(await kv.get("durable")).toEqual({ a: 1 });
  expect(await kv.cas("durable", { a: 1 }, 2)).toBe(true);
});
