// Stores on a real cluster: workers know what the driver defined, by name and by what closures carry.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { init, shutdown } from "troupe";
import { dag, defineStore, store, task } from "troupe/dag";
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
