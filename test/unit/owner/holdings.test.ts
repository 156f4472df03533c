// Own objects in stores: found while anything reaches their entries, given up when a private one was collected.

import { expect, test } from "vitest";
import { Holdings } from "../../../runtime/owner/objects/holdings.ts";
import { ObjectEntry } from "../../../runtime/owner/objects/object-ref.ts";

const entryOf = (number: number) => new ObjectEntry(undefined as never, "owner", "node", number, 0);
const place = (node: string, slot: number) => ({ node, slot, generation: 1, size: 100_000 });

function world() {
  const registered = new Map<ObjectEntry, unknown>();
  const gone: number[] = [];
  const freed: unknown[] = [];
  let told: (held: never) => void = () => {};
  const holdings = new Holdings(
    (collected) => {
      told = collected as never;
      return {
        register: (target, held) => void registered.set(target as ObjectEntry, held),
        unregister: (target) => registered.delete(target as ObjectEntry),
      };
    },
    ({ slot }) => void freed.push(slot),
    (number) => void gone.push(number),
  );
  /** As the garbage collector does, some time after. */
  const collect = (entry: ObjectEntry) => {
    const held = registered.get(entry);
    if (registered.delete(entry)) told(held as never);
  };
  return { holdings, gone, freed, collect };
}

test("a private entry that was collected gives up its place of that time, once", () => {
  const { holdings, gone, freed, collect } = world();
  const [moved, lost] = [entryOf(1), entryOf(2)];
  for (const entry of [moved, lost]) holdings.placed(entry, place("a", entry.number));
  holdings.placed(moved, place("b", 7));
  holdings.lost(lost);
  for (const entry of [moved, lost, moved]) collect(entry);
  expect({ gone, freed }).toEqual({ gone: [1, 2], freed: [7] });
  expect([holdings.find(1), holdings.find(2)]).toEqual([undefined, undefined]);
});

test("a shared or freed entry is not given up by its collection", () => {
  const { holdings, gone, freed, collect } = world();
  const [shared, released] = [entryOf(1), entryOf(2)];
  for (const entry of [shared, released]) holdings.placed(entry, place("a", entry.number));
  holdings.shared(shared);
  holdings.freed(released);
  collect(shared);
  collect(released);
  expect({ gone, freed }).toEqual({ gone: [], freed: [] });
  expect(holdings.find(1)).toBe(shared);
  expect(holdings.find(2)).toBeUndefined();
});

test("an entry that was made again under the same number is not given up for the first, whose value is", () => {
  const { holdings, gone, freed, collect } = world();
  const [first, again] = [entryOf(1), entryOf(1)];
  again.shared = true;
  holdings.placed(first, place("a", 1));
  holdings.placed(again, place("b", 2));
  collect(first);
  expect({ gone, freed }).toEqual({ gone: [], freed: [1] });
  expect(holdings.find(1)).toBe(again);
});

test("those of a node are those whose values lie there now", () => {
  const { holdings } = world();
  const entries = [1, 2, 3].map(entryOf);
  for (const entry of entries) holdings.placed(entry, place("a", entry.number));
  holdings.placed(entries[1], place("b", 2));
  holdings.lost(entries[2]);
  expect(holdings.on("a")).toEqual([entries[0]]);
  expect(holdings.on("b")).toEqual([entries[1]]);
});
