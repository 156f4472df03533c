// Stores: one suite for every kind of them that can be written, then what is a kind's own.

import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { dag, defineStore, store, type Store, type StoredFile, task } from "../../dag/index.ts";
import { S3Server } from "./s3-server.ts";

const folder = mkdtempSync(join(tmpdir(), "stores-"));
const s3 = new S3Server();
beforeAll(() => s3.listen());
afterAll(async () => {
  await s3.close();
  rmSync(folder, { recursive: true });
});

const keysOf = async (files: AsyncIterable<StoredFile>): Promise<string[]> => {
  const keys: string[] = [];
  for await (const { key } of files) keys.push(key);
  return keys;
};
async function* streamOf(...pieces: readonly (Uint8Array | Error)[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) {
    if (piece instanceof Error) throw piece;
    yield piece;
  }
}
const hashOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe.each([
  ["a folder", (name: string) => defineStore(name, { dir: join(folder, name) })],
  ["S3", (name: string) => defineStore(name, { s3: { ...s3.place(), prefix: `${name}/` } })],
])("%s", (_, make) => {
  let files: Store;
  let made = 0;
  beforeAll(() => { files = make(`kind${(made += 1)}`); });

  test("gives what was put, whole and in ranges", async () => {
    expect(await files.put("a/b c+d.txt", "0123456789")).toMatchObject({ key: "a/b c+d.txt", size: 10 });
    expect((await files.get("a/b c+d.txt")).toString()).toBe("0123456789");
    const ranges = [[2, 5], [8, 20], [3, 3], [10, undefined], [0, 1], [undefined, 2]] as const;
    const found = await Promise.all(ranges.map(([start, end]) => files.get("a/b c+d.txt", { start, end })));
    expect(found.map(String)).toEqual(["234", "89", "", "", "0", "01"]);
    await files.put("a/b c+d.txt", new Uint8Array());
    expect(await files.get("a/b c+d.txt")).toHaveLength(0);
  });

  test("lists by prefix in the order of keys, tells of one, and deletes", async () => {
    const keys = ["l/a.b", "l/a/1", "l/a/2 & <3>", "l/a0", "l/ü/(x)!*'", "lm"];
    for (const key of keys.toReversed()) await files.put(key, key);
    expect(await keysOf(files.list("l/"))).toEqual(keys.slice(0, 5));
    expect(await keysOf(files.list("l/a"))).toEqual(keys.slice(0, 4));
    expect(await keysOf(files.list("l/a/"))).toEqual(keys.slice(1, 3));
    expect(await keysOf(files.list("nothing/"))).toEqual([]);
    expect(await keysOf(files.list())).toEqual(expect.arrayContaining(keys));
    const told = await files.stat("l/a0");
    expect(told).toMatchObject({ key: "l/a0", size: 4 });
    expect(Math.abs(told!.modifiedAt.getTime() - Date.now())).toBeLessThan(60_000);
    await files.delete("l/a0");
    await files.delete("l/a0");
    expect(await files.stat("l/a0")).toBeUndefined();
    await expect(files.get("l/a0")).rejects.toMatchObject({
      code: "NOT_FOUND",
      message: expect.stringMatching(/store kind\d has no file l\/a0/),
    });
  });

  test("takes streams of any length, and shows nothing of one that breaks off", async () => {
    const large = randomBytes(40 * 1024 * 1024 + 7);
    const pieces = [large.subarray(0, 1), large.subarray(1, 20_000_001), large.subarray(20_000_001)];
    expect(await files.put("large", streamOf(...pieces))).toMatchObject({ size: large.length });
    const hash = createHash("sha256");
    for await (const piece of files.read("large")) hash.update(piece);
    expect(hash.digest("hex")).toBe(hashOf(large));
    expect(await files.get("large", { start: 20_000_000, end: 20_000_003 })).toEqual(large.subarray(20_000_000, 20_000_003));
    const broken = [streamOf(Buffer.from("x"), new Error("cut")), streamOf(large, new Error("cut"))];
    for (const content of broken) await expect(files.put("broken", content)).rejects.toThrow("cut");
    expect(await files.stat("broken")).toBeUndefined();
    await expect(files.put("large", streamOf(large, new Error("cut")))).rejects.toThrow("cut");
    expect((await files.stat("large"))?.size).toBe(large.length);
  });

  test("refuses keys that could lead out of it", async () => {
    for (const key of ["", "/a", "a/", "a//b", "../a", "a/../b", "a/.", "a\0", "a\\b", "x".repeat(1025)]) {
      await expect(files.put(key, "")).rejects.toThrow(/a key is names/);
    }
    await expect(files.get("a", { start: 3, end: 2 })).rejects.toThrow(/no range from 3 to 2/);
  });
});

