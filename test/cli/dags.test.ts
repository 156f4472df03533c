// `troupe init dag` and `troupe dag`: a new project is green at once, and its graph is listed, shown, tested and run.

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
