// The driver's side of a cluster: joining one, or having one of its own.
export { startDriver, type DriverOptions } from "./driver.ts";
export { makeSessionDir, startPrivateCluster, type PrivateCluster } from "./private-cluster.ts";
