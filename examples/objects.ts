// Objects: a value is put into shared memory once and read by every process of the machine where it lies, without a copy.

import assert from "node:assert/strict";
import { createBuffer, get, getRange, init, put, remote } from "troupe";

const LENGTH = 4_000_000;
const PARTS = 4;

const sumOfPart = remote((numbers: Float64Array, part: number, parts: number) => {
  const size = numbers.length / parts;
  let sum = 0;
  for (let i = part * size; i < (part + 1) * size; i += 1) sum += numbers[i];
  return sum;
});

const squares = remote((numbers: Float64Array) => numbers.map((n) => n * n));

await using _cluster = await init({ numCpus: 2 });

const numbers = Float64Array.from({ length: LENGTH }, (_, i) => i);
const ref = await put(numbers);

// The ref travels, not the 32 MB.
const sums = await get(Array.from({ length: PARTS }, (_, part) => sumOfPart.remote(ref, part, PARTS)));
const total = sums.reduce((sum, part) => sum + part, 0);
assert.equal(total, (LENGTH * (LENGTH - 1)) / 2);

// Results of tasks are objects as well: this one is made by one process and read by this one.
const squared = await get(squares.remote(ref));
assert.equal(squared.length, LENGTH);
assert.equal(squared[1000], 1_000_000);

// Bytes that come from elsewhere (a file, a socket) are written in place, and are an object without a copy; parts are read alone.
const buffer = await createBuffer(1_000_000);
buffer.bytes.fill(7);
const bytes = await buffer.seal();
assert.deepEqual([...await getRange(bytes, 999_998, 2)], [7, 7]);

// Dropping the handle is enough in the end; `release()` is prompt.
ref.release();
console.log(`objects: ${LENGTH} numbers, put once, read by ${PARTS} tasks; their sum is ${total}`);
