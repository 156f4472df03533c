// Scopes and names at the head: what one head has answered the next one knows, and nothing of a cluster before.

import { expect, test } from "vitest";
import { InvalidArgumentError, NameTakenError, NotFoundError } from "../../../runtime/errors.ts";
import { HeadLifetimes } from "../../../runtime/head/head-lifetimes.ts";
import { MemoryStorage, OpenStorage } from "../../../runtime/storage/index.ts";
import type { CallHandlers, CallName } from "../../../runtime/transport/index.ts";

class Storages {
  readonly storage = new MemoryStorage();
  readonly ended: string[] = [];
  #ids = 0;

  /** A head over what those before it wrote. */
  async head(clusterId = "c1"): Promise<(name: CallName, body: object) => Promise<Record<string, never>>> {
    const open = await OpenStorage.open(this.storage);
    const random = { next: () => 0, hex: () => `id${(this.#ids += 1)}` };
    const lifetimes = new HeadLifetimes({ clusterId, random, storage: open, scopeEnded: ({ id }) => this.ended.push(id) });
    const calls: CallHandlers = lifetimes.calls();
    return async (name, body) => (await calls[name]?.(body as never, undefined as never)) as Record<string, never>;
  }
}

const object = (number: number) => ({ owner: "p", ownerNode: "n", object: number });

test("a scope has one id until it ends, over any number of heads", async () => {
  const storages = new Storages();
  const first = await storages.head();
  const asked = { name: "run", namespace: "ns" };
  const [one, same] = await Promise.all([first("openScope", asked), first("openScope", asked)]);
  expect(same).toEqual(one);
  const { id } = one.lifetime as { id: string };
  const second = await storages.head();
  expect(await second("openScope", asked)).toEqual(one);
  expect(await second("openScope", { ...asked, namespace: "other" })).not.toEqual(one);
  expect(await second("findEnded", { ids: [id, "unknown"] })).toEqual({ ended: { ids: ["unknown"] } });
  await second("endScope", { id });
  await second("endScope", { id });
  expect(storages.ended).toEqual([id, id]);
  const third = await storages.head();
  expect(await third("findEnded", { ids: [id] })).toEqual({ ended: { ids: [id] } });
  expect(await third("openScope", asked)).not.toEqual(one);
});

test("a name is one object's until it is given up, over any number of heads", async () => {
  const storages = new Storages();
  const first = await storages.head();
  const named = { name: "n", namespace: "ns" };
  await first("nameObject", { ...named, object: object(1) });
  await first("nameObject", { ...named, object: object(1) });
  await first("nameObject", { name: "also", namespace: "ns", object: object(1) });
  await expect(first("nameObject", { ...named, object: object(2) })).rejects.toThrow(NameTakenError);
  const second = await storages.head();
  expect(await second("findNamed", named)).toEqual({ held: object(1) });
  await expect(second("findNamed", { ...named, namespace: "" })).rejects.toThrow(NotFoundError);
  await second("unname", { objects: [object(1), object(7)] });
  await expect(second("findNamed", { name: "also", namespace: "ns" })).rejects.toThrow(NotFoundError);
  await second("nameObject", { ...named, object: object(2) });
  expect(await (await storages.head())("findNamed", named)).toEqual({ held: object(2) });
});

test("of two that ask for a name at once one gets it", async () => {
  const head = await new Storages().head();
  const asked = [1, 2, 3].map((number) => head("nameObject", { name: "n", namespace: "", object: object(number) }));
  expect((await Promise.allSettled(asked)).map(({ status }) => status)).toEqual(["fulfilled", "rejected", "rejected"]);
});

test("a cluster that begins anew over the same storage knows nothing of the one before, and leaves nothing of it", async () => {
  const storages = new Storages();
  const before = await storages.head("c1");
  const scope = await before("openScope", { name: "run", namespace: "" });
  await before("nameObject", { name: "n", namespace: "", object: object(1) });
  const after = await storages.head("c2");
  await expect(after("findNamed", { name: "n", namespace: "" })).rejects.toThrow(NotFoundError);
  expect(await after("openScope", { name: "run", namespace: "" })).not.toEqual(scope);
  const open = await OpenStorage.open(storages.storage);
  expect(open.scan({ prefix: "object/", limit: 10 })).toEqual([]);
  expect(open.scan({ prefix: "scope/", limit: 10 })).toHaveLength(1);
});

test("names are keys of the storage: they have a length", async () => {
  const head = await new Storages().head();
  for (const name of ["", "x".repeat(2000)]) {
    await expect((async () => head("openScope", { name, namespace: "" }))()).rejects.toThrow(InvalidArgumentError);
  }
});
