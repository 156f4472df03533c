// Samples of values: the same for the same bytes, however they come, and others for others.

import { expect, test } from "vitest";
import { sampleSum } from "../../../runtime/owner/values/sampling.ts";

const BYTES = 1_000_000;
const filled = (value: number) => [{ bytes: new Uint8Array(BYTES).fill(value) }];

test("the same bytes have the same sum, which is never 0", () => {
  expect(sampleSum(BYTES, filled(1))).toBe(sampleSum(BYTES, filled(1)));
  for (let value = 0; value < 256; value += 1) expect(sampleSum(BYTES, filled(value))).toBeGreaterThan(0);
  expect(sampleSum(0, [])).toBeGreaterThan(0);
});

test("other bytes, another size, or a change at either end of any part have another", () => {
  const sums = new Set(Array.from({ length: 256 }, (_, value) => sampleSum(BYTES, filled(value))));
  expect(sums.size).toBe(256);
  expect(sampleSum(BYTES, filled(1))).not.toBe(sampleSum(BYTES + 1, filled(1)));
  const parts = Array.from({ length: 5 }, () => ({ bytes: new Uint8Array(BYTES) }));
  const before = sampleSum(5 * BYTES, parts);
  for (const { bytes } of parts) {
    for (const at of [0, BYTES - 1]) {
      bytes[at] = 1;
      expect(sampleSum(5 * BYTES, parts)).not.toBe(before);
      bytes[at] = 0;
    }
  }
});
