// `import { testCluster } from "troupe/testing"`.
export { testCluster, TestCluster, type TestClusterOptions, type TestNode } from "./test-cluster.ts";
