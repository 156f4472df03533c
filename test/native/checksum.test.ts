// The addon's CRC-32 is zlib's, whatever the length, the place and what came before.

import { crc32 } from "node:zlib";
import { describe, expect, it } from "vitest";
import { native } from "../../native/index.ts";
import { randomOf } from "../seeded.ts";

const ROUNDS = 3000;
/** Every length up to here: each way through blocks, lanes and what is left of them. */
const EVERY_LENGTH = 1100;

describe.skipIf(native?.crc32 === undefined)("the addon's CRC-32", () => {
  const sum = native?.crc32 as NonNullable<NonNullable<typeof native>["crc32"]>;
  const random = randomOf(20);
  const bytes = Uint8Array.from({ length: 70_000 }, () => random.below(256));

  it("is zlib's for every length", () => {
    for (let length = 0; length <= EVERY_LENGTH; length += 1) {
      const part = bytes.subarray(3, 3 + length);
      expect([length, sum(part)]).toEqual([length, crc32(part)]);
    }
  });

  it("is zlib's at every place, and goes on from a sum before it", () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const start = random.below(1000);
      const part = bytes.subarray(start, start + random.below(60_000));
      const before = random.below(2 ** 32);
      expect(sum(part, before)).toBe(crc32(part, before));
    }
  });

  it("refuses what is no array of bytes", () => {
    expect(() => sum("text" as unknown as Uint8Array)).toThrow("array of bytes");
    expect(() => sum(new Float64Array(2) as unknown as Uint8Array)).toThrow("array of bytes");
  });
});
