// The ways in which programs are run, each made of the same cases: as they are, compiled to CommonJS, by loaders, bundled, and by
// a test runner.

import { execFile } from "node:child_process";
import {
  copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync,
} from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { build, transformSync } from "esbuild";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const FIXTURES = join(ROOT, "test/closure/fixtures");
const SHIPPER = pathToFileURL(join(ROOT, "dist/runtime/closure/index.js")).href;
const PACKAGES = ["acorn", "apache-arrow", "tsx", "esbuild", "vitest"];
const ENTRIES = ["cases.mjs", "values.mjs", "travel.mjs"];
const RUN_TIMEOUT_MS = 400_000;
const run = promisify(execFile);

export interface CaseLine {
  readonly name: string;
  readonly id?: string;
  readonly label?: string;
  readonly expected?: string;
  readonly actual?: string;
  readonly failed?: string;
  readonly message?: string;
  readonly path?: readonly string[];
  readonly variable?: string;
}

/** A folder outside of this project, with the packages that programs use. */
export function programFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "closure-"));
  cpSync(FIXTURES, folder, { recursive: true });
  mkdirSync(join(folder, "node_modules"));
  for (const name of PACKAGES) symlinkSync(join(ROOT, "node_modules", name), join(folder, "node_modules", name));
  symlinkSync(ROOT, join(folder, "node_modules", "troupe"));
  writeFileSync(join(folder, "package.json"), '{"type":"module"}');
  return folder;
}

/** Runs Node in a folder; `out` is the file that cases are written to. */
export async function runNode(node: string, args: readonly string[], folder: string, out?: string): Promise<string> {
  const env = { ...process.env, VITEST: undefined, NODE_OPTIONS: undefined, CLOSURE_SHIPPER: SHIPPER, CLOSURE_OUT: out };
  const { stderr } = await run(node, args, { cwd: folder, env, timeout: RUN_TIMEOUT_MS });
  return stderr;
}

export function readLines(file: string): CaseLine[] {
  return JSON.parse(readFileSync(file, "utf8")) as CaseLine[];
}

/** What differs between the process that captured and the one that revived. */
export function differences(lines: readonly CaseLine[]): string[] {
  return lines.filter(({ failed, expected, actual }) => failed !== undefined || expected !== actual)
    .map(({ name, failed, message, expected, actual }) => [name, failed, message, expected, actual].join(" | "));
}

// -- releases of Node -----------------------------------------------------------------------------------------------

/** Majors and their binaries: the one that is running, and those that setup fetched. */
export function nodes(): Map<number, string | undefined> {
  const pinned = JSON.parse(readFileSync(join(ROOT, "test/nodes.json"), "utf8")) as Record<string, { version: string }>;
  const found = new Map<number, string | undefined>();
  for (const [major, { version }] of Object.entries(pinned)) {
    const path = join(ROOT, "node_modules/.troupe-nodes", version, "node");
    found.set(Number(major), existsSync(path) ? path : undefined);
  }
  return found.set(Number(process.versions.node.split(".")[0]), process.execPath);
}

// -- settings -------------------------------------------------------------------------------------------------------

export interface Setting {
  readonly name: string;
  /** The first major of Node that has it. */
  readonly since?: number;
  /** Folder of its programs; made once for all releases of Node. */
  readonly folder: string;
  prepare(root: string, folder: string): Promise<void> | void;
  /** Arguments of Node, process by process, and the files that each of them writes. */
  /** The files of each worker; one has all if this says nothing. */
  readonly workers?: (files: readonly string[]) => readonly (readonly string[])[];
  readonly runs: readonly { readonly args: readonly string[]; readonly out: string }[];
}

/** A bundle of the program with the errors, and the flags with which its places are those of its source. */
function mapped(minify: boolean): Pick<Setting, "prepare" | "runs"> {
  const out = minify ? "small.mjs" : "large.mjs";
  return {
    prepare: async (root, folder) => {
      await build({
        entryPoints: [join(root, "stacks.ts")], outfile: join(folder, out), minify, sourcemap: minify ? "inline" : true,
        bundle: true, platform: "node", format: "esm", logLevel: "error",
      });
    },
    runs: [{ args: ["--enable-source-maps", join(minify ? "small" : "large", out)], out: "stacks" }],
  };
}

