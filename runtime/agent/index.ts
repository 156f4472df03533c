// The agent as a part.
export { HEAD_WAIT_MS } from "./head/head-absence.ts";
export { Agent, type AgentParts } from "./agent.ts";
export type { AgentConfig, HeadConfig, WorkerConfig, WorkerReport } from "./config.ts";
