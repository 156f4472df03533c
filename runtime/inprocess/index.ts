// A whole cluster in one process: for the simulation, and for breakpoints and unit tests.
export { startInlineCluster, type InlineCluster } from "./inline-cluster.ts";
export { NodeMemory } from "./node-memory.ts";
export { Machines, type MachineNode } from "./machines.ts";
export { Wires, type NamedProcess, type World } from "./world.ts";