test("a folder holds nothing but whole files", async () => {
  const files = defineStore("whole", { dir: join(folder, "whole") });
  await Promise.all(Array.from({ length: 20 }, (_, i) => files.put("one", `${i}`.repeat(100_000))));
  expect(new Set((await files.get("one")).toString().match(/../g)).size).toBeLessThanOrEqual(2);
  await expect(files.put("two", streamOf(new Error("cut")))).rejects.toThrow("cut");
  mkdirSync(join(folder, "whole", "x"));
  writeFileSync(join(folder, "whole", "x", ".part-0123456789abcdef"), "left by a process that died");
  expect(await keysOf(files.list())).toEqual(["one"]);
  expect(readdirSync(join(folder, "whole"))).toEqual(["one", "x"]);
});

describe("S3's own", () => {
  test("failures and broken connections are tried again, uploads that fail are given up", async () => {
    const files = defineStore("again", { s3: s3.place() });
    s3.failures = { method: "PUT", left: 2, cut: false };
    await files.put("again", "there");
    s3.failures = { method: "GET", left: 2, cut: true };
    expect((await files.get("again")).toString()).toBe("there");
    s3.failures = { method: "PUT", left: 1, cut: true };
    await files.put("parts", randomBytes(17 * 1024 * 1024));
    s3.lostAnswers = 1;
    expect(await files.put("lost", randomBytes(17 * 1024 * 1024))).toMatchObject({ size: 17 * 1024 * 1024 });
    expect(s3.uploads.size).toBe(0);
  });

  test("a wrong secret, bucket or connection is told, and the secret is not", async () => {
    await expect(defineStore("bad", { s3: { ...s3.place(), secretAccessKey: "wrong" } }).put("a", "")).rejects.toThrow(
      /store bad: PUT \/bucket\/a was answered with 403: .*SignatureDoesNotMatch/,
    );
    await expect(defineStore("bad", { s3: { ...s3.place(), bucket: "other" } }).put("a", "")).rejects.toThrow(/no bucket other/);
    process.env.TROUPE_CONN_BUCKET = `s3://${s3.accessKeyId}:${encodeURIComponent(s3.secretAccessKey)}@${s3.endpoint.slice(7)}/${
      s3.bucket}?region=${s3.region}&scheme=http`;
    const files = defineStore("named", { s3: { connection: "bucket" } });
    await files.put("by/connection", "yes");
    expect((await files.get("by/connection")).toString()).toBe("yes");
    const leak = task("leak", () => { throw new Error(`with ${s3.secretAccessKey}`); });
    const run = await dag("leaks", () => leak()).test();
    expect((await run.tasks())[0].reason).toBe("with ***");
    delete process.env.TROUPE_CONN_BUCKET;
  });
});

describe("a web server", () => {
  let server: Server;
  let url = "";
  const pages: Record<string, string> = {
    "/d/a.txt": "0123456789", "/d/sub/b%20c.txt": "b",
    "/d/": JSON.stringify([{ name: "sub", type: "directory" }, { name: "a.txt", type: "file", size: 10 }]),
    "/d/sub/": JSON.stringify(["b c.txt"]), "/plain/": "<html>",
  };
  beforeAll(async () => {
    server = createServer((request, response) => {
      const page = pages[request.url!];
      if (request.headers.authorization !== "Bearer t") return void response.writeHead(401).end();
      response.writeHead(page === undefined ? 404 : 200, { "content-length": page?.length ?? 0 });
      response.end(request.method === "HEAD" ? undefined : page);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => new Promise((resolve) => server.close(resolve)));

  test("is read, also in ranges that it does not know, and listed by its index", async () => {
    const files = defineStore("web", { http: { url: `${url}/d`, headers: { authorization: "Bearer t" } } });
    expect((await files.get("a.txt", { start: 3, end: 5 })).toString()).toBe("34");
    expect(await keysOf(files.list())).toEqual(["a.txt", "sub/b c.txt"]);
    expect(await files.stat("a.txt")).toMatchObject({ size: 10 });
    await expect(files.get("no")).rejects.toThrow(/store web has no file no/);
    await expect(files.put("a", "")).rejects.toThrow(/only read/);
    await expect(keysOf(defineStore("plain", { http: { url: `${url}/plain`, headers: { authorization: "Bearer t" } } }).list()))
      .rejects.toThrow(/no list of names/);
    await expect(defineStore("closed", { http: url }).get("a.txt")).rejects.toThrow(/answered with 401/);
  });
});

test("stores go by name; what is not defined is named", async () => {
  defineStore("mine", { dir: join(folder, "mine") });
  await store("mine").put("a", "1");
  expect((await store("mine").get("a")).toString()).toBe("1");
  expect(() => store("nowhere")).toThrow(/store nowhere is not known/);
  expect(store("default").name).toBe("default");
  const unknown = [
    { dir: "a", folder: "b" }, { s3: { bucket: "a", endpiont: "b" } }, { s3: { bucket: 5 } }, { http: { uri: "a" } },
  ];
  for (const wrong of [{}, { dir: "" }, { dir: "a", http: "http://b" }, { http: "ftp://b" }, { s3: {} }, ...unknown]) {
    expect(() => defineStore("wrong", wrong as never)).toThrow(/store wrong/);
  }
  expect(() => defineStore("a b", { dir: "a" })).toThrow(/letters, digits/);
});
