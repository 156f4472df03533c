// Runs an entry script that captures, then a plain worker that revives, in processes of their own.

import { execFile } from "node:child_process";
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const FIXTURES = join(ROOT, "test/closure/fixtures");
const SHIPPER = pathToFileURL(join(ROOT, "dist/runtime/closure/index.js")).href;
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
export interface Program {
  /** Path of an entry script inside the program's folder. */
  readonly entry: string;
  readonly flags?: readonly string[];
  /** Copies of fixtures under new names. */
  readonly copies?: Readonly<Record<string, string>>;
  readonly files?: Readonly<Record<string, string>>;
  /** Symbolic links to files. */
  readonly links?: Readonly<Record<string, string>>;
  /** How often the entry runs, each time in a process of its own. */
  readonly times?: number;
}

/** Cases of a program in a folder of its own, outside of this project. */
export async function runProgram(program: Program): Promise<CaseLine[]> {
  const { entry, flags = [], copies = {}, files = {}, links = {}, times = 1 } = program;
  const folder = mkdtempSync(join(tmpdir(), "closure-"));
  try {
    cpSync(FIXTURES, folder, { recursive: true });
    mkdirSync(join(folder, "node_modules"));
    for (const name of ["acorn", "tsx", "esbuild"]) {
      symlinkSync(join(ROOT, "node_modules", name), join(folder, "node_modules", name));
    }
    writeFileSync(join(folder, "package.json"), '{"type":"module"}');
    for (const [to, from] of Object.entries(copies)) copyFileSync(join(FIXTURES, from), join(folder, to));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    for (const [name, to] of Object.entries(links)) symlinkSync(join(folder, to), join(folder, name));
    const out = join(folder, "out.json");
    const env = { ...process.env, VITEST: undefined, NODE_OPTIONS: undefined };
    const lines: CaseLine[] = [];
    for (let at = 0; at < times; at++) {
      await run(process.execPath, [...flags, entry, SHIPPER, out], { cwd: folder, env });
      const { stderr } = await run(process.execPath, ["worker.mjs", SHIPPER, out], { cwd: folder, env });
      if (stderr !== "") throw new Error(`the worker wrote to stderr: ${stderr}`);
      lines.push(...(JSON.parse(readFileSync(out, "utf8")) as CaseLine[]));
    }
    return lines;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
