// What a node keeps for its environments: blobs by their hash, definitions, what is held and what goes.

import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { BlobStore, PIECE_BYTES_MAX } from "../../../runtime/environment/blob-store.ts";
import {
  blobIdOf, decodeDefinition, encodeDefinition, mergeDefinitions, type EnvironmentDefinition,
} from "../../../runtime/environment/definition.ts";
import { HeldFiles } from "../../../runtime/environment/held-files.ts";
import { nodeArgProblem } from "../../../runtime/environment/node-args.ts";
import { lockedSet, packageProblem, packageSet } from "../../../runtime/environment/packages.ts";
import { EnvironmentSite } from "../../../runtime/environment/site.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "troupe-site-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const encoded = (definition: EnvironmentDefinition): Uint8Array => encodeDefinition(definition) as Uint8Array;

describe("blobs", () => {
  const bytes = Buffer.from("x".repeat(2500));
  const id = blobIdOf(bytes);
  const piece = (from: number, to: number) => bytes.subarray(from, to);

  test("are written in order by any number of writers, and are there when they are whole", async () => {
    const store = new BlobStore(folder);
    expect(await store.write(id, 0, piece(0, 0), 2500)).toBe(0);
    // Both at once, one of them from where it does not go on.
    const writes = [[0, 1000], [0, 1000], [2000, 2500]].map(([from, to]) => store.write(id, from, piece(from, to), 2500));
    expect(await Promise.all(writes)).toEqual([1000, 1000, 1000]);
    expect(store.sizeOf(id)).toBeUndefined();
    await expect(store.read(id, 0, 10)).rejects.toThrow(/is not on this node/);
    expect(await store.write(id, 1000, piece(1000, 2500), 2500)).toBe(2500);
    expect(await store.write(id, 0, piece(0, 1000), 2500)).toBe(2500);
    expect(Buffer.from((await store.read(id, 2400, 1000)).bytes).equals(piece(2400, 2500))).toBe(true);
    expect((await store.read(id, 9999, 10)).bytes.length).toBe(0);
    await store.remove(id);
    expect(readdirSync(folder)).toEqual([]);
  });

  test("whose bytes are not what their name says leave nothing, and can be sent again", async () => {
    const store = new BlobStore(folder);
    await expect(store.write(id, 0, Buffer.alloc(2500), 2500)).rejects.toThrow(/have the hash/);
    expect(readdirSync(folder)).toEqual([]);
    expect(await store.write(id, 0, bytes, 2500)).toBe(2500);
  });

  test("that can't be are refused before anything is written", async () => {
    const store = new BlobStore(folder);
    const write = (name: string, size: number, total: number, offset = 0) =>
      (async () => store.write(name, offset, Buffer.alloc(size), total))();
    await expect(write("../x", 1, 1)).rejects.toThrow(/no name/);
    await expect(write(id, 1, 0)).rejects.toThrow(/1 to/);
    await expect(write(id, 1, 2 ** 40)).rejects.toThrow(/1 to/);
    await expect(write(id, PIECE_BYTES_MAX + 1, PIECE_BYTES_MAX * 2)).rejects.toThrow(/pieces/);
    await expect(write(id, 3, 2)).rejects.toThrow(/runs over/);
  });

  test("of which one says another size begin anew: its hash will tell who is right", async () => {
    const store = new BlobStore(folder);
    expect(await store.write(id, 0, piece(0, 1000), 3000)).toBe(1000);
    expect(await store.write(id, 1000, piece(1000, 2500), 2500)).toBe(0);
    expect(await store.write(id, 0, bytes, 2500)).toBe(2500);
  });
});

describe("definitions", () => {
  test("are equal for equal environments, and nothing for none", () => {
    expect(encodeDefinition({})).toBeUndefined();
    expect(encodeDefinition({ envVars: {}, nodeArgs: [], origin: "file:///here/" })).toBeUndefined();
    expect(blobIdOf(encoded({ nodeArgs: ["--a"], envVars: { b: "2", a: "1" } })))
      .toBe(blobIdOf(encoded({ envVars: { a: "1", b: "2" }, nodeArgs: ["--a"] })));
    expect(decodeDefinition(encoded({ envVars: { a: "1" } }))).toEqual({ envVars: { a: "1" } });
  });

  test("merge: variables of both, any other field of the nearer one", () => {
    const outer = { envVars: { a: "1", b: "1" }, nodeArgs: ["--outer"], packages: { manifest: "{}" } };
    expect(mergeDefinitions(outer, { envVars: { b: "2", c: "3" }, nodeArgs: ["--inner"], packages: undefined })).toEqual({
      envVars: { a: "1", b: "2", c: "3" }, nodeArgs: ["--inner"], packages: { manifest: "{}" },
    });
  });

  test("of other kinds are refused", () => {
    const others = ["", "1", "[]", '{"envVars":{"a":1}}', '{"nodeArgs":"--x"}', '{"workingDir":{"blob":"../x","bytes":1}}',
      '{"packages":{}}', '{"setupHook":{"id":"1"}}'];
    for (const text of others) expect(() => decodeDefinition(Buffer.from(text)), text).toThrow(/definition/);
    fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (random) => {
      expect(() => decodeDefinition(random)).toThrow();
    }));
  });
});

describe("held files", () => {
  test("go when there are too many bytes and nobody holds them, the longest unused first", () => {
    const held = new HeldFiles(100);
    for (const key of ["a", "b", "c"]) held.keep(key, 40);
    held.hold("b", "job");
    held.hold("a", "job");
    held.release("other");
    expect(held.takeSurplus()).toEqual(["c"]);
    held.keep("d", 60);
    expect(held.takeSurplus()).toEqual(["d"]);
    held.keep("e", 60);
    held.release("job");
    expect(held.takeSurplus()).toEqual(["b"]);
    expect([held.bytes, held.hold("b", "job"), held.hold("a", "job")]).toEqual([100, false, true]);
  });
});

