// One function over many values, actors that share work, and one connection a worker process.

import assert from "node:assert/strict";
import { ActorPool, init, mapAll, perWorker, remote, run } from "troupe";

await using _cluster = await init({ numCpus: 2 });

// Values may come from anywhere; no more than 8 are under way, and results come in order.
const double = remote((n: number) => n * 2);
assert.deepEqual(await mapAll(double, [1, 2, 3], { concurrency: 8 }), [2, 4, 6]);

function* countUp(): Generator<number> {
  for (let n = 0; ; n += 1) yield n;
}
for await (const doubled of mapAll(double, countUp(), { concurrency: 4 })) if (doubled >= 20) break;

// Whichever actor is free takes the next value.
class Scorer {
  score(text: string): number {
    return text.length;
  }
}
const RemoteScorer = remote(Scorer, { numCpus: 0 });
const pool = new ActorPool([RemoteScorer.remote(), RemoteScorer.remote()]);
const scores: number[] = [];
for await (const score of pool.map((actor, text: string) => actor.score.remote(text), ["a", "bb", "ccc"])) scores.push(score);
assert.deepEqual(scores, [1, 2, 3]);

// What can't be copied is made once in each process that needs it.
const connection = perWorker(() => new Map([["opened by", process.pid]]));
const opener = await run(remote(() => [connection().get("opened by"), process.pid]));
assert.equal(opener[0], opener[1]);
console.log("sharing: values, actors and connections were shared out");
