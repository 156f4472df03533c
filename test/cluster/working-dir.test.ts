// The folder that goes along: nodes that have none of the driver's files run its code.

import { readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { testCluster, type TestCluster } from "troupe/testing";
import { Project } from "./fixtures/project.ts";

let cluster: TestCluster;
beforeEach(async () => {
  cluster = await testCluster({ nodes: [{ resources: { a: 1 } }, { resources: { b: 1 } }] });
});
afterEach(() => cluster.stop());

const FILES = {
  "lib/greet.mjs": `
    import { readFileSync } from "node:fs";
    import { get, getRuntimeContext, remote } from "troupe";
    import { Point } from "./point.mjs";
    export const greet = (name) => readFileSync(new URL("./greeting.txt", import.meta.url), "utf8") + name;
    export const whereabouts = () => ({ url: import.meta.url, cwd: process.cwd(), node: getRuntimeContext().nodeId });
    export const shifted = (point) => [point instanceof Point, new Point(point.x + 1)];
    export const nested = () => get(remote(whereabouts, { resources: { b: 1 } }).remote());
    export class Host {
      where() { return whereabouts(); }
    }
  `,
  "lib/point.mjs": "export class Point { constructor(x) { this.x = x; } }",
  "lib/greeting.txt": "hello ",
};

/** A program that prints what \`body\` returns. */
function program(body: string, options = '{ runtimeEnv: { workingDir: "." } }'): string {
  return `
    import { get, init, remote, run, shutdown } from "troupe";
    import { greet, Host, nested, shifted, whereabouts } from "./lib/greet.mjs";
    import { Point } from "./lib/point.mjs";
    await init(${options});
    const far = { resources: { a: 1 } };
    const result = await (async () => { ${body} })();
    await shutdown();
    console.log(JSON.stringify(result));
  `;
}

test("code imported from it runs on nodes that have only the copy", async () => {
  using project = new Project({
    ...FILES,
    "main.mjs": program(`
      const places = await get([remote(whereabouts, far).remote(), remote(nested, far).remote()]);
      const [isPoint, point] = await run(remote(shifted, far), new Point(1));
      const byValue = await run(remote(() => [greet("value"), import.meta.url, process.cwd()], far));
      const dynamic = await run(remote(async () => (await import("./lib/greet.mjs")).greet("later"), far));
      const actor = remote(Host, far).remote();
      return {
        greeting: await run(remote(greet, far), "you"), places, isPoint, same: point instanceof Point, byValue, dynamic,
        actor: await get(actor.where.remote()),
      };
    `),
  });
  const result = await project.run("main.mjs", cluster) as {
    greeting: string; places: { url: string; cwd: string; node: string }[]; actor: { cwd: string }; byValue: string[];
  };
  expect(result).toMatchObject({ greeting: "hello you", isPoint: true, same: true, dynamic: "hello later" });
  const [onA, onB] = result.places;
  expect(result.byValue).toEqual(["hello value", `file://${onA.cwd}/main.mjs`, onA.cwd]);
  expect(onA.node).not.toBe(onB.node);
  for (const { url, cwd } of result.places) {
    expect(url).toBe(`file://${cwd}/lib/greet.mjs`);
    expect(url).not.toContain(project.folder);
  }
  expect(onA.cwd).not.toBe(onB.cwd);
  expect(result.actor.cwd).toBe(onA.cwd);
});

test("a task may have another one, and workers of it see its files and no others", async () => {
  using project = new Project({
    ...FILES,
    "data/table.csv": "1,2", "data/.troupeignore": "*.tmp", "data/x.tmp": "",
    "main.mjs": program(`
      const { readdirSync } = await import("node:fs");
      const ls = remote(() => readdirSync(".").sort());
      const inData = ls.options({ ...far, runtimeEnv: { workingDir: "data" } });
      return { whole: await run(ls.options(far)), data: await run(inData) };
    `),
  });
  expect(await project.run("main.mjs", cluster)).toEqual({
    whole: ["data", "lib", "main.mjs", "package.json"], data: [".troupeignore", "table.csv"],
  });
});

test("a worker's child inherits it, and may be given a folder inside of it", async () => {
  using project = new Project({
    ...FILES,
    "main.mjs": program(`
      const { readdirSync } = await import("node:fs");
      const ls = () => readdirSync(".").sort();
      const parent = remote(() => get([
        remote(ls, { resources: { b: 1 } }).remote(),
        remote(ls, { resources: { b: 1 }, runtimeEnv: { workingDir: "lib" } }).remote(),
        remote(greet, { resources: { b: 1 }, runtimeEnv: { workingDir: ".", envVars: { A: "1" } } }).remote("same folder"),
      ]), far);
      return run(parent);
    `),
  });
  expect(await project.run("main.mjs", cluster)).toEqual([
    ["lib", "main.mjs", "package.json"], ["greet.mjs", "greeting.txt", "point.mjs"], "hello same folder",
  ]);
});

test("that is too large, not there, or leads out is refused where it is given", async () => {
  using project = new Project({
    ...FILES,
    "big.bin": "x".repeat(5000),
    "main.mjs": program(`
      const text = (error) => error.code + " " + error.message;
      const said = (runtimeEnv) => run(remote(whereabouts, { runtimeEnv })).then(() => "ran", text);
      return [await said({ workingDir: { path: ".", maxBytes: "1kib" } }), await said({ workingDir: "none" })];
    `, "{}"),
    "early.mjs": program("", '{ runtimeEnv: { workingDir: "none" } }'),
  });
  const [large, none] = await project.run("main.mjs", cluster) as string[];
  expect(large).toMatch(/^INVALID_ARGUMENT .*1\.0 KiB are sent at most.*big\.bin \(4\.9 KiB\).*\.troupeignore/);
  expect(none).toMatch(/^INVALID_ARGUMENT workingDir .*none can't be read/);
  await expect(project.run("early.mjs", cluster)).rejects.toThrow(/can't be read/);
});

test("is sent and unpacked once for all workers of a node", async () => {
  using project = new Project({
    ...FILES,
    "main.mjs": program(`
      const env = (A) => ({ resources: { a: 0.1 }, numCpus: 0.1, runtimeEnv: { envVars: { A } } });
      const cwd = () => process.cwd();
      return [...new Set(await get(["1", "2", "3"].map((A) => remote(cwd, env(A)).remote())))];
    `),
  });
  symlinkSync("lib/greet.mjs", join(project.folder, "short.mjs"));
  writeFileSync(join(project.folder, "run.sh"), "#!/bin/sh\n", { mode: 0o755 });
  const [cwd, ...others] = await project.run("main.mjs", cluster) as string[];
  expect(others).toEqual([]);
  // The job has ended; what it left is kept for the next one until room is needed.
  expect(readdirSync(cwd).sort()).toEqual(["lib", "main.mjs", "package.json", "run.sh", "short.mjs"]);
});
