// Tasks that take long: they tell how far they are, an attempt goes on where the one before it got to, and silence is a failure.

import assert from "node:assert/strict";
import { get, getRuntimeContext, init, remote } from "troupe";

await using _cluster = await init({ numCpus: 2 });

const ROWS = 10;
const load = remote(async function load() {
  const { attempt, fencingToken, heartbeat, idempotencyKey, lastHeartbeat, logger, progress } = getRuntimeContext();
  const from = (lastHeartbeat as { next: number } | undefined)?.next ?? 0;
  logger.info("loading", { from, idempotencyKey, fencingToken });
  for (let row = from; row < ROWS; row += 1) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    progress((row + 1) / ROWS);
    heartbeat({ next: row + 1 });
    // The machine that this runs on fails half way.
    if (attempt === 0 && row === 4) setTimeout(() => process.kill(process.pid, "SIGKILL"), 50);
  }
  return { from, attempt };
}, { heartbeatTimeoutMs: 5000 });

const { from, attempt } = await get(load.remote());
console.log(`attempt ${attempt} went on from row ${from}`);
assert.ok(attempt === 0 || from >= 5);
