// `import { serveDags, VirtualClock, testCluster } from "troupe/testing"`: what sdk has for tests, and schedules in virtual time.

export * from "../../sdk/testing/index.ts";
export { VirtualClock } from "../run/clock.ts";
export { type DagService, serveDags, type ServeOptions } from "../serve/serve.ts";
