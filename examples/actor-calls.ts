// How many calls of an actor run at once, in groups; calls within calls; and how an actor ends by itself.

import assert from "node:assert/strict";
import { ActorDeadlockError, ActorDiedError, type ActorHandle, exitActor, get, init, remote } from "troupe";

class Mailbox {
  #letters: string[] = [];

  /** Slow, and many at once: it waits for the network. */
  async fetch(from: string): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 20));
    this.#letters.push(from);
  }

  count(): number {
    return this.#letters.length;
  }

  /** Asks itself, through its own handle. */
  async countTwice(me: ActorHandle<Mailbox>): Promise<number> {
    return this.count() + (await get(me.count.remote()));
  }

  close(): void {
    exitActor();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    console.log(`the mailbox was closed with ${this.#letters.length} letters`);
  }
}

await using _cluster = await init({ numCpus: 2 });

// Four calls of the group "network" at once; all other methods have the one slot of `maxConcurrency`.
const options = { concurrencyGroups: { network: 4 }, methods: { fetch: { concurrencyGroup: "network" } } };
const RemoteMailbox = remote(Mailbox, options);
const mailbox = RemoteMailbox.remote();
const letters = ["Ada", "Grace", "Edsger", "Barbara"].map((from) => mailbox.fetch.remote(from));
assert.equal(await get(mailbox.count.remote()), 0);
await get(letters);
assert.equal(await get(mailbox.count.remote()), 4);

// A call that waits for another one of the same actor would wait for ever: that is an error, unless the actor is reentrant.
await assert.rejects(get(mailbox.countTwice.remote(mailbox)), ActorDeadlockError);
const reentrant = RemoteMailbox.options({ reentrant: true }).remote();
assert.equal(await get(reentrant.countTwice.remote(reentrant)), 0);

// It ends after the calls before: what waits fails, what runs may end, and then it cleans up.
await assert.rejects(get(mailbox.close.remote()), ActorDiedError);
await assert.rejects(get(mailbox.count.remote()), /exitActor/);
console.log("actor calls: 4 letters were fetched at once");
