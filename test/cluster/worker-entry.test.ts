// init({ workerEntry }): a module of the program's that each worker runs first, also when the program is one bundled file.

import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { get, init, InvalidArgumentError, isInitialized, ready, remote, run, RuntimeEnvSetupError, shutdown } from "troupe";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const runFile = promisify(execFile);

/** Beside what it sets, what was there when it ran. */
const ENTRY = `globalThis.entered = { times: (globalThis.entered?.times ?? 0) + 1, url: import.meta.url, flag: process.env.FLAG,
  hadCluster: Symbol.for("troupe.core") in globalThis };\n`;

let folder: string;
let entry: string;

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "entry-")));
  entry = join(folder, "entry.mjs");
  writeFileSync(entry, ENTRY);
});
afterEach(async () => {
  await shutdown();
  rmSync(folder, { recursive: true, force: true });
});

interface Entered {
  readonly times: number;
  readonly url: string;
  readonly flag: string | undefined;
  readonly hadCluster: boolean;
}

const entered = remote(() => (globalThis as { entered?: Entered }).entered);

class Witness {
  readonly #seen = (globalThis as { entered?: Entered }).entered;

  seen(): Entered | undefined {
    return this.#seen;
  }
}

describe("a module that workers begin with", () => {
  test("runs once a worker, before the runtime, for tasks, actors and threads, with and without a runtimeEnv", async () => {
    await init({ numCpus: 2, workerEntry: entry });
    const url = pathToFileURL(entry).href;
    const found = { times: 1, url, hadCluster: false, flag: undefined };
    expect(await run(entered)).toEqual(found);
    expect(await run(entered)).toEqual(found);
    expect(await get(remote(Witness).remote().seen.remote())).toEqual(found);
    const inThread = remote(Witness).options({ isolation: "thread" }).remote();
    expect(await get(inThread.seen.remote())).toMatchObject({ url });
    const runtimeEnv = { envVars: { FLAG: "up" }, nodeArgs: ["--max-old-space-size=512"] };
    expect(await run(entered.options({ runtimeEnv }))).toEqual({ ...found, flag: "up" });
    expect(globalThis).not.toHaveProperty("entered");
  });

  test("is the copy's where it lies in the folder that goes along", async () => {
    await init({ numCpus: 1, workerEntry: pathToFileURL(entry), runtimeEnv: { workingDir: folder } });
    const { url } = (await run(entered)) as Entered;
    expect(url).toMatch(/entry\.mjs$/);
    expect(url).not.toBe(pathToFileURL(entry).href);
  });

  test("fails the work with what it threw", async () => {
    writeFileSync(entry, 'throw new Error("no tracing today");\n');
    await init({ numCpus: 1, workerEntry: entry });
    const error = await run(entered).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(RuntimeEnvSetupError);
    expect(String(error)).toContain("no tracing today");
    await expect(ready(remote(Witness).remote())).rejects.toThrow(RuntimeEnvSetupError);
  });

  const wrong = [[5], [""], ["https://example.org/entry.js"], [new URL("data:text/javascript,1")]];
  test.each(wrong)("%s is refused", async (given) => {
    const text = /workerEntry must be the path or file: URL of a module/;
    await expect(init({ workerEntry: given as string })).rejects.toThrow(text);
  });

  test("that is not there is refused", async () => {
    await expect(init({ workerEntry: join(folder, "none.mjs") })).rejects.toThrow(InvalidArgumentError);
    await expect(init({ workerEntry: join(folder, "none.mjs") })).rejects.toThrow(/none\.mjs/);
    expect(isInitialized()).toBe(false);
  });
});

describe("a program in one file", () => {
  const program = `
    import { init, remote, run, shutdown } from "troupe";
    import { greeting } from "./greeting.js";
    await init({ numCpus: 1, workerEntry: new URL("./entry.mjs", import.meta.url) });
    const greet = remote((name) => [greeting(name), globalThis.entered?.times]);
    console.log(JSON.stringify(await run(greet, "Ada")));
    await shutdown();
  `;

  /** What a bundle of the program says. */
  async function bundled(external: string[]): Promise<string> {
    mkdirSync(join(folder, "node_modules"));
    symlinkSync(ROOT, join(folder, "node_modules", "troupe"));
    writeFileSync(join(folder, "greeting.js"), "export const greeting = (name) => `hello, ${name}`;\n");
    writeFileSync(join(folder, "program.js"), program);
    const outfile = join(folder, "bundle.mjs");
    await build({
      entryPoints: [join(folder, "program.js")], outfile, external, bundle: true, platform: "node", format: "esm",
      logLevel: "silent",
      banner: { js: 'import * as nodeModule from "node:module"; const require = nodeModule.createRequire(import.meta.url);' },
    });
    rmSync(join(folder, "greeting.js"));
    const env = { ...process.env, NODE_OPTIONS: undefined, VITEST: undefined };
    return runFile(process.execPath, [outfile], { cwd: folder, env }).then(
      ({ stdout }) => stdout, ({ stderr }: { stderr: string }) => stderr,
    );
  }

  test("works with troupe beside it, and its workers begin with the entry", async () => {
    expect(JSON.parse(await bundled(["troupe"]))).toEqual(["hello, Ada", 1]);
  });

  test("that has swallowed troupe says what to do", async () => {
    expect(await bundled(["piscina", "lmdb", "@grpc/*", "apache-arrow", "@duckdb/*", "*.node"])).toContain("--external:troupe");
  });
});
