// The worker as a part: its own program (main.ts), and inside the simulator.
export { startWorker, type WorkerParts } from "./worker.ts";
