// The worker as a part: its own program (main.ts), and inside a process that has a whole cluster.
export { startWorker, type WorkerParts } from "./worker.ts";
export type { Surroundings } from "./surroundings.ts";
export type { SharedProcessParts } from "./shared-process.ts";
