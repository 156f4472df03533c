// Objects that their owner looks for in the cluster: a copy that was given away is never lost with an answer.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { ObjectSearch } from "../../../runtime/agent/objects/object-search.ts";
import { DeadlineError } from "../../../runtime/errors.ts";
import type { Caller, Channel, FindObjects, NodeInfo } from "../../../runtime/transport/index.ts";
import { StoreNode } from "../../crash/fixtures/store-node.ts";
import { FaultyDisk } from "./fixtures.ts";

const CAPACITY = 8 * 1024 * 1024;

let folder: string;
let nodes: { readonly node: StoreNode; readonly close: () => Promise<void> }[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "object-search-"));
  nodes = [];
});
afterEach(async () => {
  for (const { close } of nodes) await close();
  rmSync(folder, { recursive: true });
});

async function started(name: string): Promise<StoreNode> {
  const node = new StoreNode(name, folder, CAPACITY, new FaultyDisk(), () => {});
  const listener = await node.listen();
  const close = async () => {
    node.close();
    await listener.close();
    node.host.close();
  };
  nodes.push({ node, close });
  return node;
}

/** Asks `other`, which forgets to answer the first `lost` times. */
function searchAt(own: StoreNode, other: StoreNode, lost: number, asked: { times: number }): ObjectSearch {
  const call = async (_channel: Channel, _name: string, body: unknown) => {
    const places = other.objects.findHere(body as FindObjects);
    asked.times += 1;
    if (asked.times <= lost) throw new DeadlineError("no answer", { call: "findObjects", timeoutMs: 1 });
    return { places };
  };
  return new ObjectSearch({
    nodeId: "own", objects: own.objects, caller: { call } as unknown as Caller,
    peers: {
      connect: async () => ({}) as Channel,
      nodes: () => [{ id: "own", state: "ALIVE" }, { id: "other", state: "ALIVE" }] as unknown as NodeInfo[],
    },
  });
}

it("gives the copy that was given away in an answer that nobody heard", async () => {
  const [own, other, source] = [await started("own"), await started("other"), await started("source")];
  await other.dial("source");
  const value = await source.put(1_000_000, 7);
  expect(await other.isRight(value)).toBe(true);
  const asked = { times: 0 };
  const wanted = { places: [value.stored], owner: "", ownerNode: "", here: false } as unknown as FindObjects;
  const found = await searchAt(own, other, 2, asked).find(wanted);
  const [place] = (found as { places: { places: typeof value.stored[] } }).places.places;
  expect([asked.times, place.node, place.size]).toEqual([3, "other", 1_000_000]);
  expect(other.host.whereabouts(place)).toBe("here");
  // It is its owner's: the end of the source's object is not its end.
  source.free(value);
  other.objects.free({ node: "source", slots: [value.stored.slot], generations: [value.stored.generation] }, true);
  expect(other.host.whereabouts(place)).toBe("here");
  other.objects.free({ node: "other", slots: [place.slot], generations: [place.generation] }, false);
  expect(other.host.whereabouts(place)).toBe("gone");
});

it("gives up on a node that never answers", async () => {
  const [own, other] = [await started("own"), await started("other")];
  const asked = { times: 0 };
  const place = { node: "source", slot: 1, generation: 1, size: 10, sum: 0 };
  const search = searchAt(own, other, Number.POSITIVE_INFINITY, asked);
  const found = await search.find({ places: [place], here: false } as unknown as FindObjects);
  expect(found).toEqual({ places: { places: [{ node: "" }] } });
  expect(asked.times).toBe(4);
});
