// Names of files in shipped code, there and back.

import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fileNames } from "../../../runtime/environment/file-places.ts";

const ORIGIN = "file:///home/u/app/";
let root: string;
const url = (path: string) => pathToFileURL(join(root, path)).href;
beforeAll(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), "troupe-places-")));
  for (const path of ["p/node_modules/dep/index.js", "p/copy/lib/a.mjs", "p/copy/node_modules/own/index.js"]) {
    mkdirSync(join(root, path, ".."), { recursive: true });
    writeFileSync(join(root, path), "");
  }
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const both = () => fileNames({ origin: ORIGIN, folder: join(root, "p/copy"), packages: join(root, "p") });

test("a module of the folder is the copy's, also one that did not come along; any other stays", () => {
  const names = both();
  expect(names.here(`${ORIGIN}lib/a.mjs`)).toBe(url("p/copy/lib/a.mjs"));
  expect(names.here(`${ORIGIN}lib/ignored.mjs`)).toBe(url("p/copy/lib/ignored.mjs"));
  expect(names.here("file:///home/u/application/x.mjs")).toBe("file:///home/u/application/x.mjs");
  expect(names.here("node:fs")).toBe("node:fs");
});

test("a package is the folder's if it came along, else the installed one", () => {
  const names = both();
  expect(names.here(`${ORIGIN}node_modules/own/index.js`)).toBe(url("p/copy/node_modules/own/index.js"));
  expect(names.here(`${ORIGIN}node_modules/dep/index.js`)).toBe(url("p/node_modules/dep/index.js"));
  expect(names.here("file:///elsewhere/node_modules/dep/index.js")).toBe(url("p/node_modules/dep/index.js"));
  expect(names.importer(`${ORIGIN}lib/a.mjs`, "dep")).toBe(url("p/copy/lib/a.mjs"));
  expect(names.importer("file:///elsewhere/x.mjs", "dep")).toBe(url("p/index.js"));
  expect(names.importer("file:///elsewhere/x.mjs", "other")).toBe("file:///elsewhere/x.mjs");
});

test("what is here goes back to its maker's name", () => {
  const packagesOnly = fileNames({ origin: ORIGIN, packages: join(root, "p") });
  const copyOnly = fileNames({ origin: ORIGIN, folder: join(root, "p/copy") });
  for (const names of [both(), packagesOnly, copyOnly]) {
    for (const name of [`${ORIGIN}main.mjs`, `${ORIGIN}lib/a.mjs`, "file:///elsewhere/x.mjs", "node:fs", "evalmachine.<x>"]) {
      expect(names.origin(names.text(name)), name).toBe(name);
      expect(names.origin(names.here(name)), name).toBe(name);
    }
    expect(names.origin(names.here(`${ORIGIN}node_modules/dep/index.js`))).toBe(`${ORIGIN}node_modules/dep/index.js`);
  }
  expect(packagesOnly.text("file:///elsewhere/x.mjs")).toBe(url("p/texts/elsewhere/x.mjs"));
});
