// Tasks: plain functions that run in worker processes. Results come back as refs, and refs are arguments of further tasks.

import assert from "node:assert/strict";
import { get, init, remote, run } from "troupe";

const add = remote((a: number, b: number) => a + b);
const countPrimes = remote((from: number, to: number): number => {
  let count = 0;
  for (let n = Math.max(2, from); n < to; n += 1) {
    let divisor = 2;
    while (divisor * divisor <= n && n % divisor !== 0) divisor += 1;
    if (divisor * divisor > n) count += 1;
  }
  return count;
});

await using _cluster = await init({ numCpus: 2 });

// `.remote()` returns at once; `get` waits for the value, `run` does both.
assert.equal(await get(add.remote(1, 2)), 3);
assert.equal(await run(add, 3, 4), 7);

// A ref as an argument becomes its value before the function runs: the chain needs no waiting in between.
assert.equal(await get(add.remote(add.remote(1, 2), 10)), 13);

// Four parts of one job, side by side.
const parts = [0, 1, 2, 3].map((part) => countPrimes.remote(part * 25_000, (part + 1) * 25_000));
const primes = (await get(parts)).reduce((sum, count) => sum + count, 0);
assert.equal(primes, 9592);
console.log(`tasks: ${primes} primes below 100000, counted in ${parts.length} tasks`);
