// The driver's side of a cluster: joining one, or having one of its own.
export { onInterrupt } from "./interrupts.ts";
export { startDriver, type DriverOptions } from "./driver.ts";
export { startPrivateCluster, type PrivateCluster } from "./private-cluster.ts";
export { makeSessionDir, nodeOfSocket, sessionsFolder } from "./session-folder.ts";
export {
  isRunning, processStartOf, readRecords, sessionDirs, writeRecord, type SessionRecord,
} from "./session-records.ts";
