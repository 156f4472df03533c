// Stores on a real cluster: workers know what the driver defined, by name and by what closures carry.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { init, shutdown } from "troupe";
import { dag, defineStore, store, task } from "troupe/dag";
import { testCluster } from "troupe/testing";
import { storageFolder } from "../../dist/sdk/contract.js";
import { S3Server } from "../dag/s3-server.ts";
import { afterAll, beforeAll, expect, test } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "stores-"));
beforeAll(() => init({ numCpus: 2 }));
afterAll(async () => {
  await shutdown();
  rmSync(folder, { recursive: true });
});

test("a task finds a store by its name, and has those that its code names", async () => {
  const mine = defineStore("mine", { dir: folder });
  const write = task("write", async (key: string) => (await store("mine").put(key, "by name")).key);
  const read = task("read", async (key: string) => (await mine.get(key)).toString());
  const run = await dag("files", () => read(write("a/b"))).run();
  expect(await run.result()).toBe("by name");

  const lost = task("lost", async () => store("nowhere").get("a"));
  const failed = await dag("lost", () => lost()).run();
  await expect(failed.result()).rejects.toThrow(/store nowhere is not known/);
});

test("checkpoints lie in a bucket where a task says so", async () => {
  const s3 = await new S3Server().listen();
  defineStore("bucket", { s3: { ...s3.place(), prefix: "checkpoints/" } });
  const make = task("make", (length: number) => new Float64Array(length).fill(1.5), { checkpoint: store("bucket") });
  const sum = task("sum", (values: Float64Array) => values.reduce((a, b) => a + b, 0));
  const run = await dag("kept", () => sum(make(3_000_000))).run();
  expect(await run.result()).toBe(4_500_000);
  const [[key, { bytes }]] = s3.files;
  expect([key.startsWith("checkpoints/"), bytes.length > 24_000_000]).toEqual([true, true]);
  expect(s3.uploads.size).toBe(0);
  await s3.close();
});

test("the default store is a folder beside the cluster's storage", async () => {
  await shutdown();
  await using cluster = await testCluster({ storage: "lmdb" });
  await init({ address: cluster.address, token: cluster.token });
  const write = task("write", async () => (await store("default").put("a", "1")).key);
  const run = await dag("writes", () => write()).run();
  expect(await run.result()).toBe("a");
  expect((await store("default").get("a")).toString()).toBe("1");
  const folder = await storageFolder();
  expect(readFileSync(`${folder}-store/a`, "utf8")).toBe("1");
  rmSync(`${folder}-store`, { recursive: true });
  await shutdown();
});
