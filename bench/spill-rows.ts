// Rows about data four times as large as the store, and about copying, each in a process and a cluster of its own.

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Row } from "./rows.ts";

async function inProcess(name: string): Promise<number[]> {
  const program = fileURLToPath(new URL("spill-program.js", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [program, name]);
  return [Number(stdout.trim().split("\n").at(-1))];
}

function row(name: string, unit: string, better: Row["better"]): Row {
  return { name, unit, better, alone: true, measure: () => inProcess(name) };
}

export const spillRows: readonly Row[] = [
  row("spill_gbps", "GB/s", "higher"),
  row("disk_write_gbps", "GB/s", "higher"),
  row("restore_gbps", "GB/s", "higher"),
  row("disk_read_gbps", "GB/s", "higher"),
  row("shuffle_s", "s", "lower"),
  row("put_to_memcpy", "× a copy", "higher"),
  row("get_to_memcpy", "× a copy", "higher"),
];
