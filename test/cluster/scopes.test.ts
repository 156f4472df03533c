// Scopes: what is made for one lives until it is freed, wherever it was made and whoever ends before.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  findObjects, free, get, InvalidArgumentError, list, ObjectFreedError, placeOfRef, put, remote, run, scope, type Scope, wait,
} from "troupe";
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

async function nothingLeft(): Promise<void> {
  await expect.poll(objectsLeft, { interval: 50 }).toBe(0);
}

/** Puts things into a scope, and is killed. */
class Maker {
  pid() {
    return process.pid;
  }
  async put(into: Scope, bytes: number) {
    const large = await put(new Uint8Array(bytes).fill(7), { scope: into });
    return { large, small: await put({ small: true }, { scope: into }) };
  }
  submit(into: Scope, bytes: number) {
    const make = remote((length: number) => new Uint8Array(length).fill(9), { scope: into, resources: { far: 1 }, numCpus: 0 });
    return { ref: make.remote(bytes) };
  }
}

describe("a scope", () => {
  test("keeps what a process put for it when that process is killed, small and large, until it is freed", async () => {
    const run42 = await scope("run-42");
    const maker = remote(Maker, { numCpus: 0 }).remote();
    const { large, small } = await get(maker.put.remote(run42, BYTES));
    process.kill(await get(maker.pid.remote()), "SIGKILL");
    await expect.poll(async () => (await list.actors())[0].state).toBe("DEAD");
    expect((await get(large))[BYTES - 1]).toBe(7);
    expect(await get(small)).toEqual({ small: true });
    await run42.free();
    await expect(get(large)).rejects.toThrow(ObjectFreedError);
    await expect(get(small)).rejects.toMatchObject({ freedBy: "scope", message: expect.stringContaining('scope "run-42"') });
    await nothingLeft();
  });

  test("keeps results of tasks on other nodes when who submitted them is killed", async () => {
    const run42 = await scope("run-42");
    const maker = remote(Maker, { numCpus: 0 }).remote();
    const { ref } = await get(maker.submit.remote(run42, BYTES));
    expect((await get(ref))[0]).toBe(9);
    process.kill(await get(maker.pid.remote()), "SIGKILL");
    await expect.poll(async () => (await list.actors())[0].state).toBe("DEAD");
    expect((await get(ref))[BYTES - 1]).toBe(9);
    const length = remote((bytes: Uint8Array) => bytes.length, { resources: { far: 1 } });
    expect(await run(length, ref as never)).toBe(BYTES);
    await run42.free();
    await run42.free();
    await expect(get(ref)).rejects.toThrow(ObjectFreedError);
    await nothingLeft();
  });

  test("keeps what was made without it when its owner lets go; an owner that lives makes again what is lost", async () => {
    const run42 = await scope("run-42");
    const made = remote((length: number) => new Uint8Array(length).fill(5), { resources: { far: 1 }, maxRetries: 3 });
    const [ref, other] = [made.remote(BYTES), made.remote(BYTES)];
    await wait([ref, other], { numReturns: 2 });
    await run42.keep([ref, other]);
    const place = placeOfRef(ref);
    ref.release();
    const [found] = await findObjects([place]);
    expect(((await get(found!)) as Uint8Array)[BYTES - 1]).toBe(5);
    const far = (await list.nodes()).find(({ isHead }) => !isHead)!;
    await cluster.addNode({ numCpus: 1, resources: { far: 1 } });
    await cluster.removeNode(far.id, { graceful: false });
    expect((await get(other))[BYTES - 1]).toBe(5);
    await run42.free();
  });

  test("with replicas it has objects on several nodes before anybody hears of them, also on one that just came", async () => {
    const far = (await list.nodes()).find(({ isHead }) => !isHead)!;
    await cluster.addNode({ numCpus: 1 });
    const wide = await scope("wide", { replicas: 3 });
    const there = { resources: { far: 1 }, maxRetries: 0 };
    const make = remote(async (to: Scope) => [await put(new Uint8Array(BYTES).fill(7), { scope: to })], there);
    const made = remote((length: number) => new Uint8Array(length).fill(8), { ...there, scope: wide }).remote(BYTES);
    const [stored] = await run(make, wide);
    await wait([made], { fetchLocal: false });
    for (const { id } of [made, stored]) {
      const kept = (await list.objects({ filters: { id } })).find(({ lifetime }) => lifetime === "scope");
      expect(kept?.locations).toHaveLength(3);
    }
    await cluster.removeNode(far.id, { graceful: false });
    expect([(await get(made))[0], (await get(stored))[0]]).toEqual([8, 7]);
    await wide.free();
    await expect(get(stored)).rejects.toThrow(ObjectFreedError);
    await expect(scope("wide", { replicas: 0 })).rejects.toThrow("replicas must be a whole number of 1 or more");
  });

  test("is the same for everybody who asks for its name, until it is freed", async () => {
    const one = await scope("run-42");
    const idOf = remote(async (name: string) => (await scope(name)).id, { resources: { far: 1 } });
    expect(await run(idOf, "run-42")).toBe(one.id);
    await one.free();
    const other = await scope("run-42");
    expect(other.id).not.toBe(one.id);
    const inIt = await put("x".repeat(100_000), { scope: other });
    await one.free();
    expect(await get(inIt)).toHaveLength(100_000);
    await expect(put("late", { scope: one })).rejects.toThrow(ObjectFreedError);
    const late = remote(() => "late", { scope: one });
    await expect(run(late)).rejects.toThrow(ObjectFreedError);
    await other.free();
    await nothingLeft();
  });

  test("keeps what is inside its objects", async () => {
    const run42 = await scope("run-42");
    const outer = remote(async (into: Scope) => {
      const inner = await put("y".repeat(200_000));
      const later = remote(async () => {
        await new Promise((resolve) => setTimeout(resolve, 300));
        return "later";
      }, { numCpus: 0 }).remote();
      return { inner, later, pid: process.pid };
    }, { scope: run42, maxRetries: 0 });
    const ref = outer.remote(run42);
    const { inner, later, pid } = await get(ref);
    expect(await get(later)).toBe("later");
    await expect.poll(async () => (await list.objects({ filters: { lifetime: "scope" } })).length).toBe(3);
    process.kill(pid, "SIGKILL");
    await expect.poll(async () => (await list.workers()).some((worker) => worker.pid === pid)).toBe(false);
    expect(await get(inner)).toHaveLength(200_000);
    expect(await get(later)).toBe("later");
    expect(await get((await get(ref)).inner)).toHaveLength(200_000);
    await run42.free();
    await nothingLeft();
  });

  test("keeps items of streams, several results, and is told of in the list of objects", async () => {
    const run42 = await scope("run-42");
    const count = remote(function* (to: number) {
      for (let index = 0; index < to; index += 1) yield index;
    }, { scope: run42 });
    const refs = [];
    for await (const ref of count.remote(3)) refs.push(ref);
    const [a, b] = remote(() => ["a", "b"], { scope: run42 }).options({ numReturns: 2 }).remote();
    expect(await get([...refs, a, b])).toEqual([0, 1, 2, "a", "b"]);
    await expect.poll(async () => (await list.objects({ filters: { scopes: "run-42" } })).length).toBe(5);
    const [row] = await list.objects({ filters: { id: a.id } });
    expect(row).toMatchObject({ lifetime: "scope", scopes: ["run-42"], state: "READY" });
    await run42.free();
    await expect(get(refs[0])).rejects.toThrow(ObjectFreedError);
    expect(await list.objects()).toEqual([]);
    await nothingLeft();
  });

  test("keeps thousands of things made at once, also by workers that end after a few tasks", async () => {
    const run42 = await scope("run-42");
    const few = remote((value: number) => ({ value }), { scope: run42, maxCalls: 5 });
    const tasks = Array.from({ length: 30 }, (_, value) => few.remote(value));
    const gone = Array.from({ length: 3 }, (_, value) => few.remote(value));
    const puts = await Promise.all(Array.from({ length: 3000 }, (_, value) => put(value, { scope: run42 })));
    expect(await get(puts)).toEqual(puts.map((_ref, value) => value));
    expect(await get([...tasks, ...gone])).toHaveLength(33);
    expect(await objectsLeft()).toBe(3033);
    // That some are freed is no reason to let go of the others.
    await free(gone);
    const [left] = await Promise.allSettled([put(1, { scope: run42 })]);
    expect(left.status).toBe("fulfilled");
    expect(await get(tasks)).toEqual(tasks.map((_ref, value) => ({ value })));
    await run42.free();
    await expect(put(1, { scope: run42 })).rejects.toThrow(ObjectFreedError);
    await nothingLeft();
  });

  test("is freed also on a node that is out of reach meanwhile", async () => {
    const run42 = await scope("run-42");
    const make = remote((bytes: number) => new Uint8Array(bytes), { scope: run42, resources: { far: 1 } });
    const refs = [make.remote(BYTES), make.remote(10)];
    await wait(refs, { numReturns: 2, fetchLocal: false });
    expect(await objectsLeft()).toBe(2);
    const [far] = (await list.nodes()).filter(({ isHead }) => !isHead);
    await cluster.partition([far.id]);
    await run42.free();
    for (const ref of refs) await expect(get(ref)).rejects.toThrow(ObjectFreedError);
    await cluster.heal();
    await nothingLeft();
    expect((await list.nodes()).map(({ state }) => state)).toEqual(["ALIVE", "ALIVE"]);
  });

  test("has a name that is a text", async () => {
    await expect(scope("")).rejects.toThrow(InvalidArgumentError);
    await expect(put(1, { scope: "run-42" as never })).rejects.toThrow(/option scope must be a scope/);
    expect(() => remote(() => 1, { scope: {} as never })).toThrow(InvalidArgumentError);
  });
});
