// The driver of a broadcast, on host 1: node count, bytes, rounds. Prints the seconds of each round, as JSON.

import { get, init, put, remote, shutdown } from "../sdk/index.ts";

const [nodes, bytes, rounds] = process.argv.slice(2).map(Number);
await init({ address: "auto" });
const touch = (value: Uint8Array): number => value.length + value[value.length - 1];
const readers = Array.from({ length: nodes }, (_, index) => remote(touch, { resources: { [`host${index + 2}`]: 1 } }));
await Promise.all(readers.map((read) => get(read.remote(new Uint8Array(1)))));
const seconds: number[] = [];
for (let round = 0; round < rounds; round += 1) {
  const ref = await put(new Uint8Array(bytes).fill(round));
  const started = performance.now();
  const ends = await get(readers.map((read) => read.remote(ref)));
  seconds.push((performance.now() - started) / 1000);
  if (ends.some((end) => end !== bytes + round)) throw new Error(`a node read something else: ${ends.join(" ")}`);
  ref.release();
}
console.log(JSON.stringify(seconds));
await shutdown();
