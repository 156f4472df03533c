// Processes that hand work to each other: a bounded queue, permits for what may not be done too often at once, and a brake.

import assert from "node:assert/strict";
import { get, init, Queue, remote, Semaphore, submitCapacity } from "troupe";

await using _cluster = await init({ numCpus: 2 });

// Ten pages at most lie in the queue: who is faster waits.
const pages = new Queue<string>({ maxSize: 10 });
const crawl = remote(async (to: Queue<string>, count: number) => {
  for (let n = 0; n < count; n += 1) await to.put(`page ${n}`);
  await to.close();
});
const done = crawl.remote(pages, 25);
const lengths: number[] = [];
for await (const page of pages) lengths.push(page.length);
await get(done);
assert.equal(lengths.length, 25);

// Two at a time, wherever they run; permits of a process that dies come back.
const connections = new Semaphore(2);
const query = remote((permits: Semaphore, n: number) => permits.run(() => n * 2), { numCpus: 0.5 });
assert.deepEqual(await get([1, 2, 3].map((n) => query.remote(connections, n))), [2, 4, 6]);

// Whoever submits without end waits here while 10 calls have not ended.
const refs = [];
for (let n = 0; n < 100; n += 1) {
  await submitCapacity({ maxPending: 10 });
  refs.push(query.remote(connections, n));
}
assert.equal((await get(refs)).length, 100);
console.log("queues: pages, permits and calls were held back");
