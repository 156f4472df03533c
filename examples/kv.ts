// Small data that everybody in the cluster sees: in order, changed together, and kept where the cluster's head is.

import assert from "node:assert/strict";
import { get, init, kv, remote } from "troupe";

await using _cluster = await init({ numCpus: 2 });

await kv.set("models/churn", { version: 3, accuracy: 0.91 });
await kv.set("models/fraud", { version: 1, accuracy: 0.88 });
for await (const [name, model] of kv.scan<{ version: number }>("models/")) console.log(name, model.version);

// Many at once: whoever finds another value than expected tries again, and no count is lost.
const visit = remote(async () => {
  for (;;) {
    const visits = await kv.get<number>("visits");
    if (await kv.cas("visits", visits, (visits ?? 0) + 1)) return;
  }
});
await get(Array.from({ length: 10 }, () => visit.remote()));
assert.equal(await kv.get("visits"), 10);

// All of it, or nothing.
const moved = await kv.batch([
  { type: "check", key: "visits", value: 10 }, { type: "delete", key: "visits" }, { type: "set", key: "visits/old", value: 10 },
]);
assert.deepEqual([moved, await kv.get("visits")], [true, undefined]);
console.log("kv: one store for all processes");
