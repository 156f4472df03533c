// Transfers as machines: a few nodes that ask each other for chunks, in rounds, in any order, dying on the way.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ChunkSet, CopyDirectory, Transfer, type ChunkAsk, type PartOf } from "../../../runtime/core/index.ts";

const ORIGIN = "origin";

interface Receiver {
  readonly id: string;
  readonly transfer: Transfer;
  /** Chunks on their way to it, the oldest first. */
  readonly asks: ChunkAsk[];
  readonly failed: Set<string>;
  sentBytes: number;
}

/** Nodes with one chunk of bandwidth in and out a round. */
class Swarm {
  readonly chunks: number;
  readonly directory = new CopyDirectory(ORIGIN);
  readonly receivers = new Map<string, Receiver>();
  readonly written = new Map<string, number[]>();
  readonly sent = new Map<string, number>();
  rounds = 0;

  constructor(chunks: number, nodes: number) {
    this.chunks = chunks;
    for (let index = 0; index < nodes; index += 1) this.join(`n${index}`);
  }

  join(id: string): void {
    const { sources, order } = this.directory.join(id, []);
    const transfer = new Transfer(this.chunks, order);
    this.receivers.set(id, { id, transfer, asks: [], failed: new Set(), sentBytes: 0 });
    this.written.set(id, []);
    for (const source of sources) transfer.found(source, this.hasOf(source));
  }

  hasOf(source: string): PartOf | undefined {
    const other = this.receivers.get(source)?.transfer;
    if (source === ORIGIN || other?.isDone) return undefined;
    return { has: ChunkSet.from(this.chunks, other!.here.toBytes()), claimed: other!.claimed };
  }

  /** Its asks fail everywhere, and those who had it get others. */
  die(id: string): void {
    this.receivers.delete(id);
    this.directory.ended(id, false);
    for (const { asks, transfer, failed, id: mine } of this.receivers.values()) {
      if (!transfer.sources.includes(id)) continue;
      transfer.gone(id);
      failed.add(id);
      for (let at = asks.length - 1; at >= 0; at -= 1) if (asks[at].source === id) asks.splice(at, 1);
      for (const source of this.directory.join(mine, [...failed]).sources) transfer.found(source, this.hasOf(source));
    }
  }

  get isDone(): boolean {
    return [...this.receivers.values()].every(({ transfer }) => transfer.isDone);
  }

  round(): void {
    this.rounds += 1;
    for (const { transfer, asks } of this.receivers.values()) {
      for (let ask = transfer.next(); ask !== undefined; ask = transfer.next()) asks.push(ask);
    }
    const busy = new Set<string>();
    for (const receiver of this.receivers.values()) this.#serve(receiver, busy);
  }

  /** One chunk comes, from the first source that has sent nothing in this round; news are free. */
  #serve({ id, transfer, asks }: Receiver, busy: Set<string>): void {
    let got = false;
    for (const ask of [...asks]) {
      if (ask.chunk !== undefined && (got || busy.has(ask.source))) continue;
      asks.splice(asks.indexOf(ask), 1);
      // Both hear what the other has.
      const other = this.receivers.get(ask.source)?.transfer;
      transfer.heard(ask.source, this.hasOf(ask.source));
      if (other !== undefined && !other.isDone) {
        other.found(id, this.hasOf(id));
        other.heard(id, this.hasOf(id));
      }
      if (ask.chunk !== undefined) {
        busy.add(ask.source);
        got = true;
        this.sent.set(ask.source, (this.sent.get(ask.source) ?? 0) + 1);
      }
      if (!transfer.arrived(ask, 0)) continue;
      this.written.get(id)!.push(ask.chunk as number);
      transfer.written(ask.chunk as number);
      if (transfer.isDone) this.directory.ended(id, true);
    }
  }
}

function roundsFor(nodes: number, chunks: number): Swarm {
  const swarm = new Swarm(chunks, nodes);
  while (!swarm.isDone && swarm.rounds < 100 * chunks) swarm.round();
  return swarm;
}

