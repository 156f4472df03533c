// Without init(): the first call starts a private cluster on this machine, or joins the one at TROUPE_ADDRESS, and says so on
// stderr. It does not wait for it: what is submitted meanwhile goes when the cluster is there.

import assert from "node:assert/strict";
import { get, init, isInitialized, remote, shutdown } from "troupe";

class Ledger {
  readonly #entries: string[] = [];
  write(entry: string): number {
    return this.#entries.push(entry);
  }
}

const cube = remote((n: number) => n ** 3);

assert.equal(isInitialized(), false);
const cubes = [1, 2, 3].map((n) => cube.remote(n)); // refs at once, from a cluster that is still starting
const ledger = remote(Ledger).remote();
const lines = ["one", "two"].map((entry) => ledger.write.remote(entry));
assert.equal(isInitialized(), true);

assert.deepEqual(await get(cubes), [1, 8, 27]);
assert.deepEqual(await get(lines), [1, 2]);

// init() has to come first, or take what is there: here to look at the cluster that was started.
const cluster = await init({ ignoreReinit: true });
const [node] = await cluster.nodes();
console.log(`without init: a cluster of ${node.resources.CPU} CPUs was started by the first call`);
await shutdown();
assert.equal(isInitialized(), false);
