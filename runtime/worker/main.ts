// The worker's program.

import { writeSync } from "node:fs";
import { readConfig } from "../lifeline-config.ts";
import { watchLifeline } from "../lifeline.ts";
import { LIFELINE_FD } from "../spawner.ts";
import type { WorkerConfig, WorkerReport } from "../agent/index.ts";
import { runWorker } from "./program.ts";

const config = readConfig<WorkerConfig>();
const lifeline = watchLifeline({ watched: true, path: `${config.sessionDir}/${config.processId}.sock` });
await runWorker(config, {
  exit: (code) => {
    lifeline.cleanUp();
    process.exit(code);
  },
  hookEnded: (setupFailure) => {
    const report: WorkerReport = { setupFailure };
    writeSync(LIFELINE_FD, `${JSON.stringify(report)}\n`);
  },
});
