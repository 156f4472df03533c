// Whose bytes come next: bounds that hold under any order of events, shares by kind, and nobody who stands still.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TRANSFER_KINDS, type TransferKind, TransferQueue } from "../../../runtime/core/index.ts";

interface Work {
  readonly kind: TransferKind;
  left: number;
  underway: number;
}

const LIMITS = { inFlightBytes: 8, askBytes: 1, activeBytes: 40 };
const kinds = fc.constantFrom(...TRANSFER_KINDS);

function queueOf(works: readonly Work[]): TransferQueue<Work> {
  const queue = new TransferQueue<Work>(LIMITS);
  for (const work of works) queue.add(work, work.kind, work.left);
  queue.begin();
  return queue;
}

function grant(queue: TransferQueue<Work>): Work | undefined {
  const granted = queue.grant((work) => (work.left > work.underway ? { bytes: 1 } : undefined));
  if (granted !== undefined) granted.item.underway += 1;
  return granted?.item;
}

function landed(queue: TransferQueue<Work>, work: Work): void {
  work.underway -= 1;
  work.left -= 1;
  queue.landed(1);
  if (work.left === 0) queue.remove(work);
}

describe("turns of transfers", () => {
  test("the bytes in flight stay below their bound, and everything ends", () => {
    const plan = fc.record({
      works: fc.array(fc.record({ kind: kinds, left: fc.integer({ min: 1, max: 30 }) }), { minLength: 1, maxLength: 12 }),
      choices: fc.infiniteStream(fc.nat({ max: 1000 })),
    });
    fc.assert(fc.property(plan, ({ works: plain, choices }) => {
      const works = plain.map((work): Work => ({ ...work, underway: 0 }));
      const queue = queueOf(works);
      for (let steps = 0; works.some(({ left }) => left > 0); steps += 1) {
        expect(steps).toBeLessThan(1000);
        while (grant(queue) !== undefined);
        expect(queue.inFlight).toBeLessThanOrEqual(LIMITS.inFlightBytes);
        const underway = works.filter(({ underway: count }) => count > 0);
        landed(queue, underway[choices.next().value % underway.length]);
        queue.begin();
      }
      expect(queue.inFlight).toBe(0);
    }));
  });

  test("a get comes before a wait, that before arguments, and the last is not starved", () => {
    const works = TRANSFER_KINDS.toReversed().map((kind): Work => ({ kind, left: 100_000, underway: 0 }));
    const queue = queueOf(works);
    const counts: Record<TransferKind, number> = { get: 0, wait: 0, argument: 0 };
    for (let turn = 0; turn < 2100; turn += 1) {
      const work = grant(queue) as Work;
      counts[work.kind] += 1;
      landed(queue, work);
    }
    expect(counts.get).toBeGreaterThan(1590);
    expect(counts.wait).toBeGreaterThan(390);
    expect(counts.argument).toBeGreaterThanOrEqual(99);
  });

  test("who had nothing to ask for has saved up no turns", () => {
    const [first, later]: Work[] = [{ kind: "get", left: 9000, underway: 0 }, { kind: "argument", left: 0, underway: 0 }];
    const queue = queueOf([first, later]);
    for (let turn = 0; turn < 5000; turn += 1) landed(queue, grant(queue) as Work);
    later.left = 1000;
    const turns = Array.from({ length: 34 }, () => {
      const work = grant(queue) as Work;
      landed(queue, work);
      return work.kind;
    });
    expect(turns.filter((kind) => kind === "argument").length).toBeLessThanOrEqual(3);
  });

  test("what is awaited more urgently moves up", () => {
    const [plain, urgent]: Work[] = [{ kind: "argument", left: 20, underway: 0 }, { kind: "argument", left: 20, underway: 0 }];
    const queue = queueOf([plain, urgent]);
    queue.raise(urgent, "get");
    queue.raise(urgent, "wait");
    const turns = Array.from({ length: 16 }, () => {
      const work = grant(queue) as Work;
      landed(queue, work);
      return work;
    });
    expect(turns.filter((work) => work === urgent).length).toBeGreaterThan(13);
  });

  test("room is for the more urgent, but each kind has one under way", () => {
    const queue = new TransferQueue<string>(LIMITS);
    queue.add("a1", "argument", 30);
    queue.add("a2", "argument", 30);
    expect(queue.begin()).toEqual(["a1"]);
    queue.add("g1", "get", 30);
    queue.add("g2", "get", 10);
    queue.add("g3", "get", 10);
    expect(queue.begin()).toEqual(["g1", "g2"]);
    queue.remove("g1");
    expect(queue.begin()).toEqual(["g3"]);
    queue.remove("a1");
    expect(queue.begin()).toEqual(["a2"]);
  });
});
