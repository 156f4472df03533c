// The program of a worker that is a thread of another worker's process: its lifeline is that process.

import { parentPort, workerData } from "node:worker_threads";
import type { WorkerConfig } from "../agent/index.ts";
import { runWorker } from "./program.ts";

// It ends only on purpose: a port that is listened at holds its loop.
parentPort?.on("message", () => {});
await runWorker(workerData as WorkerConfig, {
  exit: (code) => process.exit(code),
  hookEnded: (failure) => {
    if (failure !== undefined) process.stderr.write(`${failure}\n`);
  },
});
