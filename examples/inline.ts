// Everything in this process: for breakpoints in tasks and for unit tests. What a program gives, and how it fails, is the same as
// on a cluster: values are copied, captured variables are snapshots, errors have their class.

import assert from "node:assert/strict";
import { get, init, remote, run, WorkerCrashedError } from "troupe";

class TooYoung extends Error {
  readonly age: number;

  constructor(age: number) {
    super(`${age} is too young`);
    this.age = age;
  }
}

const checked = remote((people: { name: string; age: number }[]) => {
  const young = people.find(({ age }) => age < 18);
  if (young !== undefined) throw new TooYoung(young.age);
  people.push({ name: "the one who checked", age: 99 });
  // Put a breakpoint here, and step through from the call below.
  return people.map(({ name }) => name);
});

class Seats {
  #taken: string[] = [];

  take(name: string): number {
    return this.#taken.push(name);
  }
}

await using _cluster = await init({ mode: "inline", numCpus: 2 });

const people = [{ name: "Ada", age: 36 }];
assert.deepEqual(await run(checked, people), ["Ada", "the one who checked"]);
assert.equal(people.length, 1);
await assert.rejects(run(checked, [{ name: "Bo", age: 7 }]), (error) => error instanceof TooYoung && error.age === 7);

const seats = remote(Seats).remote();
assert.deepEqual(await get(["Ada", "Cy"].map((name) => seats.take.remote(name))), [1, 2]);

// It ends its worker, as it would end a process, and not this program.
const exits = remote(() => process.exit(1), { maxRetries: 0 });
await assert.rejects(run(exits), WorkerCrashedError);

assert.equal(await run(remote(() => process.pid)), process.pid);
console.log("inline: tasks, an actor and a crash, all in this process");
