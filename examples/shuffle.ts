// A shuffle of more data than the object store holds: blocks that nobody reads wait on disk, and come back when their turn is.

import assert from "node:assert/strict";
import { get, init, type ObjectRef, remote } from "troupe";

const PARTS = 16;
const ROWS = 32_000;

/** The keys of one part, cut into blocks by where they belong. */
const split = remote((part: number) => {
  const blocks = Array.from({ length: PARTS }, () => [] as number[]);
  for (let row = 0; row < ROWS; row += 1) {
    const key = Math.imul(part * ROWS + row, 0x9e3779b1) >>> 0;
    blocks[key % PARTS].push(key);
  }
  // Wide rows: 64 numbers each.
  return blocks.map((keys) => Float64Array.from({ length: keys.length * 64 }, (_, i) => keys[Math.floor(i / 64)]));
}, { numReturns: PARTS });

const count = remote((to: number, ...blocks: Float64Array[]) => {
  let rows = 0;
  for (const block of blocks) {
    for (let i = 0; i < block.length; i += 64) if (block[i] % PARTS === to) rows += 1;
  }
  return rows;
});

await using _cluster = await init({ numCpus: 2, objectStoreMemory: "64MiB" });

const started = performance.now();
const parts = Array.from({ length: PARTS }, (_, part) => split.remote(part) as unknown as ObjectRef<Float64Array>[]);
const counts = await get(parts.map((_, to) => count.remote(to, ...parts.map((blocks) => blocks[to]))));
const rows = counts.reduce((sum, one) => sum + one, 0);
assert.equal(rows, PARTS * ROWS);

const mib = (PARTS * ROWS * 64 * 8) / 2 ** 20;
const seconds = (performance.now() - started) / 1000;
console.log(`shuffle: ${rows} rows, ${mib} MiB through a store of 64 MiB in ${seconds.toFixed(1)} s`);
