// Packages and the setupHook of an environment, with real npm runs of packages that lie on this machine.

import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { get, getRuntimeContext, ready, remote, run, RuntimeEnvSetupError, type RuntimeEnv } from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";
import { Project } from "./fixtures/project.ts";

let shelf: string;
let cluster: TestCluster;
beforeAll(() => {
  shelf = mkdtempSync(join(tmpdir(), "shelf-"));
});
afterAll(() => rmSync(shelf, { recursive: true, force: true }));
beforeEach(async () => {
  cluster = await testCluster({ nodes: [{ resources: { a: 1 } }] });
});
afterEach(() => cluster.stop());

const FAR = { resources: { a: 1 } };

/** A package as npm takes it: its archive, to be given as its version. */
function packed(name: string, version: string, files: Readonly<Record<string, string>>): string {
  const folder = join(shelf, `${name}-src-${version}`);
  for (const [path, text] of Object.entries({ "package.json": JSON.stringify({ name, version, type: "module" }), ...files })) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  execFileSync("npm", ["pack", "--silent", "--pack-destination", shelf], { cwd: folder });
  return `file:${join(shelf, `${name}-${version}.tgz`)}`;
}

describe("packages", () => {
  test("are there for shipped code and for modules of the workingDir, in each environment its own", async () => {
    const one = packed("greeting", "1.0.0", { "index.js": "export const word = 'hello'; export class Loud {}" });
    const two = packed("greeting", "2.0.0", { "index.js": "export const word = 'good day'; export class Loud {}" });
    using project = new Project({
      "lib/say.mjs": 'import { word } from "greeting"; export const say = (name) => `${word} ${name}`;',
      "node_modules/greeting/package.json": '{ "name": "greeting", "version": "0.0.1", "type": "module" }',
      "node_modules/greeting/index.js": "export const word = 'the driver\\'s'; export class Loud {}",
      "main.mjs": `
        import { Loud } from "greeting";
        import { get, init, remote, run, shutdown } from "troupe";
        import { say } from "./lib/say.mjs";
        await init({ runtimeEnv: { workingDir: ".", packages: { greeting: ${JSON.stringify(one)} } } });
        const far = { resources: { a: 1 } };
        const dynamic = async () => (await import("greeting")).word;
        const other = { runtimeEnv: { packages: [${JSON.stringify(`greeting@${two}`)}] } };
        const isLoud = (value) => [value instanceof Loud, new Loud()];
        const [same, loud] = await run(remote(isLoud, far), new Loud());
        const result = [
          ...await get([remote(say, far).remote("you"), remote(dynamic, far).remote()]),
          ...await get([remote(say, { ...far, ...other }).remote("you"), remote(dynamic, other).remote()]),
          same, loud instanceof Loud, say("me"),
        ];
        await shutdown();
        console.log(JSON.stringify(result));
      `,
    });
    expect(await project.run("main.mjs", cluster)).toEqual([
      "hello you", "hello", "good day you", "good day", true, true, "the driver's me",
    ]);
  });

  test("are there without a workingDir, for code that is in no file of the node", async () => {
    const range = packed("alone", "1.0.0", { "index.js": "export const word = 'alone';" });
    using project = new Project({
      "main.mjs": `
        import { init, remote, run, shutdown } from "troupe";
        await init({ runtimeEnv: { packages: { alone: ${JSON.stringify(range)} } } });
        const result = [await run(remote(async () => (await import("alone")).word, { resources: { a: 1 } }))];
        await shutdown();
        console.log(JSON.stringify(result));
      `,
    });
    expect(await project.run("main.mjs", cluster)).toEqual(["alone"]);
  });

  test("of a lock file are exactly those, without its scripts and its own copy of this package", async () => {
    const range = packed("locked", "1.0.0", { "index.js": "export const word = 'locked';" });
    using project = new Project({
      "package.json": JSON.stringify({
        name: "app", type: "module", dependencies: { locked: range }, scripts: { postinstall: "exit 1" },
      }),
      "main.mjs": `
        import { getRuntimeContext, init, remote, run, shutdown } from "troupe";
        await init({ runtimeEnv: { workingDir: ".", packages: "package-lock.json" } });
        const task = remote(async () => {
          const { getRuntimeContext: inner } = await import("troupe");
          return [(await import("locked")).word, inner().nodeId === getRuntimeContext().nodeId];
        }, { resources: { a: 1 } });
        const result = await run(task);
        await shutdown();
        console.log(JSON.stringify(result));
      `,
    });
    execFileSync("npm", ["install", "--package-lock-only", "--ignore-scripts", "--silent"], { cwd: project.folder });
    const lock = JSON.parse(readFileSync(join(project.folder, "package-lock.json"), "utf8")) as Record<string, never>;
    const withOwn = {
      ...lock,
      packages: { ...(lock.packages as object), "node_modules/troupe": { version: "0.0.1", resolved: "file:nowhere.tgz" } },
    };
    project.write({ "package-lock.json": JSON.stringify(withOwn) });
    expect(await project.run("main.mjs", cluster)).toEqual(["locked", true]);
  });

  test("that can't be installed fail the work with what npm said and where; others go on", async () => {
    const driver = await cluster.connect();
    const node = (await driver.nodes()).find((one) => one.resources.a !== undefined)?.id as string;
    const missing = { packages: { nothing: `file:${join(shelf, "nothing-1.0.0.tgz")}` } };
    const where = remote(() => getRuntimeContext().nodeId, FAR);
    const broken = where.options({ runtimeEnv: missing });
    const [first, second] = [broken, broken].map((task) => run(task).catch((error: unknown) => error));
    const error = await first as Error;
    expect(error).toBeInstanceOf(RuntimeEnvSetupError);
    expect(error.message).toContain(`on node ${node}: npm install failed (exit code `);
    expect(error.message).toMatch(/ENOENT[^]*nothing-1\.0\.0/);
    expect(await second).toBeInstanceOf(RuntimeEnvSetupError);
    class Actor {}
    await expect(ready(remote(Actor, { ...FAR, runtimeEnv: missing }).remote())).rejects.toThrow(RuntimeEnvSetupError);
    expect(await run(where)).toBe(node);
  });

  test("that can't be packages are refused at the door", () => {
    const give = (packages: unknown) => () => remote(() => 1, { runtimeEnv: { packages } as RuntimeEnv });
    expect(give({ troupe: "1" })).toThrow(/workers have their own/);
    expect(give({ "../x": "1" })).toThrow(/no name of a package/);
    expect(give(["--global"])).toThrow(/no name of a package/);
    expect(give({ a: 1 })).toThrow(/packages\.a must be a text/);
    expect(give("requirements.txt")).toThrow(/package-lock\.json/);
    expect(give(["@scope/a@^1", "b"])).not.toThrow();
  });
});

