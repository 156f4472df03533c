// Objects whose owner is killed: what it had put, and the results of what it had submitted, are freed while the job goes on, on
// every node; who holds refs to them is told, and waits for nothing.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { free, get, getRuntimeContext, kill, list, type ObjectRef, OwnerDiedError, put, remote, run, wait } from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";

const BYTES = 3 * 1024 * 1024;

let cluster: TestCluster;

beforeEach(async () => {
  cluster = await testCluster({ head: { numCpus: 2 }, nodes: [{ numCpus: 2, resources: { far: 2 } }] });
  await cluster.connect();
});
afterEach(() => cluster.stop());

async function objectsLeft(): Promise<number> {
  return (await list.stores()).reduce((sum, { objects }) => sum + objects, 0);
}

async function noObjectsLeft(): Promise<void> {
  await expect.poll(objectsLeft, { interval: 50 }).toBe(0);
}

/** Nor bytes: nobody looks at any of them. */
async function nothingLeft(): Promise<void> {
  await noObjectsLeft();
  await expect.poll(async () => (await list.stores()).reduce((sum, { used }) => sum + used, 0)).toBe(0);
}

/** Owns what it makes until its process is killed. */
class Owner {
  refs: ObjectRef[] = [];
  pid() {
    return process.pid;
  }
  async put(bytes: number) {
    const ref = await put(new Uint8Array(bytes));
    this.refs.push(ref);
    return { ref };
  }
  submit(resources: Record<string, number>, bytes: number) {
    const make = remote((length: number) => new Uint8Array(length), { resources, numCpus: 0 });
    const ref = make.remote(bytes);
    this.refs.push(ref);
    return { ref };
  }
  submitEndless() {
    const ref = remote(() => new Promise(() => {}), { numCpus: 0 }).remote();
    this.refs.push(ref);
    return { ref };
  }
  submitTo(actor: { late: { remote(ms: number, bytes: number): ObjectRef } }) {
    this.refs.push(actor.late.remote(1500, 3 * 1024 * 1024));
  }
}

