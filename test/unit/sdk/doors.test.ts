// Wrong options are refused where they are given: one sentence names the option, the value and what is allowed.

import { describe, expect, it } from "vitest";
import {
  ActorPool, cancel, Counter, createBuffer, Histogram, inGroup, InvalidArgumentError, kv, list, mapAll, onNode, remote,
  submitCapacity,
} from "../../../sdk/index.ts";
import { restoreGroup } from "../../../sdk/placement-groups.ts";
import { testCluster } from "../../../sdk/testing/index.ts";

const add = remote((x: number) => x + 1);
const group = restoreGroup("g", [{ CPU: 10_000 }, { CPU: 10_000 }]);
const wrong = <T>(value: unknown): T => value as T;

async function drained(values: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of values);
}

const refused: Record<string, [given: () => unknown, names: string]> = {
  "cancel: an option of another name": [() => cancel([], wrong({ forced: true })), "forced"],
  "cancel: force": [() => cancel([], wrong({ force: 1 })), "force must be true or false, not 1"],
  "onNode: soft": [() => onNode("n", wrong({ soft: "yes" })), 'soft must be true or false, not "yes"'],
  "onNode: an option of another name": [() => onNode("n", wrong({ hard: true })), "hard"],
  "inGroup: no such bundle": [() => inGroup(group, { bundleIndex: 2 }), "bundleIndex must be a whole number from 0 to 1"],
  "inGroup: an option of another name": [() => inGroup(group, wrong({ bundle: 0 })), "bundle"],
  "labelSelector: a list that is not closed": [() => add.options({ labelSelector: { zone: "in(a" } }), "labelSelector"],
  "labelSelector: a number": [() => add.options({ labelSelector: wrong({ zone: 1 }) }), "labelSelector"],
  "createBuffer: a size that is none": [() => createBuffer("lots"), 'not "lots"'],
  "kv.scan: limit": [() => drained(kv.scan("", { limit: -1 })), "limit must be a whole number of 0 or more, not -1"],
  "kv.scan: an option of another name": [() => drained(kv.scan("", wrong({ count: 1 }))), "count"],
  "submitCapacity: nothing": [() => submitCapacity(wrong({})), "maxPending"],
  "submitCapacity: no options": [() => submitCapacity(wrong(undefined)), "maxPending"],
  "submitCapacity: an option of another name": [() => submitCapacity(wrong({ maxPending: 1, max: 1 })), "max is not known"],
  "mapAll: an option of another name": [() => mapAll(add, [1], wrong({ parallel: 2 })), "parallel"],
  "mapAll: no function": [() => mapAll(wrong(5), [1]), "expected a remote function, not 5"],
  "mapAll: no values": [() => mapAll(add, wrong(5)), "iterable of values, not 5"],
  "ActorPool: no actors": [() => new ActorPool(wrong(5)), "expected a list of actors, not 5"],
  "metrics: an option of another name": [() => new Counter("doors_a", wrong({ tag: ["k"] })), "tag is not known"],
  "metrics: tags": [() => new Counter("doors_b", wrong({ tags: "k" })), 'tags must be a list, not "k"'],
  "metrics: buckets of a counter": [() => new Counter("doors_c", wrong({ buckets: [1] })), "buckets"],
  "metrics: buckets": [() => new Histogram("doors_d", wrong({ buckets: 5 })), "buckets must be a list, not 5"],
  "list: an option of another name": [() => list.tasks(wrong({ limt: 2 })), "limt"],
  "list: limit": [() => list.tasks({ limit: 0 }), "limit"],
  "list: a field that such rows have not": [() => list.tasks({ filters: wrong({ colour: "red" }) }), "no field colour"],
  "testCluster: an option of another name": [() => testCluster(wrong({ node: [] })), "node"],
  "testCluster: an option of a node": [() => testCluster({ nodes: [wrong({ numCpu: 1 })] }), "numCpu"],
  "testCluster: storage": [() => testCluster(wrong({ storage: "redis" })), "storage"],
};

describe("what is wrong is refused at the door", () => {
  for (const [name, [given, names]] of Object.entries(refused)) {
    it(name, async () => {
      const thrown = await (async () => given())().then(() => undefined, (error: unknown) => error);
      expect(thrown).toBeInstanceOf(InvalidArgumentError);
      expect((thrown as Error).message).toContain(names);
    });
  }

  it("what is given as undefined is not given", () => {
    expect(onNode("n", { soft: undefined })).toEqual({ kind: "node", node: "n", soft: false });
    expect(inGroup(group, { bundleIndex: undefined, captureChildTasks: undefined }).bundle).toBe(-1);
  });
});
