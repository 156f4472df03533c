// Resources: a task says what it needs; it runs where and when that is free, and is told when it never will be.

import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { get, getRuntimeContext, InfeasibleError, init, remote, run } from "troupe";

await using cluster = await init({ numCpus: 2, resources: { disk: 1 }, labels: { zone: "a" } });
const { CPU, disk } = await cluster.resources();
assert.deepEqual([CPU, disk], [2, 1]);

/** Only one disk: two of these never run at the same time. */
const writeFile = remote(
  async () => {
    const started = Date.now();
    await delay(50);
    return [started, Date.now()] as const;
  },
  { numCpus: 0.5, resources: { disk: 1 } },
);
const spans = await get([writeFile.remote(), writeFile.remote(), writeFile.remote()]);
spans.sort(([a], [b]) => a - b);
for (let i = 1; i < spans.length; i += 1) assert(spans[i][0] >= spans[i - 1][1]);

const held = remote(() => getRuntimeContext().resources, { numCpus: 2, labelSelector: { zone: "in(a,b)" } });
assert.equal((await run(held)).CPU, 2);

const onMars = remote(() => "never", { resources: { mars: 1 }, infeasibleGraceMs: 0 });
await assert.rejects(run(onMars), InfeasibleError);
console.log(`resources: ${spans.length} writers took turns at one disk`);
