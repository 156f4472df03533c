// Patterns of .gitignore files, each against what git itself says of the same paths.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { IgnoreRules } from "../../../runtime/environment/ignore-rules.ts";

const PATHS = [
  "a", "b.log", "dir/a", "dir/b.log", "dir/sub/a", "dir/sub/c.log", "sub/x.txt", "foo/bar", "foo/bar/baz", "x/foo/bar",
  "a.b", "aXb", "a?b", "#hash", "!bang", "trailing ", "trailing", "build/out", "src/build/out", "file1", "file2",
  "file-", "file]", "back\\slash", "doc/x/y/z.txt", "doc/z.txt", "abc", "a/b/c/d", "deep/node/x.js", ".hidden",
  "dir/.hidden", "A",
].filter((path, _, all) => !all.some((other) => other.startsWith(`${path}/`)));

const PATTERNS = [
  "*.log", "/a", "a", "dir/", "build", "build/", "/build", "foo/bar", "**/foo/bar", "foo/**", "**/sub", "doc/**/z.txt",
  "a?b", "a\\?b", "file[12]", "file[!1]", "file[^1]", "file[]]", "file[0-9]", "\\#hash", "#hash", "\\!bang",
  "trailing\\ ", "trailing ", "*", "*\n!a", "dir/*\n!dir/sub", "*.txt\n!z.txt", ".*", "back\\\\slash", "a/b/**/d",
  "a/**/d", "**", "/*", "sub/*.txt", "  ", "a.b", "d*r/[ab]", "**/", "*/a", "[a-c]bc", "deep/**", "!a\na", "file[\\]]",
];

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "troupe-ignore-"));
  execFileSync("git", ["init", "-q", root]);
  for (const path of PATHS) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), "");
  }
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** What git would take. */
function kept(): string[] {
  const said = execFileSync("git", ["-C", root, "ls-files", "--others", "--exclude-standard", "-z"], { encoding: "utf8" });
  return said.split("\0").filter((path) => path !== "" && path !== ".gitignore").sort();
}

function isLeftOut(rules: IgnoreRules, path: string): boolean {
  const names = path.split("/");
  return names.some((_, index) => rules.isIgnored(names.slice(0, index + 1).join("/"), index < names.length - 1));
}

test.each(PATTERNS)("%j", (patterns) => {
  writeFileSync(join(root, ".gitignore"), patterns);
  const rules = IgnoreRules.of([]).with("", patterns);
  expect(PATHS.filter((path) => !isLeftOut(rules, path)).sort()).toEqual(kept());
});

test("patterns of a deeper folder go before those above it", () => {
  const rules = IgnoreRules.of(["node_modules"]).with("", "*.log\n").with("dir/", "!b.log\n/a\n");
  const ignored = PATHS.filter((path) => isLeftOut(rules, path));
  expect(ignored).toContain("b.log");
  expect(ignored).toContain("dir/a");
  expect(ignored).not.toContain("dir/b.log");
  expect(ignored).not.toContain("dir/sub/a");
  expect(isLeftOut(rules, "x/node_modules/y")).toBe(true);
});
