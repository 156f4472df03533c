// What each worker of examples/worker-entry.ts runs before anything else: here a clock that counts from the worker's own start.

import { performance } from "node:perf_hooks";

const begunAt = performance.now();

Object.assign(globalThis, { sinceBegin: () => performance.now() - begunAt });
