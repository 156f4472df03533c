// The agent's program. In a private cluster it is the host: head and agent in one process.
//
// The first workers are spawned before anything else is loaded, so that their boot and this one's overlap.

import { readConfig } from "../lifeline-config.ts";
import { mainOf } from "../programs.ts";
import { systemSpawner } from "../spawner.ts";
import type { AgentConfig } from "./config.ts";
import { EarlyWorker } from "./workers/early-worker.ts";

const config = readConfig<AgentConfig>();
const spawner = systemSpawner({ mainOf });
const early: EarlyWorker[] = [];
for (let index = 0; index < config.node.warmWorkers; index += 1) early.push(new EarlyWorker(spawner, config));

const { runAgent } = await import("./run.ts");
await runAgent(config, spawner, early);
