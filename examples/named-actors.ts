// Named actors: found by name from anywhere in the cluster, without passing a handle around.

import assert from "node:assert/strict";
import { get, getActor, init, kill, NotFoundError, ready, remote } from "troupe";

class Registry {
  #words = new Map<string, number>();

  count(word: string): number {
    const seen = (this.#words.get(word) ?? 0) + 1;
    this.#words.set(word, seen);
    return seen;
  }

  size(): number {
    return this.#words.size;
  }
}

await using _cluster = await init({ numCpus: 2, namespace: "words" });

const RemoteRegistry = remote(Registry);
const registry = RemoteRegistry.options({ name: "registry" }).remote();
await ready(registry);

const countWords = remote(async (text: string) => {
  const found = await getActor<Registry>("registry", { namespace: "words" });
  await get(text.split(" ").map((word) => found.count.remote(word)));
});
await get([countWords.remote("to be or not to be"), countWords.remote("that is the question")]);
assert.equal(await get(registry.size.remote()), 8);

// `getIfExists` gives the one that is there instead of a second one.
const same = RemoteRegistry.options({ name: "registry", getIfExists: true }).remote();
assert.equal(await get(same.count.remote("be")), 3);

await kill(registry);
await assert.rejects(getActor("registry"), NotFoundError);
console.log("named actors: 8 different words were counted by name");
