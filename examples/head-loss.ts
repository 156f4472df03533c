// The head is killed: running work goes on, what needs a head waits for the next one, and what was acknowledged is there.

import assert from "node:assert/strict";
import { get, getActor, kv, list, placementGroup, remote } from "troupe";
import { testCluster } from "troupe/testing";

class Counter {
  #n = 0;

  add(): number {
    this.#n += 1;
    return this.#n;
  }
}

const cluster = await testCluster({ head: { numCpus: 2 }, nodes: [{ numCpus: 1 }], storage: "lmdb" });
await cluster.connect();
const counter = remote(Counter, { name: "counter", lifetime: "detached", namespace: "shop" }).remote();
await get(counter.add.remote());
const group = await placementGroup([{ CPU: 0.5 }], { name: "reserved" });
await group.ready();
await kv.set("orders", 17);

await cluster.killHead();
// Calls go straight to the actor's process.
assert.equal(await get(counter.add.remote()), 2);
// These need the head, and wait.
const orders = kv.get("orders");
const found = getActor<Counter>("counter", { namespace: "shop" });

await cluster.restartHead();
assert.equal(await orders, 17);
assert.equal(await get((await found).add.remote()), 3);
assert.deepEqual((await list.placementGroups()).map(({ name, state }) => [name, state]), [["reserved", "CREATED"]]);
assert.deepEqual((await list.nodes()).map(({ state }) => state), ["ALIVE", "ALIVE"]);
await group.remove();

await cluster.stop();
console.log("head loss: calls went on without a head; the next one knew the actor, the group, the keys and the nodes");
