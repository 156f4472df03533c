// Streams: a generator function as a task gives its items one by one, never more ahead of its reader than agreed.

import assert from "node:assert/strict";
import { cancel, get, init, type ObjectRefStream, remote, run } from "troupe";

const squares = remote(function* (to: number) {
  for (let n = 1; n <= to; n += 1) yield n * n;
}, { streamBackpressure: 4 });

const lines = remote(async function* (text: string) {
  try {
    for (const line of text.split("\n")) yield line;
  } finally {
    console.log("the generator was left, or is through");
  }
});

/** A stream is sent like a ref; the task reads on where others have stopped. */
const sum = remote(async (numbers: ObjectRefStream<number>) => {
  let total = 0;
  for await (const ref of numbers) total += await get(ref);
  return total;
});

class Sensor {
  async *readings(count: number) {
    for (let n = 0; n < count; n += 1) yield { n, celsius: 20 + n };
  }
}

await using _cluster = await init({ numCpus: 2 });

// Each item is a ref of its own: large ones lie in the object store until somebody reads them.
const seen: number[] = [];
for await (const ref of squares.remote(5)) seen.push(await get(ref));
assert.deepEqual(seen, [1, 4, 9, 16, 25]);

// Leaving the loop ends the generator, through its `finally`.
for await (const ref of lines.remote("one\ntwo\nthree")) {
  if ((await get(ref)) === "two") break;
}

const shared = squares.remote(10);
await shared.next();
assert.equal(await run(sum, shared), 384);

for await (const ref of remote(Sensor).remote().readings.remote(3)) console.log(await get(ref));

// What is wrong is the last item: here the generator is cancelled.
const endless = squares.remote(1_000_000);
await cancel(endless);
const { value: last } = await endless.next();
assert(last !== undefined);
await assert.rejects(get(last), { name: "TaskCancelledError" });
console.log("streams: items were read here, in a task and from an actor; one stream was left, one was cancelled");
