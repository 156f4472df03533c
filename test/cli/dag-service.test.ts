// `troupe dag` on a cluster that serves graphs: runs are started, looked at, run again, and the service outlives the command.

import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Machine, tokenFileOf } from "./machine.ts";

const GRAPHS = `
import { existsSync } from "node:fs";
import { ctx, dag, task } from "troupe/dag";
const check = task("check", (flag) => {
  ctx().logger.info("looking for " + flag);
  ctx().metric("looked", 1);
  if (!existsSync(flag)) throw new Error("there is no " + flag);
  return 20;
});
const more = task("more", (n, by) => n + by);
const sum = task("sum", (all) => all.reduce((a, b) => a + b, 0));
export const flagged = dag("flagged", { schedule: "@daily", params: { flag: "absent" }, tags: ["test"] }, ({ flag }) => (
  sum(more.expand({ by: [1, 2] }, check(flag)))
));
dag("lost", () => sum([1]));
`;

const machine = new Machine();
let tokenFile: string;
const dag = (...args: readonly string[]) => machine.troupe("dag", ...args);
const json = async <T>(...args: readonly string[]): Promise<T> => JSON.parse((await dag(...args, "--json")).stdout) as T;

beforeAll(async () => {
  const dags = join(machine.folder, "dags");
  mkdirSync(join(machine.folder, "node_modules"));
  symlinkSync(fileURLToPath(new URL("../../", import.meta.url)), join(machine.folder, "node_modules", "troupe"));
  mkdirSync(dags);
  writeFileSync(join(dags, "flagged.mjs"), GRAPHS);
  const started = await machine.troupe("start", "--head", "--port", "0", "--num-cpus", "2");
  expect(started).toMatchObject({ code: 0 });
  tokenFile = tokenFileOf(started);
  const served = await dag("serve", dags);
  expect([served.code, served.stdout, served.stderr]).toEqual([
    0, expect.stringMatching(/flagged +0 0 \* \* \* +\S+ +false/),
    expect.stringContaining("dag lost in"),
  ]);
});
afterAll(() => machine.remove());

test("a run that fails says why, and goes on where it failed", async () => {
  const flag = join(machine.folder, "flag");
  const failed = await dag("trigger", "flagged", "--params", JSON.stringify({ flag }), "--wait");
  expect(failed.code).toBe(1);
  expect(failed.stderr).toMatch(new RegExp(`check failed .*\\(there is no ${flag}\\)`));
  expect(failed.stdout).toMatch(/^sum +upstreamFailed/m);
  const [{ id }] = await json<{ id: string }[]>("runs", "flagged", "--state", "failed");
  expect(await json("tasks", id)).toMatchObject([{ id: "check", state: "failed" }, { id: "more" }, { id: "sum" }]);
  const logs = await dag("logs", id, "check");
  expect(logs.stdout).toContain(`check info looking for ${flag}\n`);
  expect(logs.stdout).toContain("check metric looked=1\n");
  expect(logs.stdout).toMatch(/check error Error: there is no .*\n +at /);
  expect((await dag("why", id, "sum")).stdout).toContain("more is upstreamFailed");
  expect(await dag("tasks", "no-such-run")).toMatchObject({ code: 1, stderr: expect.stringContaining("no-such-run") });
  expect(await dag("logs", id, "no-such-task")).toMatchObject({ code: 2, stderr: expect.stringContaining("has no task") });

  writeFileSync(flag, "");
  const resumed = await dag("resume", id, "--wait");
  expect([resumed.code, resumed.stdout]).toEqual([0, expect.stringContaining("result: 43")]);
  expect(resumed.stderr).toContain("more[1] success");
  const cleared = await json<{ state: string; result: unknown }>("clear", id, "--task", "more", "--wait");
  expect(cleared).toMatchObject({ state: "success", result: 43 });
  expect((await dag("logs", id, "--follow")).stdout.split("\n").filter((line) => line.includes("looking for"))).toHaveLength(2);
  expect((await dag("mark", id, "sum", "failed")).code).toBe(0);
  expect(await json("runs", "--state", "failed")).toMatchObject([{ id }]);
});

test("graphs are listed, paused and described by who serves them", async () => {
  expect((await dag("pause", "flagged")).stdout).toBe("flagged is paused\n");
  expect(await json("list", "--address", "auto")).toMatchObject([{ id: "flagged", paused: true, tags: ["test"], version: 1 }]);
  expect((await dag("unpause", "flagged")).code).toBe(0);
  expect(await json("next", "flagged", "--address", "auto", "--count", "2")).toHaveLength(2);
  expect((await dag("show", "flagged", "--address", "auto", "--mermaid")).stdout).toContain("t0_check --> t1_more");
  expect(await dag("pause", "other")).toMatchObject({ code: 1, stderr: expect.stringContaining("dag other is not served here") });
  expect(await dag("trigger", "flagged", "--params", '{"x":1}'))
    .toMatchObject({ code: 2, stderr: expect.stringContaining("dag flagged has no parameter x; it has flag") });
});

test("the HTTP API is there with the cluster's token, also of a service that is there already", async () => {
  const { url } = await json<{ url: string }>("serve", join(machine.folder, "dags"), "--http", "0");
  const token = readFileSync(tokenFile, "utf8").trim();
  expect((await fetch(`${url}/dags`)).status).toBe(401);
  const told = await fetch(`${url}/dags`, { headers: { Authorization: `Bearer ${token}` } });
  expect([told.status, await told.json()]).toEqual([200, { dags: [expect.objectContaining({ id: "flagged" })] }]);
  expect(await dag("serve", "dags", "--http", "0", "--listen", "10.9.8.7"))
    .toMatchObject({ code: 2, stderr: expect.stringContaining("unencrypted beyond this machine") });
});

test("a service that is ended is gone, its runs are not", async () => {
  expect((await dag("serve", "--stop")).code).toBe(0);
  expect(await dag("pause", "flagged")).toMatchObject({
    code: 1, stderr: expect.stringContaining("no service default serves graphs here"),
  });
  expect(await json("runs", "flagged")).toMatchObject([{ state: "failed" }]);
});
