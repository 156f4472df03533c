// Waiting: for the first of many, for those that are ready by now, for one after the other, or not longer than so long.

import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { asCompleted, cancel, get, getSettled, GetTimeoutError, init, remote, wait } from "troupe";

const sleep = remote(
  async (ms: number) => {
    await delay(ms);
    return ms;
  },
  { numCpus: 0.1 },
);
const fail = remote(() => {
  throw new RangeError("no");
});

await using _cluster = await init({ numCpus: 2 });

const slow = sleep.remote(60_000);
const fast = sleep.remote(1);
const { ready, pending } = await wait([slow, fast]);
assert.deepEqual([ready[0].id, pending[0].id], [fast.id, slow.id]);

await assert.rejects(get(slow, { timeoutMs: 10 }), GetTimeoutError);

// A failed object is ready, too: `wait` never throws for it.
const settled = await getSettled([fast, fail.remote()]);
assert.deepEqual(settled.map(({ status }) => status), ["fulfilled", "rejected"]);

const order: number[] = [];
for await (const ref of asCompleted([sleep.remote(600), sleep.remote(300), sleep.remote(1)])) order.push(await get(ref));
assert.deepEqual([...order].sort((a, b) => a - b), [1, 300, 600]);
await cancel(slow, { force: true });
console.log(`wait: results were taken as they came: after ${order.join(", ")} ms of sleep`);
