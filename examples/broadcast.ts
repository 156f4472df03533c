// One object goes to every node of a cluster. Nodes that are still receiving it pass on what they have, so whoever made it sends
// little more than one copy. `wait` brings what it waits for, unless it is told not to.

import assert from "node:assert/strict";
import { get, list, onNode, put, remote, run, wait } from "troupe";
import { testCluster } from "troupe/testing";

const MIB = 1024 * 1024;
const size = 24 * MIB;

const cluster = await testCluster({ head: { numCpus: 1 } });
await cluster.connect();
const nodes = await Promise.all([1, 2, 3].map(() => cluster.addNode({ numCpus: 1 })));
await Promise.all(nodes.map((node) => run(remote(() => {}, { schedulingStrategy: onNode(node) }))));

// An argument of a task on each node.
const model = await put(new Uint8Array(size).fill(7));
const sample = (bytes: Uint8Array) => bytes[bytes.length - 1];
const samples = await get(nodes.map((node) => remote(sample, { schedulingStrategy: onNode(node) }).remote(model)));
assert.deepEqual(samples, [7, 7, 7]);

const stores = await list.stores();
const relayed = stores.filter(({ nodeId }) => nodes.includes(nodeId)).reduce((sum, { servedBytes }) => sum + servedBytes, 0);
const copied = stores.reduce((sum, { copiedBytes }) => sum + copiedBytes, 0);
assert(copied >= 3 * size);

// Made on another node: there after the first wait, here after the second.
const table = remote((bytes: number) => new Uint8Array(bytes), { schedulingStrategy: onNode(nodes[0]) }).remote(2 * MIB);
const transfers = async () => (await list.stores()).reduce((sum, store) => sum + store.transfers, 0);
const before = await transfers();
await wait([table], { fetchLocal: false });
assert.equal(await transfers(), before);
await wait([table]);
assert.equal(await transfers(), before + 1);
assert.equal((await get(table)).length, 2 * MIB);
assert.equal(await transfers(), before + 1);

await cluster.stop();
const ended = Math.round(relayed / MIB);
console.log(`broadcast: 24 MiB to three nodes, ${ended} of 72 MiB from one another; what was waited for came here`);
