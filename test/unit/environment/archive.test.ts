// Packed folders: the same bytes for the same files, back as they were, and hostile bytes leave nothing behind.

import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { leadsOut } from "../../../runtime/environment/archive.ts";
import { packFolder } from "../../../runtime/environment/packing.ts";
import { unpackFolder } from "../../../runtime/environment/unpacking.ts";

const LIMITS = { bytes: 1_000_000, entries: 100 };

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "troupe-archive-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function folderOf(files: Record<string, string>, name = "in"): Promise<string> {
  const folder = join(root, name);
  await mkdir(folder, { recursive: true });
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  return folder;
}

async function packedFile(folder: string): Promise<{ archive: string; bytes: Uint8Array }> {
  const { bytes: total, slice } = await packFolder(folder);
  const bytes = slice(0, total);
  const archive = join(root, "archive");
  await writeFile(archive, bytes);
  return { archive, bytes };
}

async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(folder, { recursive: true })).sort();
}

describe("a folder", () => {
  test("comes back with its content, programs and links", async () => {
    const folder = await folderOf({ "a.mjs": "a", "lib/deep/b.mjs": "b".repeat(600_000), "run.sh": "#!/bin/sh", "empty/x": "" });
    await chmod(join(folder, "run.sh"), 0o755);
    await symlink("lib/deep", join(folder, "short"));
    await symlink(join(folder, "a.mjs"), join(folder, "lib/whole"));
    const out = join(root, "out");
    expect(await unpackFolder((await packedFile(folder)).archive, out, LIMITS)).toBe(600_010);
    expect(await namesIn(out)).toEqual(await namesIn(folder));
    expect(await readFile(join(out, "short/b.mjs"), "utf8")).toBe("b".repeat(600_000));
    expect(await readlink(join(out, "lib/whole"))).toBe("../a.mjs");
    expect((await stat(join(out, "run.sh"))).mode & 0o777).toBe(0o700);
    expect((await stat(join(out, "a.mjs"))).mode & 0o777).toBe(0o600);
  });

  test("has one name, wherever it lies and in whatever order it was written", async () => {
    const one = await packFolder(await folderOf({ b: "2", a: "1", "c/d": "3" }));
    const other = await packFolder(await folderOf({ "c/d": "3", a: "1", b: "2" }, "elsewhere"));
    expect(other.blob).toBe(one.blob);
    const changed = await packFolder(await folderOf({ b: "2", a: "1", "c/d": "4" }, "changed"));
    expect(changed.blob).not.toBe(one.blob);
  });

  test("is read in any pieces", async () => {
    const packed = await packFolder(await folderOf({ a: "12345", b: "", "c/d": "x".repeat(1000) }));
    const whole = Buffer.from(packed.slice(0, packed.bytes));
    fc.assert(fc.property(fc.nat(packed.bytes), fc.nat(300), (offset, length) => {
      expect(Buffer.from(packed.slice(offset, length)).equals(whole.subarray(offset, offset + length))).toBe(true);
    }));
  });

  test("leaves out what its patterns say, and node_modules and .git by itself", async () => {
    const folder = await folderOf({
      "main.mjs": "", "node_modules/x/index.js": "", ".git/HEAD": "", "data/big.bin": "", "data/keep.bin": "", "lib/a.log": "",
      "lib/b.mjs": "", ".gitignore": "*.log\n/data/*\n!keep.bin\n",
    });
    const out = join(root, "out");
    await unpackFolder((await packedFile(folder)).archive, out, LIMITS);
    expect(await namesIn(out)).toEqual([".gitignore", "data", "data/keep.bin", "lib", "lib/b.mjs", "main.mjs"]);
    await writeFile(join(folder, ".troupeignore"), "data/\n!node_modules\n");
    await rm(out, { recursive: true });
    await unpackFolder((await packedFile(folder)).archive, out, LIMITS);
    expect(await namesIn(out)).toContain("node_modules/x/index.js");
    expect(await namesIn(out)).toContain("lib/a.log");
    expect(await namesIn(out)).not.toContain("data");
  });

  test("that is too large is refused with what makes it so", async () => {
    const folder = await folderOf({ small: "1", "data/large.bin": "x".repeat(5000), "data/larger.bin": "x".repeat(6000) });
    const named = /10\.7 KiB.*larger\.bin \(5\.9 KiB\), data\/large\.bin \(4\.9 KiB\)/;
    await expect(packFolder(folder, 10_000)).rejects.toThrow(named);
    await expect(packFolder(join(root, "none"))).rejects.toThrow(/can't be read/);
    await expect(packFolder(join(folder, "small"))).rejects.toThrow(/is no folder/);
  });

  test("with a link out of it is refused, unless that is left out", async () => {
    const folder = await folderOf({ a: "1" });
    await symlink("/etc", join(folder, "etc"));
    await expect(packFolder(folder)).rejects.toThrow(/link etc leads out of the folder/);
    await writeFile(join(folder, ".troupeignore"), "etc");
    await expect(packFolder(folder)).resolves.toBeDefined();
  });
});

// -- hostile bytes -----------------------------------------------------------------------------------------------------

type Entry = readonly [kind: number, path: string | Buffer, content?: string, claimedSize?: number];

/** An archive as nobody of ours would write it. */
function forged(entries: readonly Entry[], count = entries.length, tail = ""): Buffer {
  const number = (value: number, bytes: number) => {
    const buffer = Buffer.alloc(bytes);
    buffer.writeUIntLE(value, 0, bytes);
    return buffer;
  };
  const text = (value: string | Buffer) => {
    const bytes = Buffer.from(value);
    return Buffer.concat([number(bytes.length, 2), bytes]);
  };
  const parts = entries.flatMap(([kind, path, content = "", claimed]) => {
    const head = [Buffer.from([kind]), text(path)];
    if (kind === 4) return [...head, text(content)];
    return kind === 2 || kind === 3 ? [...head, number(claimed ?? content.length, 6), Buffer.from(content)] : head;
  });
  return Buffer.concat([Buffer.from("troupe1\n"), ...parts, Buffer.from([0]), number(count, 4), Buffer.from(tail)]);
}

const FOLDER = 1;
const FILE = 2;
const LINK = 4;

async function refusal(bytes: Buffer): Promise<string> {
  const archive = join(root, "hostile");
  const out = join(root, "box/out");
  await mkdir(dirname(out), { recursive: true });
  await writeFile(archive, bytes);
  const error: unknown = await unpackFolder(archive, out, LIMITS).then(() => "unpacked", (caught: unknown) => caught);
  expect(await readdir(dirname(out))).toEqual(error === "unpacked" ? ["out"] : []);
  expect((await readdir(root)).sort()).toEqual(["box", "hostile"]);
  await rm(dirname(out), { recursive: true });
  return error === "unpacked" ? error : String(error);
}

describe("hostile bytes", () => {
  test.each<[string, Entry[], RegExp]>([
    ["a path to above", [[FILE, "../x", "1"]], /no plain relative path/],
    ["a path to above, inside", [[FOLDER, "a"], [FILE, "a/../../x", "1"]], /no plain relative path/],
    ["an absolute path", [[FILE, "/tmp/x", "1"]], /no plain relative path/],
    ["an empty path", [[FILE, "", "1"]], /no plain relative path/],
    ["an empty name", [[FOLDER, "a"], [FILE, "a//x", "1"]], /no plain relative path/],
    ["a zero byte", [[FILE, "a\0b", "1"]], /zero byte/],
    ["a name that is no text", [[FILE, Buffer.from([0xff, 0xfe]), "1"]], /no text/],
    ["a long name", [[FILE, "x".repeat(256), "1"]], /longer than 255/],
    ["a long path", [[FILE, "x/".repeat(1100) + "x", "1"]], /longer than 2048/],
    ["the same path twice", [[FILE, "a", "1"], [FILE, "a", "2"]], /twice/],
    ["a file where a link was", [[LINK, "a", "b"], [FILE, "a", "2"]], /twice/],
    ["a file without its folder", [[FILE, "a/b", "1"]], /before its folder/],
    ["a file below a file", [[FILE, "a", "1"], [FILE, "a/b", "1"]], /before its folder/],
    ["a file through a link", [[LINK, "a", "."], [FILE, "a/b", "1"]], /before its folder/],
    ["a link to above", [[LINK, "a", "../b"]], /leads out/],
    ["an absolute link", [[LINK, "a", "/etc/passwd"]], /leads out/],
    ["a link to nothing", [[LINK, "a", ""]], /leads out/],
    ["a link through a link", [[FOLDER, "d"], [LINK, "d/up", ".."], [LINK, "a", "d/up/../x"]], /leads out/],
    ["links in a circle", [[LINK, "a", "b/x"], [LINK, "b", "a"]], /leads out/],
    ["a link through one of other case", [[FOLDER, "d"], [LINK, "d/Up", ".."], [LINK, "a", "d/up/../x"]], /leads out/],
    ["a device", [[5, "null"]], /unknown kind/],
    ["a file larger than all", [[FILE, "a", "1", 999_999]], /runs over its end/],
    ["a bomb", [[FILE, "a", "1", 2 ** 47]], /more than 1000000 bytes/],
    ["too many entries", Array.from({ length: 101 }, (_, i): Entry => [FOLDER, `f${i}`]), /more than 100 entries/],
  ])("%s is refused", async (_name, entries, reason) => {
    expect(await refusal(forged(entries))).toMatch(reason);
  });

  test("that are cut, longer, or no archive are refused", async () => {
    const whole = forged([[FOLDER, "a"], [FILE, "a/b", "hello"], [LINK, "l", "a/b"]]);
    expect(await refusal(whole)).toBe("unpacked");
    for (let length = 0; length < whole.length; length += 1) {
      expect(await refusal(whole.subarray(0, length))).toMatch(/InvalidArgumentError/);
    }
    expect(await refusal(Buffer.concat([whole, Buffer.from("x")]))).toMatch(/does not end/);
    expect(await refusal(forged([[FOLDER, "a"]], 2))).toMatch(/does not end/);
  });

  test("changed at random never write outside, and never crash", async () => {
    const whole = forged([[FOLDER, "a"], [FILE, "a/b", "hello"], [LINK, "l", "a/b"], [FOLDER, "c"], [FILE, "c/d", "x"]]);
    const changes = fc.array(fc.record({ at: fc.nat(whole.length - 1), to: fc.nat(255) }), { minLength: 1, maxLength: 4 });
    await fc.assert(fc.asyncProperty(changes, async (all) => {
      const bytes = Buffer.from(whole);
      for (const { at, to } of all) bytes[at] = to;
      expect(await refusal(bytes)).toMatch(/^unpacked$|InvalidArgumentError/);
    }), { numRuns: 500 });
  });

  test("made of random entries are unpacked within the folder or refused", async () => {
    const name = fc.constantFrom("a", "b", "..", ".", "", "A", "c\0", "d");
    const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join("/"));
    const kind = fc.constantFrom(FOLDER, FILE, LINK);
    const entry = fc.tuple(kind, path, path).map(([is, at, content]): Entry => [is, at, content]);
    await fc.assert(fc.asyncProperty(fc.array(entry, { maxLength: 8 }), async (entries) => {
      expect(await refusal(forged(entries))).toMatch(/^unpacked$|InvalidArgumentError/);
    }), { numRuns: 500 });
  });
});

describe("links", () => {
  test("that stay inside are found to, whatever they lead through", () => {
    expect(leadsOut(new Map([["a", "b/c"], ["b", "d"], ["d/e/up", "../.."], ["x", "d/e/up/d"]]))).toBeUndefined();
    expect(leadsOut(new Map([["d/e/up", "../../.."]]))).toBe("d/e/up");
  });
});
