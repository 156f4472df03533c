// The program of a worker that is a thread of another worker's process: its lifeline is that process.

import type { Writable } from "node:stream";
import { parentPort, workerData } from "node:worker_threads";
import type { WorkerConfig } from "../agent/index.ts";
import { runWorker } from "./program.ts";

/**
 * What a thread prints goes through its process, which answers each write. The next write does not wait for that answer: else it
 * would be held back for as long as this thread's code blocks.
 */
function passOnAtOnce(stream: Writable): void {
  const write = stream._writev?.bind(stream);
  if (write === undefined) return;
  stream._writev = (chunks, done) => {
    write(chunks, () => {});
    done();
  };
}
passOnAtOnce(process.stdout);
passOnAtOnce(process.stderr);

// It ends only on purpose: a port that is listened at holds its loop.
parentPort?.on("message", () => {});
await runWorker(workerData as WorkerConfig, {
  exit: (code) => process.exit(code),
  hookEnded: (failure) => {
    if (failure !== undefined) process.stderr.write(`${failure}\n`);
  },
});
