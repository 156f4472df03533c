// Where an actor lives: in a process of its own, in a thread with a heap of its own, or in one process with many others.

import assert from "node:assert/strict";
import { ActorDiedError, get, init, remote } from "troupe";

class Sensor {
  #sum = 0;
  #count = 0;

  report(value: number): number {
    this.#sum += value;
    this.#count += 1;
    return this.#sum / this.#count;
  }

  pid(): number {
    return process.pid;
  }

  crash(): void {
    setTimeout(() => {
      throw new Error("a bug in the code of one sensor");
    });
  }

  hoard(): void {
    const kept: number[][] = [];
    for (;;) kept.push(new Array<number>(100_000).fill(kept.length));
  }
}

await using _cluster = await init({ numCpus: 2 });

// Two thousand actors in two processes: each has its own state, queue and order.
const sensors = Array.from({ length: 2000 }, () => remote(Sensor, { isolation: "shared" }).remote());
const means = await get(sensors.map((sensor, index) => sensor.report.remote(index)));
assert.deepEqual(means, sensors.map((_, index) => index));
const pids = new Set(await get(sensors.map((sensor) => sensor.pid.remote())));
assert.ok(pids.size <= 3 && !pids.has(process.pid));

// An error that nobody caught ends the actor that it comes from, and no other.
await get(sensors[0].crash.remote());
await assert.rejects(async () => {
  for (;;) await get(sensors[0].report.remote(1));
}, ActorDiedError);
assert.equal(await get(sensors[1].report.remote(3)), 2);

// A thread has a heap of its own, and ends alone when that is full.
const InThread = remote(Sensor, { isolation: "thread" });
const [small, neighbour] = [InThread.options({ heapLimit: "32MiB" }).remote(), InThread.remote()];
await assert.rejects(get(small.hoard.remote()), { code: "ACTOR_DIED", reason: "out-of-memory" });
assert.equal(await get(neighbour.report.remote(1)), 1);
console.log(`isolation: ${sensors.length} actors answered from ${pids.size} processes`);
