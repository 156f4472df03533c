// A module that workers begin with: tracing, loaders, polyfills, whatever has to be there before the first line of a task. It is
// also how a program that was bundled into one file has its workers set up; troupe itself stays a package (--external:troupe).

import assert from "node:assert/strict";
import { init, remote, run } from "troupe";

declare global {
  var sinceBegin: (() => number) | undefined;
}

await using _cluster = await init({ numCpus: 1, workerEntry: new URL("./worker-entry/begin.js", import.meta.url) });

const age = remote(() => globalThis.sinceBegin?.());
const first = await run(age);
assert.ok(first !== undefined && first > 0, "the worker ran it before this task");
assert.equal(globalThis.sinceBegin, undefined, "the program did not");

// Work with an environment of its own begins with it too.
const other = await run(age.options({ runtimeEnv: { envVars: { STAGE: "test" } } }));
assert.ok(other !== undefined);
console.log(`worker-entry: this worker had begun ${Math.round(first)} ms before its first task`);