const plain = (folder: string, entries: readonly string[], flags: readonly string[] = []): Setting["runs"] => (
  entries.map((entry) => ({ args: [...flags, join(folder, entry)], out: entry }))
);
const renamed = (extension: string): string[] => ENTRIES.map((entry) => entry.replace(/mjs$/, extension));

function copyAll(
  root: string, folder: string, names: readonly string[], change: (text: string) => string, extension = "mjs",
): void {
  for (const name of names) {
    const text = change(readFileSync(join(root, name), "utf8"));
    writeFileSync(join(folder, name.replace(/mjs$/, extension)), text);
  }
}

/** TypeScript that is JavaScript too, beside a program with types. */
function typescript(root: string, folder: string): void {
  for (const name of readdirSync(root)) if (/\.(?:mjs|json|ts)$/.test(name)) copyFileSync(join(root, name), join(folder, name));
  copyAll(root, folder, ENTRIES, (text) => text, "ts");
  copyAll(root, folder, ["around.mjs"], (text) => text.replace("./cases.mjs", "./cases.ts"));
}

/** As compilers write it: `import_acorn.parse`, getters for exports. */
function commonJs(root: string, folder: string): void {
  const define = { "import.meta.url": "fileUrl" };
  const banner = 'const fileUrl = require("node:url").pathToFileURL(__filename).href;';
  copyFileSync(join(root, "data.json"), join(folder, "data.json"));
  copyFileSync(join(root, "helpers.mjs"), join(folder, "helpers.mjs"));
  copyAll(root, folder, [...ENTRIES, "helpers.mjs", "around.mjs", "runner.mjs"], (text) => {
    const source = text.replace(/^await captureAll/m, "void captureAll").replace(/from "(\.\/\w+)\.mjs"/g, 'from "$1.cjs"');
    return transformSync(source, { format: "cjs", platform: "node", define, banner, logLevel: "error" }).code;
  }, "cjs");
}

async function bundle(root: string, folder: string, minify: boolean): Promise<void> {
  await build({
    entryPoints: [...ENTRIES, "typed.ts"].map((entry) => join(root, entry)), outdir: folder, outExtension: { ".js": ".mjs" },
    bundle: true, platform: "node", format: "esm", logLevel: "error", minify,
    ...(minify ? { external: ["troupe"] } : { packages: "external" }),
  });
}

const POOLS = ["forks", "threads", "vmForks", "vmThreads"];

