// `troupe init dag` and `troupe dag`: a new project is green at once, and its graph is listed, shown, tested and run.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Machine } from "./machine.ts";

let machine: Machine;
beforeEach(() => { machine = new Machine(); });
afterEach(() => machine.remove());

test("a new project runs at once", async () => {
  const folder = join(machine.folder, "sales");
  expect((await machine.troupe("init", "dag", folder)).code).toBe(0);
  expect(await machine.troupe("init", "dag", folder)).toMatchObject({ code: 2, stderr: expect.stringContaining("EEXIST") });
  expect((await machine.node("--test", folder + "/")).code).toBe(0);
  const at = ["--dir", join(folder, "dags")];
  const dag = (...args: readonly string[]) => machine.troupe("dag", ...args, ...at);

  expect(JSON.parse((await dag("list", "--json")).stdout)).toMatchObject([{ id: "sales", schedule: "0 0 * * *" }]);
  expect(JSON.parse((await dag("next", "sales", "--count", "2", "--json")).stdout)).toHaveLength(2);
  expect((await dag("show", "sales", "--mermaid")).stdout).toContain("t0_read --> t1_double");
  expect((await dag("show", "sales")).stdout).toMatch(/^double +task +true +read +allSuccess +2/m);
  const tested = await dag("test", "sales", "--json", "--params", '{"path": "x/y"}');
  expect([tested.code, JSON.parse(tested.stdout)]).toEqual([0, expect.objectContaining({ state: "success", result: 16 })]);
  const ran = await dag("run", "sales");
  expect([ran.code, ran.stdout]).toEqual([0, expect.stringContaining("result: 18")]);
  expect(ran.stderr).toContain("double[3] success");
  const planned = await dag("backfill", "sales", "--from", "2026-01-01", "--to", "2026-01-02", "--dry-run", "--json");
  expect(JSON.parse(planned.stdout)).toHaveLength(2);
  expect(await dag("run", "nope")).toMatchObject({ code: 1, stderr: expect.stringContaining("there is no graph nope") });
  expect(await dag("test", "sales", "--params", "[]")).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("must be a JSON object"),
  });
});

const DIST = new URL("../../dist/dag/index.js", import.meta.url).href;

test("answers have nothing in them of what graphs print; what is used wrongly is said", async () => {
  const folder = join(machine.folder, "dags");
  mkdirSync(folder);
  writeFileSync(join(folder, "talks.mjs"), `import { dag, task } from ${JSON.stringify(DIST)};
    console.log("loaded");
    const say = task("say", () => { console.log("said"); return 1; });
    export const talks = dag("talks", () => say());`);
  const dag = (...args: readonly string[]) => machine.troupe("dag", ...args, "--dir", folder);

  const listed = await dag("list", "--json");
  expect([JSON.parse(listed.stdout), listed.stderr]).toEqual([[expect.not.objectContaining({ next: "" })], "loaded\n"]);
  const tested = await dag("test", "talks", "--json");
  expect([JSON.parse(tested.stdout), tested.stderr]).toEqual([expect.objectContaining({ result: 1 }), "loaded\nsaid\n"]);
  const ran = await dag("run", "talks", "--json");
  expect(JSON.parse(ran.stdout)).toMatchObject({ result: 1 });
  expect(ran.stderr).toMatch(/\) said$/m);

  const wrong = (text: string) => ({ code: 2, stdout: "", stderr: expect.stringContaining(text) });
  expect(await dag("test", "talks", "--now", "soon")).toEqual(wrong("It must be a time such as 2026-01-31"));
  const backfill = ["backfill", "talks", "--from", "soon", "--to", "2026-01-31"];
  expect(await dag(...backfill)).toEqual(wrong("It must be a time such as"));
  expect(await machine.troupe("dag", "runs", "--state", "fialed")).toEqual(wrong("Allowed choices are queued, running"));
  await machine.troupe("start", "--head", "--num-cpus", "1", "--port", "0", "--storage", "memory");
  const failed = { code: 1, stderr: expect.stringContaining("no service default serves graphs here: begin one with") };
  expect(await machine.troupe("dag", "trigger", "talks")).toMatchObject(failed);
});
