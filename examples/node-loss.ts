// A node dies with what tasks had made on it: whoever reads that gets it all the same, because the tasks run again.

import assert from "node:assert/strict";
import { get, getRuntimeContext, ObjectLostError, onNode, put, remote, run, wait } from "troupe";
import { testCluster } from "troupe/testing";

const cluster = await testCluster({ head: { numCpus: 2 } });
await cluster.connect();
const mortal = await cluster.addNode({ numCpus: 2 });
// The whole cluster knows of the node when something has run there.
await run(remote(() => {}, { schedulingStrategy: onNode(mortal) }));

const there = { schedulingStrategy: onNode(mortal, { soft: true }) };
const table = remote((rows: number) => new Float64Array(rows).fill(1), there);
const running = remote((numbers: Float64Array) => numbers.map((_one, index) => index), there);
const once = remote((rows: number) => new Float64Array(rows), { ...there, maxRetries: 0 });
const where = remote(() => getRuntimeContext().nodeId, there);

const rows = table.remote(100_000);
const sums = running.remote(rows);
const unique = once.remote(100_000);
// Made, and left where they are: without fetchLocal they would be brought here.
await wait([sums, unique], { numReturns: 2, fetchLocal: false });
// Only the result is held: what it was made from is not kept, but how to make it is.
rows.release();
const mine = await put(new Float64Array(100_000));

assert.equal(await run(where), mortal);
await cluster.removeNode(mortal, { graceful: false });

// Both tasks run again, elsewhere; each once, however many read.
const [one, other] = await Promise.all([get(sums), get(sums)]);
assert.equal(one[99_999], 99_999);
assert.equal(other.length, 100_000);
assert.notEqual(await run(where), mortal);

// What lies on this machine is not touched. What may not be made twice is lost, and says so.
assert.equal((await get(mine)).length, 100_000);
const lost = await get(unique).catch((thrown: unknown) => thrown);
assert(lost instanceof ObjectLostError);

await cluster.stop();
console.log("node loss: a table was made again after its node was killed; what may not run twice was reported as lost");
