// What is given to calls that wait, cancel, end and find: wrong options are refused, by rejection where a promise is returned.

import { afterAll, beforeAll, expect, test } from "vitest";
import {
  actorState, asCompleted, cancel, createBuffer, explain, first, free, get, getActor, getObject, getPlacementGroup, getRange,
  getSettled, init, InvalidArgumentError, isInitialized, kill, mapAll, NotFoundError, ObjectFreedError, placementGroup, put,
  ready, remote, scope, Semaphore, shutdown, submitCapacity, wait, type ObjectRef,
} from "troupe";

beforeAll(() => init({ numCpus: 2 }));
afterAll(() => shutdown());

const same = remote((value: unknown) => value);
class Cell {
  get(): number {
    return 1;
  }
}

async function all(values: AsyncIterable<unknown>): Promise<void> {
  for await (const _value of values);
}

/** Every wait of the API, by the name that its errors have. */
async function waits(): Promise<Record<string, (options: never) => Promise<unknown>>> {
  const ref = await put(1);
  const bytes = await put(new Uint8Array(10));
  const stream = remote(function* () {
    for (;;) yield 1;
  }).remote();
  const cell = remote(Cell).remote();
  const semaphore = new Semaphore(1000);
  return {
    "get ": (options) => get(ref, options),
    "get": (options) => get([ref], options),
    "get  ": (options) => ref.value(options),
    "wait": (options) => wait([ref], options),
    "getSettled": (options) => getSettled([ref], options),
    "first": (options) => first([ref], options),
    "asCompleted": (options) => all(asCompleted([ref], options)),
    "put": (options) => put(1, options),
    "createBuffer": async (options) => (await createBuffer(10, options)).abort(),
    "getRange": (options) => getRange(bytes, 0, 1, options),
    "next": (options) => stream.next(options),
    "ready": (options) => ready(cell, options),
    "mapAll": async (options) => mapAll(same, [1], options),
    "Semaphore.acquire": (options) => semaphore.acquire(options),
  };
}

test("every wait takes timeoutMs and signal, and nothing it does not know", async () => {
  const wrong: [string, unknown][] = [
    ["timeoutMs", -1], ["timeoutMs", "5"], ["timeoutMs", null], ["timeoutMs", NaN], ["signal", 5], ["signal", null],
    ["timeout", 5],
  ];
  for (const [name, act] of Object.entries(await waits())) {
    for (const [option, value] of wrong) {
      await expect(act({ [option]: value } as never), `${name} ${option}`).rejects.toThrow(
        new RegExp(`^${name.trim()} option ${option} (must be|is not known)`),
      );
    }
    for (const given of [null, 5, "x"]) await expect(act(given as never), name).rejects.toThrow(InvalidArgumentError);
    for (const given of [undefined, {}, { timeoutMs: undefined, signal: undefined }, { timeoutMs: Infinity }]) {
      await act(given as never);
    }
  }
  const group = await placementGroup([{ CPU: 1 }]);
  await expect(group.ready({ timeoutMs: -1 })).rejects.toThrow(/timeoutMs/);
  await group.remove();
  await expect(submitCapacity({ maxPending: 1, timeout: 5 } as never)).rejects.toThrow(/timeout is not known/);
});

test("a wait without end, or for months, does not end at once", async () => {
  const slow = remote(() => new Promise<number>((resolve) => setTimeout(resolve, 300, 1)));
  expect(await get(slow.remote(), { timeoutMs: Infinity })).toBe(1);
  expect(await get(slow.remote(), { timeoutMs: 2 ** 32 })).toBe(1);
});

test("what ends and finds takes only what it knows", async () => {
  const cell = remote(Cell).remote();
  for (const given of [{ force: 1 }, { forced: true }, null]) {
    await expect(cancel(same.remote(1), given as never)).rejects.toThrow(InvalidArgumentError);
  }
  for (const given of [{ noRestart: 1 }, { norestart: true }, null]) {
    await expect(kill(cell, given as never)).rejects.toThrow(InvalidArgumentError);
  }
  for (const given of [null, undefined, 5, {}]) await expect(kill(given as never)).rejects.toThrow(/not an actor handle/);
  for (const find of [getActor, getObject, scope, getPlacementGroup]) {
    for (const given of [{ namespace: "" }, { ns: "x" }, null]) {
      await expect(find("x", given as never), find.name).rejects.toThrow(InvalidArgumentError);
    }
    for (const name of ["", 5, undefined]) await expect(find(name as never), find.name).rejects.toThrow(InvalidArgumentError);
  }
  for (const given of [null, 5, {}]) {
    for (const act of [wait, getSettled, first, (refs: ObjectRef[]) => all(asCompleted(refs))]) {
      await expect(act(given as never)).rejects.toThrow(/expected a list of refs/);
    }
  }
  for (const given of [put(1), new Map([["a", await put(1)]]), cell, same, new Set(), undefined, 5]) {
    await expect(get(given as never)).rejects.toThrow(/get: expected a ref, or a list or record of refs, not /);
  }
  await expect(get(put(1) as never)).rejects.toThrow(/await it first/);
  expect(() => cell.get.options({ concurrencyGroup: "gone" }).remote()).toThrow(/^call option concurrencyGroup: .* "gone"/);
  expect(await get(cell.get.remote())).toBe(1);
});

test("a released ref is refused wherever it is used", async () => {
  const ref: ObjectRef<number> = await put(1);
  ref.release();
  ref.release();
  for (const act of [
    () => get(ref), () => get([ref]), () => ref.value(), () => wait([ref]), () => getSettled([ref]), () => put([ref]),
    () => cancel(ref), () => ref.detach(), () => free([ref]), () => explain(ref),
  ]) {
    const used = act();
    await expect(used, String(act)).rejects.toThrow(ObjectFreedError);
    await expect(used).rejects.toThrow("this handle was released");
    await expect(used).rejects.toMatchObject({ freedBy: "release" });
  }
  expect(() => same.remote(ref)).toThrow(ObjectFreedError);
  expect(() => same.remote({ ref })).toThrow(ObjectFreedError);
});

test("refs, handles and streams of an ended session are refused at once, and start no other one", async () => {
  const done = await put(7);
  const endless = remote(() => new Promise(() => {})).remote();
  const stream = remote(function* () {
    yield 1;
  }).remote();
  const cell = remote(Cell).remote();
  await ready(cell);
  const waiting = [get(endless), get([done, endless]), ready(cell).then(() => stream.next()).then(() => get(endless))];
  for (const wait of waiting) wait.catch(() => {});
  await shutdown();
  for (const wait of waiting) await expect(wait).rejects.toThrow(NotFoundError);
  for (const act of [
    () => get(done), () => get(endless), () => get([done, endless]), () => wait([done]), () => first([done]),
    () => getRange(done as never, 0, 1),
    () => stream.next(), () => ready(cell), () => actorState(cell), () => kill(cell), async () => get(cell.get.remote()),
    () => cancel(done), () => cancel(endless), () => free([done]), () => done.detach(), () => explain(done),
    () => explain(endless),
  ]) {
    await expect((async () => act())(), String(act)).rejects.toThrow(NotFoundError);
  }
  expect((await getSettled([endless]))[0]).toMatchObject({ status: "rejected", reason: { code: "NOT_FOUND" } });
  expect(isInitialized()).toBe(false);
  done.release();
  stream.release();
  cell[Symbol.dispose]();
});
