// Clusters for tests. `troupe/testing` is this and what dag/testing adds.
export {
  type PartitionDirection, type PartitionOptions, testCluster, TestCluster, type TestClusterOptions, type TestNode,
} from "./test-cluster.ts";
export { simulate, Simulation, type Simulated, type SimulatedNode, type SimulateOptions } from "./simulation/index.ts";