/** Each pool has the whole set; a program is a test file there, and no entry. */
function testRunner(root: string, folder: string): void {
  typescript(root, folder);
  const suffix = '\nimport { test } from "vitest";\ntest("was captured", () => {});\n';
  for (const name of [...ENTRIES, "typed.ts", "stacks.ts"]) {
    const text = readFileSync(join(root, name), "utf8").replace(/from "\.\/around/, 'from "./apart');
    const [bare, extension] = name.split(".");
    writeFileSync(join(folder, `${bare}.test.${extension}`), text + suffix);
  }
  writeFileSync(join(folder, "apart.mjs"), "export const viaEntry = () => 1;\n");
  writeFileSync(join(folder, "runner.mjs"), readFileSync(join(root, "runner.mjs"), "utf8")
    .replaceAll("process.env.CLOSURE_OUT", "`${process.env.CLOSURE_OUT}-${process.env.POOL}-${globalThis.file}`"));
  const projects = POOLS.map((pool) => ({
    test: { name: pool, pool, env: { POOL: pool }, include: ["*.test.*"], maxWorkers: 1, setupFiles: ["./around-test.mjs"] },
  }));
  writeFileSync(join(folder, "around-test.mjs"), 'import { expect } from "vitest";\n' +
    'globalThis.file = expect.getState().testPath.split("/").at(-1).split(".")[0];\n');
  writeFileSync(join(folder, "vitest.config.mjs"), `export default ${JSON.stringify({ test: { projects, isolate: false } })};\n`);
}

export const ES_MODULES: Setting = {
  name: "ES modules", folder: "plain", prepare: () => {}, runs: plain("", [...ENTRIES, "cases.cjs"]),
};

export const SETTINGS: readonly Setting[] = [
  ES_MODULES,
  { name: "CommonJS", folder: "commonjs", prepare: commonJs, runs: plain("commonjs", renamed("cjs")) },
  {
    name: "tsx", folder: "tsx", prepare: typescript,
    runs: plain("tsx", [...renamed("ts"), "typed.ts"], ["--import", "tsx"]),
  },
  {
    name: "type stripping", since: 22, folder: "stripped", prepare: typescript,
    runs: plain("stripped", [...renamed("ts"), "typed.ts"]),
  },
  {
    name: "a bundle", folder: "bundle", prepare: (root, folder) => bundle(root, folder, false),
    runs: plain("bundle", [...ENTRIES, "typed.mjs"]),
  },
  {
    name: "a minified bundle", folder: "minified", prepare: (root, folder) => bundle(root, folder, true),
    runs: plain("minified", [...ENTRIES, "typed.mjs"]),
  },
];

/** The program with the errors alone. */
export const STACK_SETTINGS: readonly Setting[] = [
  { name: "tsx", folder: "tsx", prepare: typescript, runs: plain("tsx", ["stacks.ts"], ["--import", "tsx"]) },
  { name: "type stripping", since: 22, folder: "stripped", prepare: typescript, runs: plain("stripped", ["stacks.ts"]) },
  { name: "a bundle with a source map", folder: "large", ...mapped(false) },
  { name: "a minified bundle with a source map inside", folder: "small", ...mapped(true) },
];

export const TEST_RUNNER: Setting = {
  name: "vitest", folder: "runner", prepare: testRunner,
  runs: [{ args: ["node_modules/vitest/vitest.mjs", "run", "--root", "runner"], out: "runner" }],
  workers: (files) => POOLS.map((pool) => files.filter((file) => file.includes(`-${pool}-`))),
};

export class Matrix {
  readonly root = programFolder();
  /** Processor time of all processes is what this costs: as many at a time as there are cores. */
  readonly #lanes = Array.from({ length: Math.max(2, availableParallelism()) }, () => Promise.resolve());
  #next = 0;

  async prepare(settings: readonly Setting[]): Promise<void> {
    for (const { folder, prepare } of settings) {
      mkdirSync(join(this.root, folder));
      await prepare(this.root, join(this.root, folder));
    }
  }

  /** Every case of a setting, captured and revived by one release of Node. */
  async lines(setting: Setting, node: string, major: number): Promise<CaseLine[]> {
    return this.#inLane(async () => {
      const out = (name: string): string => join(this.root, `${setting.folder}-${major}-${name}.json`);
      for (const { args, out: name } of setting.runs) await runNode(node, args, this.root, out(name));
      const prefix = `${setting.folder}-${major}-`;
      const files = readdirSync(this.root).filter((name) => name.startsWith(prefix)).map((name) => join(this.root, name));
      // Equal code is made once in a process, and its state with it: programs that have the same code need workers of their own.
      for (const own of setting.workers?.(files) ?? [files]) {
        const stderr = await runNode(node, ["worker.mjs", ...own], this.root);
        if (stderr !== "") throw new Error(`the worker wrote to stderr: ${stderr}`);
      }
      const named = (file: string, { name }: CaseLine): string => `${file.slice(this.root.length)} ${name}`;
      return files.flatMap((file) => readLines(file).map((line) => ({ ...line, name: named(file, line) })));
    });
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }

  #inLane<T>(work: () => Promise<T>): Promise<T> {
    const lane = this.#next++ % this.#lanes.length;
    const done = this.#lanes[lane].then(work);
    this.#lanes[lane] = done.then(() => undefined, () => undefined);
    return done;
  }
}