describe("when the owner of objects is killed", () => {
  test("by kill(actor), nobody here reads what it had put once that has resolved, on whichever node it was", async () => {
    for (const resources of [{}, { far: 1 }]) {
      const owner = remote(Owner, { numCpus: 0, resources }).remote();
      const refs = [await get(owner.put.remote(BYTES)), await get(owner.put.remote(10))];
      for (const { ref } of refs) await get(ref);
      await kill(owner);
      for (const { ref } of refs) await expect(get(ref)).rejects.toThrow(OwnerDiedError);
    }
    await noObjectsLeft();
  });

  test("what it had put is freed on its node and where it was copied to, and who borrows it is told", async () => {
    const owner = remote(Owner, { numCpus: 0 }).remote();
    const { ref } = await get(owner.put.remote(BYTES));
    const far = remote((bytes: Uint8Array) => bytes.length, { resources: { far: 1 } });
    expect(await run(far, ref as never)).toBe(BYTES);
    expect(await objectsLeft()).toBe(2);
    process.kill(await get(owner.pid.remote()), "SIGKILL");
    // The worker that has read it may hold on to its bytes until it collects its garbage.
    await noObjectsLeft();
    await expect(get(ref)).rejects.toThrow(OwnerDiedError);
    await expect(run(far, ref as never)).rejects.toThrow(OwnerDiedError);
  });

  test("results of tasks it had submitted are freed, also those made on other nodes", async () => {
    const owner = remote(Owner, { numCpus: 0 }).remote();
    const refs = [await get(owner.submit.remote({}, BYTES)), await get(owner.submit.remote({ far: 1 }, BYTES))];
    await wait(refs.map(({ ref }) => ref), { numReturns: 2, fetchLocal: false });
    expect(await objectsLeft()).toBe(2);
    process.kill(await get(owner.pid.remote()), "SIGKILL");
    await nothingLeft();
    for (const { ref } of refs) await expect(get(ref)).rejects.toThrow(OwnerDiedError);
  });

  test("who waits for a result that will never come is told", async () => {
    const owner = remote(Owner, { numCpus: 0 }).remote();
    const { ref } = await get(owner.submitEndless.remote());
    const waiting = get(ref);
    waiting.catch(() => {});
    process.kill(await get(owner.pid.remote()), "SIGKILL");
    await expect(waiting).rejects.toThrow(OwnerDiedError);
  });

  test("a result that is made for it after its death is freed too", async () => {
    class Late {
      begun = 0;
      ended = 0;
      async late(ms: number, bytes: number) {
        this.begun += 1;
        await new Promise((resolve) => setTimeout(resolve, ms));
        this.ended += 1;
        return new Uint8Array(bytes);
      }
      counts() {
        return [this.begun, this.ended];
      }
    }
    const late = remote(Late, { numCpus: 0, maxConcurrency: 2 }).remote();
    const owner = remote(Owner, { numCpus: 0 }).remote();
    await get(owner.submitTo.remote(late as never));
    await expect.poll(() => get(late.counts.remote())).toEqual([1, 0]);
    process.kill(await get(owner.pid.remote()), "SIGKILL");
    await expect.poll(() => get(late.counts.remote())).toEqual([1, 1]);
    await nothingLeft();
  });

  test("small values that came with their refs go too, but for those that are kept", async () => {
    class Small {
      async make() {
        const [gone, kept] = [await put("gone"), await put("kept")];
        await kept.detach();
        return { gone, kept };
      }
      pid() {
        return process.pid;
      }
    }
    const owner = remote(Small, { numCpus: 0 }).remote();
    const { gone, kept } = await get(owner.make.remote());
    expect(await get([gone, kept])).toEqual(["gone", "kept"]);
    process.kill(await get(owner.pid.remote()), "SIGKILL");
    await expect.poll(() => get(gone).catch((error: Error) => error.constructor)).toBe(OwnerDiedError);
    expect(await get(kept)).toBe("kept");
    await free(kept);
  });

  test("what it had made for others stays", async () => {
    const make = remote((bytes: number) => ({ pid: process.pid, bytes: new Uint8Array(bytes) }), { maxRetries: 0 });
    const ref = make.remote(BYTES);
    process.kill((await get(ref)).pid, "SIGKILL");
    expect((await get(ref)).bytes.length).toBe(BYTES);
    expect(await objectsLeft()).toBe(1);
  });
});

describe("refs that attempts were given", () => {
  /** Holds on to what the attempt was given until this process collects garbage. */
  const readSecond = remote(async ({ refs }: { refs: ObjectRef<Uint8Array>[] }) => {
    const { length } = await get(refs[0]);
    if (getRuntimeContext().attempt === 0) throw new Error("once more");
    return length;
  }, { maxRetries: 2, retryExceptions: true, retryDelayMs: 10 });

  class Reader {
    tries = 0;
    async read({ refs }: { refs: ObjectRef<Uint8Array>[] }) {
      const { length } = await get(refs[0]);
      if ((this.tries += 1) === 1) throw new Error("once more");
      return length;
    }
  }

  test("are given back by each attempt, also by those that failed and were followed by another", async () => {
    const ref = await put(new Uint8Array(BYTES));
    expect(await run(readSecond, { refs: [ref] })).toBe(BYTES);
    const reader = remote(Reader, { numCpus: 0, resources: { far: 1 }, maxTaskRetries: 2, retryExceptions: true }).remote();
    expect(await get(reader.read.remote({ refs: [ref] }))).toBe(BYTES);
    ref.release();
    await expect.poll(objectsLeft, { interval: 100, timeout: 60_000 }).toBe(0);
  }, 90_000);

  test("are given back by the end of a node, also where nothing else of it was known here", async () => {
    class Keeper {
      kept: ObjectRef[] = [];
      keep({ refs }: { refs: ObjectRef[] }) {
        return this.kept.push(...refs);
      }
    }
    const keeper = remote(Keeper, { numCpus: 0, resources: { far: 1 } }).remote();
    const ref = await put(new Uint8Array(BYTES));
    await get(keeper.keep.remote({ refs: [ref] }));
    ref.release();
    expect(await objectsLeft()).toBe(1);
    const far = (await list.nodes()).find(({ resources }) => resources.far !== undefined);
    await cluster.removeNode(far?.id as string, { graceful: false });
    await noObjectsLeft();
  });
});
