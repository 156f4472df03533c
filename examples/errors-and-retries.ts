// Errors and retries: what user code throws is thrown by `get`; crashes of workers are retried, errors when asked for.

import assert from "node:assert/strict";
import { get, getRuntimeContext, init, remote, run, TaskError, WorkerCrashedError } from "troupe";

class BusyError extends Error {
  override readonly name = "BusyError";
}

const parse = remote((text: string): unknown => JSON.parse(text));
const busyTwice = remote(
  () => {
    const { attempt } = getRuntimeContext();
    if (attempt < 2) throw new BusyError(`attempt ${attempt}`);
    return attempt;
  },
  { retryExceptions: [BusyError], maxRetries: 3, retryDelayMs: 5 },
);
const crashOnce = remote(() => {
  if (getRuntimeContext().attempt === 0) process.kill(process.pid, "SIGKILL");
  return "alive";
});
const crash = remote(() => process.exit(3), { maxRetries: 0 });
const length = remote((value: unknown) => String(value).length);

await using _cluster = await init({ numCpus: 2 });

// The error is a TaskError and an instance of the class that was thrown.
const error = await get(parse.remote("{")).catch((thrown: unknown) => thrown);
assert(error instanceof TaskError);
assert(error instanceof SyntaxError);

// It travels through everything that depends on it.
await assert.rejects(get(length.remote(parse.remote("{"))), SyntaxError);

assert.equal(await run(busyTwice), 2);
assert.equal(await run(crashOnce), "alive");
const crashed = await get(crash.remote()).catch((thrown: unknown) => thrown);
assert(crashed instanceof WorkerCrashedError);
console.log("errors and retries: two busy attempts and a killed worker were survived, a crash without retries was reported");
