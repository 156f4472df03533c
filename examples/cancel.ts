// Work that is no longer wanted, and work that may only take so long.

import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { cancel, first, get, getRuntimeContext, init, remote, TaskCancelledError, TaskTimeoutError } from "troupe";

await using _cluster = await init({ numCpus: 2 });

/** Any API that takes a signal can be given that of the task. */
const search = remote(async (name: string, ms: number) => {
  await delay(ms, undefined, { signal: getRuntimeContext().signal });
  return name;
}, { numCpus: 0.5 });

// The fastest wins, the others are cancelled.
assert.equal(await first([search.remote("ada", 5000), search.remote("grace", 50), search.remote("edsger", 5000)]), "grace");

// Cancelling reaches everything that a task has submitted.
const both = remote(async () => get([search.remote("one", 60_000), search.remote("two", 60_000)]), {
  numCpus: 0.5,
  name: "team",
});
const team = both.remote();
await delay(200);
await cancel(team);
await assert.rejects(get(team), TaskCancelledError);

// A limit for the whole call, children included.
await assert.rejects(get(both.options({ timeoutMs: 300 }).remote()), TaskTimeoutError);

// By force, also in the middle of a loop that never looks: its process is killed, nothing else suffers.
const spin = remote(() => {
  for (;;);
});
const endless = spin.remote();
await delay(300);
await cancel(endless, { force: true });
await assert.rejects(get(endless), { name: "TaskCancelledError", forced: true });
console.log("cancel: the fastest won, the rest was cancelled, timed out, or ended by force");
