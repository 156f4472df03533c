// The worker's program.

import { writeSync } from "node:fs";
import { readConfig } from "../lifeline-config.ts";
import { watchLifeline } from "../lifeline.ts";
import { mainOf } from "../programs.ts";
import { LIFELINE_FD, systemSpawner } from "../spawner.ts";
import { systemClock, systemRandom } from "../system.ts";
import { systemTransport } from "../transport/index.ts";
import type { WorkerConfig, WorkerReport } from "../agent/index.ts";
import { setSession } from "../owner/index.ts";
import { preloadArrow } from "../serialize/index.ts";
import { runSetupHook } from "./setup-hook.ts";
import { startWorker } from "./worker.ts";

const { clusterId, token, nodeId, processId, sessionDir, environment } = readConfig<WorkerConfig>();
const lifeline = watchLifeline({ watched: true, path: `${sessionDir}/${processId}.sock` });
const seams = {
  clock: systemClock,
  random: systemRandom,
  transport: systemTransport({ clock: systemClock }),
  spawner: systemSpawner({ mainOf }),
};
await preloadArrow();
const session = startWorker({
  seams,
  identity: { kind: "worker", processId, nodeId, clusterId, token },
  agentAddress: `unix:${sessionDir}/agent.sock`,
  pid: process.pid,
  environment,
  exit: (code) => {
    lifeline.cleanUp();
    process.exit(code);
  },
});
setSession(session);
await session.joined();
if (environment?.hasHook) {
  const report: WorkerReport = { setupFailure: await runSetupHook(environment, session.code.shipper) };
  writeSync(LIFELINE_FD, `${JSON.stringify(report)}\n`);
  if (report.setupFailure !== undefined) {
    lifeline.cleanUp();
    process.exit(1);
  }
}
// Idle or not, the worker lives until its agent ends it.
session.parts.home.agent.hold(true);
