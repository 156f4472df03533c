// What functions take along to workers: variables, helpers, classes with their private state, imports; and what can't travel.
//
// `troupe inspect-closure dist/examples/closures.js#score` shows what a function captures, with sizes.

import assert from "node:assert/strict";
import { createServer } from "node:net";
import { basename } from "node:path";
import { CaptureError, init, remote, run } from "troupe";

const weights = new Map([["speed", 2], ["price", -1]]);
let calls = 0;

class Scale {
  readonly #factor: number;
  constructor(factor: number) {
    this.#factor = factor;
  }
  apply(x: number): number {
    calls++;
    return x * this.#factor;
  }
}
const scale = new Scale(10);

/** A worker gets `weights`, `scale`, its class, and `calls` as they are at the first call; `basename` it imports. */
export const score = (kind: string, x: number): [number, number] => [scale.apply(x * (weights.get(basename(kind)) ?? 0)), calls];

await using _cluster = await init({ numCpus: 2 });

// The worker counts in its own copy.
assert.deepEqual(await run(remote(score), "a/speed", 3), [60, 1]);
assert.equal(calls, 0);

// Functions made in a function have variables of their own.
const adders = [1, 2, 3].map((n) => remote((x: number) => x + n));
assert.deepEqual(await Promise.all(adders.map((add) => run(add, 10))), [11, 12, 13]);

// What belongs to this process is refused before anything is sent, with the way to it.
const state = { connections: { server: createServer() } };
const isListening = remote(() => state.connections.server.listening);
assert.throws(() => isListening.remote(), (error: CaptureError) => {
  assert.equal(error.captureCode, "CAPTURE_HANDLE");
  assert.deepEqual(error.path, ["isListening", "state", ".connections", ".server"]);
  return error instanceof CaptureError;
});

// The stack of an error leads to the line in this file that threw it.
const failing = remote((x: number) => {
  throw new RangeError(`${x} is too large`);
}, { maxRetries: 0 });
const isHere = (error: Error): boolean => error instanceof RangeError && /closures\.js:\d+:\d+/.test(error.stack ?? "");
await assert.rejects(run(failing, 7), isHere);

console.log("state traveled with code, and what can't travel was refused");
