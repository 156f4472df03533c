// What arrives on a direct connection: the same however it is cut up, to the places it was given, and nothing after the end.

import { describe, expect, it } from "vitest";
import type { Place } from "../../../runtime/transport/carrier.ts";
import { DirectReader, HEAD_BYTES } from "../../../runtime/transport/direct-reader.ts";
import { randomOf } from "../../seeded.ts";

interface Sent {
  readonly frame: string;
  readonly beside: Buffer;
}

function wireOf(sent: readonly Sent[]): Buffer {
  return Buffer.concat(sent.flatMap(({ frame, beside }) => {
    const head = Buffer.alloc(HEAD_BYTES);
    head.writeUInt32LE(beside.length, 0);
    head.writeUInt32LE(Buffer.byteLength(frame), 4);
    return [head, Buffer.from(frame), beside];
  }));
}

/** Keeps what arrives, and checks that places end once. */
class Arrivals {
  readonly got: Sent[] = [];
  readonly places: { readonly place: Place; ends: number }[] = [];
  refuses = false;
  excess = 0;
  #frame = "";

  readonly reader = new DirectReader({
    frameMax: () => 100_000,
    frame: (bytes, start, end) => this.got.push({ frame: bytes.toString("latin1", start, end), beside: Buffer.alloc(0) }),
    beside: (bytes, start, end, length) => {
      if (this.refuses) return undefined;
      this.#frame = bytes.toString("latin1", start, end);
      const entry = { ends: 0, place: { bytes: new Uint8Array(length), ended: () => void (entry.ends += 1) } };
      this.places.push(entry);
      return entry.place;
    },
    arrived: (place) => this.got.push({ frame: this.#frame, beside: Buffer.from(place.bytes) }),
    tooLong: (length) => (this.excess = length),
  });

  /** As a socket does that reads to where it is told. */
  feed(bytes: Buffer, most: number): void {
    for (let at = 0; at < bytes.length;) {
      const room = this.reader.room();
      const count = Math.min(room.length, most, bytes.length - at);
      room.set(bytes.subarray(at, at + count));
      this.reader.took(count);
      at += count;
    }
  }
}

describe("a reader of a direct connection", () => {
  it.each(Array.from({ length: 40 }, (_, seed) => seed))("finds the same however the stream is cut up (seed %i)", (seed) => {
    const { below } = randomOf(seed);
    const sent = Array.from({ length: 60 }, (_, index) => ({
      frame: `${index}:`.padEnd(below(4) === 0 ? below(30_000) : below(60), "x"),
      beside: Buffer.alloc(below(3) === 0 ? below(50_000) : 0, index),
    }));
    const wire = wireOf(sent);
    const arrivals = new Arrivals();
    for (let at = 0; at < wire.length;) {
      const part = wire.subarray(at, at + 1 + below([3, 100, 20_000, 200_000][below(4)]));
      if (below(2) === 0) arrivals.feed(Buffer.from(part), 1 + below(10_000));
      else arrivals.reader.read(Buffer.from(part), part.length);
      at += part.length;
    }
    expect(arrivals.got).toEqual(sent);
    expect(arrivals.places.map(({ ends }) => ends)).toEqual(arrivals.places.map(() => 1));
  });

  it("puts nothing into a place once it has ended, and ends it once", () => {
    const arrivals = new Arrivals();
    const wire = wireOf([{ frame: "a", beside: Buffer.alloc(1000, 7) }]);
    arrivals.feed(wire.subarray(0, 500), 100);
    const [{ place }] = arrivals.places;
    const before = Buffer.from(place.bytes);
    arrivals.reader.end();
    arrivals.reader.end();
    arrivals.feed(wire.subarray(500), 100);
    expect(Buffer.from(place.bytes)).toEqual(before);
    expect([arrivals.places[0].ends, arrivals.got]).toEqual([1, []]);
  });

  it("takes nothing any more when bytes have no place, or a frame is too long", () => {
    const refusing = new Arrivals();
    refusing.refuses = true;
    refusing.feed(wireOf([{ frame: "a", beside: Buffer.alloc(10) }, { frame: "b", beside: Buffer.alloc(0) }]), 1000);
    expect(refusing.got).toEqual([]);
    for (const most of [3, 1000]) {
      const arrivals = new Arrivals();
      const head = Buffer.alloc(HEAD_BYTES);
      head.writeUInt32LE(100_001, 4);
      arrivals.feed(Buffer.concat([head, Buffer.alloc(50)]), most);
      expect([arrivals.excess, arrivals.got]).toEqual([100_001, []]);
    }
  });
});
