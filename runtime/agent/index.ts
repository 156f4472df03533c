// The agent as a part.
export { Agent, type AgentParts } from "./agent.ts";
export type { AgentConfig, HeadConfig, WorkerConfig, WorkerReport } from "./config.ts";