describe("a broadcast", () => {
  test("costs the time of one copy and a little, which grows with the logarithm of the receivers", () => {
    const chunks = 256;
    for (const nodes of [1, 2, 4, 8, 16, 32, 64]) {
      const { rounds, sent } = roundsFor(nodes, chunks);
      expect(rounds, `${nodes} receivers`).toBeLessThanOrEqual(chunks + 48 * Math.log2(nodes));
      expect(sent.get(ORIGIN), `${nodes} receivers`).toBeLessThanOrEqual(chunks + 16);
    }
  });

  test("brings each chunk once to who lives, whichever sources die when", () => {
    const life = fc.record({
      chunks: fc.integer({ min: 1, max: 80 }), nodes: fc.integer({ min: 1, max: 12 }),
      deaths: fc.array(fc.record({ round: fc.nat({ max: 60 }), node: fc.nat({ max: 11 }) }), { maxLength: 8 }),
      comers: fc.array(fc.integer({ min: 0, max: 60 }), { maxLength: 4 }),
    });
    fc.assert(fc.property(life, ({ chunks, nodes, deaths, comers }) => {
      const swarm = new Swarm(chunks, nodes);
      while (swarm.rounds < 60 || !swarm.isDone) {
        const dying = deaths.filter(({ round }) => round === swarm.rounds).map(({ node }) => `n${node}`);
        for (const node of dying) if (swarm.receivers.has(node)) swarm.die(node);
        for (const [index, round] of comers.entries()) if (round === swarm.rounds) swarm.join(`late${index}`);
        swarm.round();
        expect(swarm.rounds).toBeLessThan(60 + 20 * chunks);
      }
      const every = Array.from({ length: chunks }, (_, chunk) => chunk);
      for (const id of swarm.receivers.keys()) expect(swarm.written.get(id)!.toSorted((a, b) => a - b)).toEqual(every);
    }), { numRuns: 100 });
  });
});

describe("a transfer", () => {
  const askAll = (transfer: Transfer): ChunkAsk[] => {
    const asks: ChunkAsk[] = [];
    for (let ask = transfer.next(); ask !== undefined; ask = transfer.next()) asks.push(ask);
    return asks;
  };

  test("goes on with what is missing when its source is gone", () => {
    const transfer = new Transfer(10, 0);
    transfer.found("a", undefined);
    const [first, second] = askAll(transfer);
    for (const ask of [first, second]) if (transfer.arrived(ask, 0)) transfer.written(ask.chunk as number);
    transfer.gone("a");
    expect(transfer.isIdle).toBe(true);
    expect(transfer.next()).toBeUndefined();
    transfer.found("b", undefined);
    const seen: number[] = [];
    for (let asks = askAll(transfer); asks.length > 0; asks = askAll(transfer)) {
      for (const ask of asks.filter((one) => transfer.arrived(one, 0))) {
        seen.push(ask.chunk as number);
        transfer.written(ask.chunk as number);
      }
    }
    expect(seen).toEqual([2, 3, 4, 5, 6, 7, 8, 9]);
    expect(transfer.isDone).toBe(true);
  });

  test("asks again for what came damaged, and takes one answer of two", () => {
    const transfer = new Transfer(1, 0);
    transfer.found("a", undefined);
    const ask = transfer.next() as ChunkAsk;
    transfer.missed(ask);
    expect(transfer.next()).toEqual(ask);
    // It is late; another has it too.
    transfer.late(ask);
    expect(transfer.next()).toBeUndefined();
    transfer.found("b", undefined);
    const other = transfer.next() as ChunkAsk;
    expect(other).toEqual({ source: "b", chunk: 0 });
    expect([transfer.arrived(other, 0), transfer.arrived(ask, 0)]).toEqual([true, false]);
    expect(transfer.isIdle).toBe(false);
  });

  test("listens to who has nothing for it, once", () => {
    const transfer = new Transfer(40, 0);
    const has = new ChunkSet(40);
    transfer.found("part", { has: new ChunkSet(40), claimed: has });
    expect(askAll(transfer)).toEqual([{ source: "part", chunk: undefined }]);
    has.add(33);
    transfer.heard("part", { has, claimed: has });
    expect(transfer.arrived({ source: "part", chunk: undefined }, 0)).toBe(false);
    expect(askAll(transfer)).toEqual([{ source: "part", chunk: 33 }]);
  });
});

describe("a set of chunks", () => {
  test("finds what a plain set would", () => {
    const indexes = (length: number) => fc.uniqueArray(fc.nat({ max: length - 1 }));
    const sets = fc.integer({ min: 1, max: 100 }).chain((length) => fc.tuple(
      fc.constant(length), fc.nat({ max: length - 1 }), indexes(length), indexes(length), indexes(length),
    ));
    fc.assert(fc.property(sets, ([length, start, own, within, outside]) => {
      const setOf = (list: readonly number[]) => list.reduce((set, one) => (set.add(one), set), new ChunkSet(length));
      const inOrder = [...own].sort((one, other) => ((one - start + length) % length) - ((other - start + length) % length));
      const expected = inOrder.find((one) => within.includes(one) && !outside.includes(one));
      expect(setOf(own).first(start, setOf(within), [setOf(outside)])).toBe(expected);
      expect(ChunkSet.from(length, setOf(own).toBytes())).toEqual(setOf(own));
      expect(ChunkSet.full(length).hasBeyond(setOf(own))).toBe(own.length < length);
    }));
  });
});