describe("the setupHook", () => {
  test("runs once in each worker, before its first task, with what it captured", async () => {
    await cluster.connect();
    const start = 40;
    const setupHook = async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      const store = globalThis as { counted?: number };
      store.counted = (store.counted ?? start) + 1;
    };
    const counted = remote(() => (globalThis as { counted?: number }).counted, { ...FAR, runtimeEnv: { setupHook } });
    expect(await get([counted.remote(), counted.remote()])).toEqual([41, 41]);
    class Actor {
      counted = (globalThis as { counted?: number }).counted;
      get() {
        return this.counted;
      }
    }
    expect(await get(remote(Actor, { runtimeEnv: { setupHook } }).remote().get.remote())).toBe(41);
    const parent = remote(() => run(remote(() => (globalThis as { counted?: number }).counted)), { runtimeEnv: { setupHook } });
    expect(await run(parent)).toBe(41);
  });

  test("that throws, or ends its process, fails the work with its reason", async () => {
    await cluster.connect();
    const task = remote(() => 1, FAR);
    const fails = (setupHook: () => unknown) =>
      run(task.options({ runtimeEnv: { setupHook } })).catch((error: unknown) => error) as Promise<Error>;
    const threw = await fails(function loadModel() {
      throw new Error("no model here");
    });
    expect(threw).toBeInstanceOf(RuntimeEnvSetupError);
    expect(threw.message).toMatch(/setupHook loadModel failed: Error: no model here\n\s+at loadModel/);
    const ended = await fails(() => process.exit(7));
    expect(ended).toBeInstanceOf(RuntimeEnvSetupError);
    expect(ended.message).toMatch(/exit code 7/);
    expect(await run(task)).toBe(1);
  });
});

test("nothing of an environment is left when its cluster is gone, kill -9 included", async () => {
  const range = packed("left", "1.0.0", { "lib/index.js": "", "deep/er/index.js": "" });
  using project = new Project({
    "main.mjs": `
      import { init, remote, run } from "troupe";
      await init({ numCpus: 1, runtimeEnv: { workingDir: ".", packages: { left: ${JSON.stringify(range)} } } });
      console.log(await run(remote(() => process.cwd())));
      await new Promise(() => setInterval(() => {}, 1000));
    `,
  });
  const temporary = mkdtempSync(join(shelf, "t-"));
  const env = { ...process.env, VITEST: undefined, NODE_OPTIONS: undefined, TMPDIR: temporary };
  const driver = spawn(process.execPath, ["main.mjs"], { cwd: project.folder, env, stdio: ["ignore", "pipe", "inherit"] });
  const line = await new Promise<Buffer>((resolve) => void driver.stdout.once("data", resolve));
  const cwd = String(line).trim();
  expect(cwd.startsWith(temporary)).toBe(true);
  expect(existsSync(join(cwd, "main.mjs"))).toBe(true);
  driver.kill("SIGKILL");
  await expect.poll(() => readdirSync(join(temporary, `troupe-${process.getuid?.()}`))).toEqual([]);
});
