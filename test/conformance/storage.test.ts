// What every storage of a head promises: order, atomic conditional batches, fencing; and of those in a folder, that nothing
// answered is lost when the process is killed.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { LmdbStorage, MemoryStorage, type Storage, type StoreChange } from "../../runtime/storage/index.ts";
import { HeadUnavailableError } from "../../sdk/index.ts";

const folders: string[] = [];
const opened: Storage[] = [];

function folder(): string {
  folders.push(mkdtempSync(join(tmpdir(), "storage-")));
  return folders.at(-1)!;
}

afterEach(async () => {
  for (const storage of opened.splice(0)) await storage.close();
  for (const one of folders.splice(0)) rmSync(one, { recursive: true, force: true });
});

const bytes = (text: string): Uint8Array => Buffer.from(text);
const set = (key: string, value = key): StoreChange => ({ kind: "set", key, value: bytes(value) });

describe.each([["memory", () => new MemoryStorage()], ["lmdb", () => new LmdbStorage(folder())]])("%s", (_, make) => {
  async function open(): Promise<{ storage: Storage; epoch: number }> {
    const storage = make();
    opened.push(storage);
    return { storage, epoch: await storage.open() };
  }
  const keysOf = (storage: Storage, prefix: string, after?: string, limit = 100): string[] => (
    storage.scan({ prefix, after, limit }).map(({ key }) => key)
  );

  test("keys are in the order of their bytes, and a prefix is a prefix", async () => {
    const { storage, epoch } = await open();
    await storage.commit(epoch, ["b", "a/1", "a/10", "a/2", "a", "é", "a\u{10ffff}", "aé", ""].map((key) => set(`p${key}`)));
    expect(keysOf(storage, "p")).toEqual(["p", "pa", "pa/1", "pa/10", "pa/2", "paé", "pa\u{10ffff}", "pb", "pé"]);
    expect(keysOf(storage, "pa/")).toEqual(["pa/1", "pa/10", "pa/2"]);
    expect(keysOf(storage, "pa", "pa/10")).toEqual(["pa/2", "paé", "pa\u{10ffff}"]);
    expect(keysOf(storage, "pa", "p")).toHaveLength(6);
    expect(keysOf(storage, "pa/", undefined, 2)).toEqual(["pa/1", "pa/10"]);
    expect(keysOf(storage, "q")).toEqual([]);
  });

  test("a batch is applied as a whole, or not at all", async () => {
    const { storage, epoch } = await open();
    expect(await storage.commit(epoch, [{ kind: "check", key: "a" }, set("a", "1"), set("b", "1")])).toBeUndefined();
    expect(await storage.commit(epoch, [set("a", "2"), { kind: "check", key: "b", value: bytes("2") }])).toBe("b");
    expect(Buffer.from(storage.get("a")!).toString()).toBe("1");
    expect(
      await storage.commit(epoch, [
        { kind: "check", key: "b", value: bytes("1") },
        { kind: "delete", key: "b" },
      ]),
    ).toBeUndefined();
    expect(storage.get("b")).toBeUndefined();
  });

  test("does what a plain map does", async () => {
    const { storage, epoch } = await open();
    const model = new Map<string, string>();
    const key = fc.constantFrom("a", "b", "a/x", "a/y", "c");
    await fc.assert(fc.asyncProperty(fc.array(fc.tuple(key, fc.option(fc.string())), { maxLength: 5 }), async (changes) => {
      await storage.commit(
        epoch,
        changes.map(([one, value]) => (value === null ? { kind: "delete", key: one } : set(one, value))),
      );
      for (const [one, value] of changes) value === null ? model.delete(one) : model.set(one, value);
      const found = storage.scan({ prefix: "", limit: 100 }).map((entry) => [entry.key, Buffer.from(entry.value).toString()]);
      expect(found).toEqual([...model].sort(([x], [y]) => (x < y ? -1 : 1)));
    }), { numRuns: 50 });
  });

  test("who opens it later fences off who opened it before", async () => {
    const { storage, epoch } = await open();
    expect(await storage.commit(epoch - 1, []).catch((error: unknown) => error)).toBeInstanceOf(HeadUnavailableError);
  });
});

describe("lmdb", () => {
  test("a second opener of the folder finds everything, and the first can't write any more", async () => {
    const path = folder();
    const [first, second] = [new LmdbStorage(path), new LmdbStorage(path)];
    opened.push(first, second);
    const epoch = await first.open();
    await first.commit(epoch, [set("a")]);
    expect(await second.open()).toBe(epoch + 1);
    expect(second.get("a")).toBeDefined();
    await expect(first.commit(epoch, [set("b")])).rejects.toThrow(/another head has taken over/);
    expect(second.get("b")).toBeUndefined();
  });

  test("what was answered is there after SIGKILL", async () => {
    const path = folder();
    const writer = fileURLToPath(new URL("fixtures/storage-writer.ts", import.meta.url));
    for (let life = 0; life < 5; life += 1) {
      const child = spawn(process.execPath, ["--import", "tsx", writer, path, String(life)], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      let last = -1;
      for await (const line of createInterface(child.stdout!)) {
        last = Number(line);
        if (last >= 40 + life * 7) child.kill("SIGKILL");
      }
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
      const storage = new LmdbStorage(path);
      await storage.open();
      const count = storage.scan({ prefix: `${life}/`, limit: 1_000_000 }).length;
      expect(count).toBeGreaterThanOrEqual(last + 1);
      await storage.close();
    }
  });
});
