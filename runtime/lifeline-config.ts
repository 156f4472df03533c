// The configuration a program finds as the first line at its lifeline.
//
// Read synchronously: a worker that was started early blocks here until its agent is ready to tell it.

import { readSync } from "node:fs";
import { LIFELINE_FD } from "./spawner.ts";

const CONFIG_MAX = 1024 * 1024;

export function readConfig<T>(): T {
  const chunks: Buffer[] = [];
  const chunk = Buffer.allocUnsafe(64 * 1024);
  for (let total = 0; total < CONFIG_MAX; ) {
    const count = readSync(LIFELINE_FD, chunk);
    if (count === 0) throw new Error("the parent process ended before it told the configuration");
    total += count;
    const end = chunk.subarray(0, count).indexOf(10);
    chunks.push(Buffer.from(chunk.subarray(0, end < 0 ? count : end)));
    if (end >= 0) return JSON.parse(Buffer.concat(chunks).toString("utf8")) as T;
  }
  throw new Error(`the configuration is longer than ${CONFIG_MAX} bytes`);
}
