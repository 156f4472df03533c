// What a function captures travels with it once; a secret stays where it is, and only its name travels.

import assert from "node:assert/strict";
import { CaptureError, get, init, put, remote, run, secret } from "troupe";

process.env.API_TOKEN = "hunter2";
await using cluster = await init({ numCpus: 2 });

// Workers read the variable of their own node. The token is in no message, file or error of Troupe.
const token = secret("API_TOKEN");
assert.equal(await run(remote(() => token.value().length)), 7);
assert.equal(`${token}`, "[secret API_TOKEN]");

// Captured data above 64 KiB lies in the object store, once for all workers of a node.
const table = new Float64Array(50_000).fill(0.5);
const look = remote((at: number) => table[at]);
assert.deepEqual(await get([1, 2, 3].map((at) => look.remote(at))), [0.5, 0.5, 0.5]);

// More than a megabyte is worth a ref (there is a warning that says so): it is passed, not captured.
const large = await put(new Float64Array(500_000).fill(2));
assert.equal(await run(remote((data: Float64Array) => data[9]), large), 2);

// What can't travel is said at the first call, with the way to it.
try {
  remote(() => cluster.jobId).remote();
  assert.fail("a Cluster is the membership of one process");
} catch (error) {
  assert.ok(error instanceof CaptureError);
  assert.equal(error.variable, "cluster");
}
console.log("code and secrets: captured data came along, the token stayed");
