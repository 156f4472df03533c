// The package as `npm pack` makes it, in a project outside of this one: a new project runs on a cluster at once.

import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Machine } from "./machine.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

let machine: Machine;
beforeEach(() => { machine = new Machine(); });
afterEach(() => machine.remove());

test("has the addon of this platform, and makes projects that run and depend on it", async () => {
  execFileSync(process.execPath, [join(ROOT, "scripts", "prebuild.mjs")], { stdio: "ignore" });
  const pack = ["pack", "--ignore-scripts", "--json", "--pack-destination", machine.folder];
  execFileSync("npm", pack, { cwd: ROOT, stdio: "ignore" });
  const archive = readdirSync(machine.folder).find((name) => name.endsWith(".tgz")) as string;
  const modules = join(machine.folder, "outside", "node_modules");
  mkdirSync(join(modules, "troupe"), { recursive: true });
  execFileSync("tar", ["-xzf", join(machine.folder, archive), "-C", join(modules, "troupe"), "--strip-components=1"]);
  for (const name of readdirSync(join(ROOT, "node_modules"))) {
    if (!name.startsWith(".")) symlinkSync(join(ROOT, "node_modules", name), join(modules, name));
  }

  const command = join(modules, "troupe", "cli", "troupe.js");
  const project = join(machine.folder, "outside", "sales");
  expect((await machine.node(command, "init", "dag", project)).code).toBe(0);
  const { dependencies } = JSON.parse(readFileSync(join(project, "package.json"), "utf8")) as { dependencies: object };
  expect(dependencies).toEqual({ troupe: "file:../node_modules/troupe" });
  const ran = await machine.node(command, "dag", "run", "sales", "--dir", join(project, "dags"));
  expect([ran.code, ran.stdout]).toEqual([0, expect.stringContaining("result: 18")]);
});
