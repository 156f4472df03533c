// `troupe job`: programs that run on a cluster and outlive the command that submitted them.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Machine } from "./machine.ts";

let machine: Machine;
beforeEach(async () => {
  machine = new Machine();
  await machine.troupe("start", "--head", "--port", "0", "--num-cpus", "2", "--object-store-memory", "64MiB");
});
afterEach(async () => {
  await machine.troupe("stop", "--force");
  await machine.remove();
});

const PROGRAM = `
import { readFileSync } from "node:fs";
import { get, init, remote, shutdown } from "troupe";
await init();
console.log(readFileSync("data.txt", "utf8"), process.env.GREETING, await get(remote((a, b) => a + b).remote(20, 22)));
await shutdown();
if (process.argv[2] === "fail") process.exit(3);
if (process.argv[2] === "hang") setInterval(() => {}, 1000);
`;

function folder(): string {
  const path = join(machine.folder, "app");
  mkdirSync(path);
  writeFileSync(join(path, "app.mjs"), PROGRAM);
  writeFileSync(join(path, "data.txt"), "data");
  return path;
}

const submitted = async (...args: readonly string[]) => machine.troupe("job", "submit", "--id", ...args);
const stateOf = async (id: string): Promise<string> => (
  (JSON.parse((await machine.troupe("job", "status", id, "--json")).stdout) as { state: string }).state
);

test("a program runs in the folder that goes along, as a driver of the cluster, and its end is the command's", async () => {
  const path = folder();
  const good = await submitted("good", "--working-dir", path, "--env", "GREETING=hi", "--", "node", "app.mjs");
  expect([good.code, good.stdout]).toEqual([0, "data hi 42\n"]);
  const bad = await submitted("bad", "--working-dir", path, "--", "node", "app.mjs", "fail");
  expect([bad.code, bad.stderr]).toEqual([1, expect.stringContaining("job bad FAILED: it ended with 3")]);
  const none = await submitted("none", "--", "no-such-program");
  expect([none.code, none.stderr]).toEqual([1, expect.stringContaining("ENOENT")]);
  expect(await submitted("good", "--", "true")).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("there is a job good already"),
  });
  const rows = JSON.parse((await machine.troupe("job", "list", "--json")).stdout) as { id: string; state: string }[];
  expect(rows.map(({ id, state }) => [id, state])).toEqual([["good", "SUCCEEDED"], ["bad", "FAILED"], ["none", "FAILED"]]);
  expect((await machine.troupe("job", "logs", "good")).stdout).toBe("data hi 42\n");
});

test("a job outlives the command, and is ended by another one", async () => {
  const begun = await submitted("long", "--no-wait", "--working-dir", folder(), "--", "node", "app.mjs", "hang");
  expect(begun).toMatchObject({ code: 0, stdout: "long\n" });
  await expect.poll(async () => (await machine.troupe("job", "logs", "long")).stdout).toMatch(/42/);
  expect(await stateOf("long")).toBe("RUNNING");
  expect((await machine.troupe("job", "stop", "long")).code).toBe(0);
  await expect.poll(() => stateOf("long")).toBe("STOPPED");
  expect(await machine.troupe("job", "stop", "long")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("has ended already"),
  });
  expect(await machine.troupe("job", "status", "nobody")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("job nobody is not known"),
  });
});
