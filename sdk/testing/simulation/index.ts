// A cluster under virtual time and a seed.
export { simulate, Simulation, type Simulated, type SimulateOptions } from "./simulation.ts";
export type { SimulatedNode } from "./machines.ts";
