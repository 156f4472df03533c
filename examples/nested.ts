// Nested tasks: tasks submit tasks. One that waits gives its CPU to those it waits for, so depth is no deadlock.

import assert from "node:assert/strict";
import { get, init, type ObjectRef, put, remote, run } from "troupe";

const sortAll = remote(async (numbers: readonly number[]): Promise<number[]> => {
  if (numbers.length <= 250) return [...numbers].sort((a, b) => a - b);
  const middle = numbers.length >> 1;
  const halves = [sortAll.remote(numbers.slice(0, middle)), sortAll.remote(numbers.slice(middle))];
  const [left, right] = await get(halves);
  return merge(left, right);
});

function merge(left: readonly number[], right: readonly number[]): number[] {
  const merged: number[] = [];
  let i = 0;
  let j = 0;
  while (i < left.length || j < right.length) {
    if (j === right.length || (i < left.length && left[i] <= right[j])) merged.push(left[i++]);
    else merged.push(right[j++]);
  }
  return merged;
}

/** Refs inside containers stay refs: the task decides what it fetches. */
const pick = remote(async (refs: readonly ObjectRef<number>[], index: number) => get(refs[index]));

await using _cluster = await init({ numCpus: 2 });

const numbers = Array.from({ length: 1000 }, (_, i) => (i * 7919) % 1000);
const sorted = await run(sortAll, numbers);
assert.deepEqual(sorted, Array.from({ length: 1000 }, (_, i) => i));

const refs = await Promise.all([10, 20, 30].map((n) => put(n)));
assert.equal(await get(pick.remote(refs, 1)), 20);
console.log(`nested: ${sorted.length} numbers were sorted by tasks of tasks`);
