// Runs an entry script that captures, then a plain worker that revives, in processes of their own.

import { copyFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type CaseLine, programFolder, readLines, runNode } from "./settings.ts";

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
  readonly node?: string;
}

/** Cases of a program in a folder of its own, outside of this project. */
export async function runProgram(program: Program): Promise<CaseLine[]> {
  const { entry, flags = [], copies = {}, files = {}, links = {}, times = 1, node = process.execPath } = program;
  const folder = programFolder();
  try {
    for (const [to, from] of Object.entries(copies)) copyFileSync(join(folder, from), join(folder, to));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    for (const [name, to] of Object.entries(links)) symlinkSync(join(folder, to), join(folder, name));
    const out = join(folder, "out.json");
    const lines: CaseLine[] = [];
    for (let at = 0; at < times; at++) {
      await runNode(node, [...flags, entry], folder, out);
      const stderr = await runNode(node, ["worker.mjs", out], folder);
      if (stderr !== "") throw new Error(`the worker wrote to stderr: ${stderr}`);
      lines.push(...readLines(out));
    }
    return lines;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