describe("a site", () => {
  const site = () => new EnvironmentSite({ folder, packageRoot: folder, install: async () => {} });

  test("makes an environment once, from what is brought, and holds it for who asked", async () => {
    const bytes = encoded({ envVars: { A: "1" }, nodeArgs: ["--x"], packages: { manifest: "{}" }, origin: "file:///there/" });
    const id = blobIdOf(bytes);
    const here = site();
    let brought = 0;
    const fetch = async () => {
      brought += 1;
      await here.blobs.write(id, 0, bytes, bytes.length);
    };
    const [launch, same] = await Promise.all([here.make(id, "job", fetch), here.make(id, "job2", fetch)]);
    expect(launch).toMatchObject({ envVars: { A: "1" }, nodeArgs: ["--x"], worker: { id, files: { origin: "file:///there/" } } });
    expect([brought, same]).toEqual([1, launch]);
    expect(existsSync(launch.worker.definition)).toBe(true);
    expect(here.launchOf(id)).toEqual(launch);
  });

  test("keeps what anybody holds, and beyond its limit nothing else", async () => {
    const here = new EnvironmentSite({ folder, packageRoot: folder, install: async () => {}, keptBytes: 1 });
    const bytes = encoded({ packages: { manifest: "{}" }, origin: "file:///there/" });
    const id = blobIdOf(bytes);
    await here.write(id, 0, bytes, bytes.length, "job");
    await here.make(id, "job2", () => Promise.reject(new Error("nobody has it")));
    for (const holder of ["job", "job2"]) {
      here.hold(id, "worker");
      here.release(holder);
      expect(here.launchOf(id)).toBeDefined();
    }
    here.release("worker");
    expect(here.launchOf(id)).toBeUndefined();
    await expect(here.make(id, "job3", () => Promise.reject(new Error("nobody has it")))).rejects.toThrow("nobody has it");
    expect(readdirSync(join(folder, "blobs"))).toEqual([]);
  });

  test("that could not make one leaves no half of it and tries again when asked again", async () => {
    const bytes = encoded({ packages: { manifest: "{}" }, origin: "file:///there/" });
    const id = blobIdOf(bytes);
    let tries = 0;
    const here = new EnvironmentSite({
      folder, packageRoot: folder,
      install: async () => {
        tries += 1;
        if (tries === 1) throw new Error("no registry");
      },
    });
    await here.write(id, 0, bytes, bytes.length, "job");
    const make = () => here.make(id, "job", () => Promise.reject(new Error("nobody has it")));
    await expect(make()).rejects.toThrow("no registry");
    expect(readdirSync(folder).filter((name) => name.endsWith(".part"))).toEqual([]);
    await make();
    await make();
    expect(tries).toBe(2);
  });
});

describe("options of Node", () => {
  test.each([
    ["--max-old-space-size=512", true], ["--inspect", true], ["--inspect=0", true], ["--expose-gc", true],
    ["--import=./x.mjs", true],
    ["--test", false], ["-e", false], ["--eval=1", false], ["-pe", false], ["--print", false], ["-", false], ["--", false],
    ["script.js", false], ["--import", false], ["-r=x", false], ["--inspect-brk", false], ["--inspect_brk=0", false],
    ["--no-addons", false], ["--watch", false], ["--run=x", false], ["--test-only", false], ["--x=\n", false], ["", false],
  ])("%s: %s", (arg, isPossible) => {
    expect(nodeArgProblem(arg) === undefined).toBe(isPossible);
  });
});

describe("packages", () => {
  test("by name and range", () => {
    expect(JSON.parse(packageSet(["b", "@s/a@^1", "c@file:/x@y.tgz"]).manifest)).toEqual({
      private: true, dependencies: { "@s/a": "^1", b: "*", c: "file:/x@y.tgz" },
    });
    for (const bad of ["", "@s", "a/b", ".x@1", "-x", "a@", "troupe@1"]) expect(packageProblem(bad), bad).toBeTypeOf("string");
    for (const good of ["a", "@s/a", "a@1", "A.b-c_d@>=1 <2"]) expect(packageProblem(good), good).toBeUndefined();
  });

  test("of a lock file are those but this package, without what the project itself would run", () => {
    const manifest = {
      name: "app", scripts: { install: "x" }, dependencies: { a: "1", troupe: "1" }, devDependencies: { b: "1" }, bin: "x",
    };
    const lock = {
      lockfileVersion: 3,
      packages: {
        "": { dependencies: { a: "1", troupe: "1" } },
        "node_modules/a": { version: "1.0.0" }, "node_modules/troupe": { link: true },
        "node_modules/troupe/node_modules/c": {}, "node_modules/trouper": {},
      },
    };
    const set = lockedSet("package-lock.json", JSON.stringify(manifest), JSON.stringify(lock));
    const kept = { name: "app", private: true, dependencies: { a: "1" }, devDependencies: { b: "1" } };
    expect(JSON.parse(set.manifest)).toEqual(kept);
    const { packages } = JSON.parse(set.lock as string) as typeof lock;
    expect(Object.keys(packages)).toEqual(["", "node_modules/a", "node_modules/trouper"]);
    expect(() => lockedSet("x", "{}", "{}")).toThrow(/list of packages/);
    expect(() => lockedSet("x", "{}", "{")).toThrow(/x is no JSON/);
  });
});
