// Why is it not there yet? explain() says it in words and as data; `troupe explain ID` says the same on the command line.

import assert from "node:assert/strict";
import { explain, get, init, remote } from "troupe";

await using _cluster = await init({ numCpus: 1 });

const nap = remote(async function nap(ms: number) {
  await new Promise((resolve) => setTimeout(resolve, ms));
  return ms;
});

const first = nap.remote(1000);
let found = await explain(first);
// Before that, it waits for a worker process to start.
while (found.reasons[0].kind !== "running") {
  await new Promise((resolve) => setTimeout(resolve, 20));
  found = await explain(first);
}
console.log(found.text);

// The only CPU is taken; and what needs that result waits in its turn.
const second = nap.remote(1);
const third = nap.remote(second);
const { text, reasons } = await explain(third);
console.log(text);
assert.equal(reasons[0].kind, "arguments");
await get(third);
assert.equal((await explain(third)).reasons[0].kind, "ready");
