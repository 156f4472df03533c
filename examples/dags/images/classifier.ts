// A classifier of two parts: filters that stay as they are, and a head that is trained on what they see.

import { PIXELS, SIDE } from "./dataset.ts";

export interface Samples {
  /** One row of features after the other. */
  readonly x: Float64Array;
  readonly y: Uint8Array;
}

export interface Head {
  readonly rate: number;
  /** The last one stands alone. */
  readonly weights: Float64Array;
}

export interface Score {
  readonly auc: number;
  readonly accuracy: number;
}

const FILTERS = 8;
const POOL = 4;
const CELLS = SIDE / POOL;
export const FEATURES = CELLS * CELLS * (FILTERS + 1);
const ROUNDS = 150;
const DECAY = 1e-3;

/** Always the same numbers between -1 and 1. */
function numbers(count: number, seed: number): Float64Array {
  let state = seed;
  return Float64Array.from({ length: count }, () => (state = (state * 48271) % 2147483647) / 1073741823.5 - 1);
}

const filters = Array.from({ length: FILTERS }, (_, i) => numbers(9, 1000 + i * 77));

/** Means of the pixels and of what each filter sees, in cells of 4 × 4. */
export function featuresOf(pixels: Uint8Array): Float64Array {
  if (pixels.length !== PIXELS) throw new RangeError(`an image of ${pixels.length} pixels, not ${PIXELS}`);
  const found = new Float64Array(FEATURES);
  const at = (row: number, column: number): number => (
    row < 0 || column < 0 || row >= SIDE || column >= SIDE ? 0 : pixels[row * SIDE + column] / 255
  );
  for (let row = 0; row < SIDE; row += 1) {
    for (let column = 0; column < SIDE; column += 1) {
      const cell = Math.floor(row / POOL) * CELLS + Math.floor(column / POOL);
      found[cell] += at(row, column) / (POOL * POOL);
      filters.forEach((filter, f) => {
        let sum = 0;
        for (let i = 0; i < 9; i += 1) sum += filter[i] * at(row + Math.floor(i / 3) - 1, column + (i % 3) - 1);
        found[(f + 1) * CELLS * CELLS + cell] += Math.max(0, sum) / (POOL * POOL);
      });
    }
  }
  return found;
}

/** What nobody trained. */
export function untrained(): Head {
  return { rate: 0, weights: numbers(FEATURES + 1, 4242) };
}

export function trained({ x, y }: Samples, rate: number): Head {
  const weights = new Float64Array(FEATURES + 1);
  for (let round = 0; round < ROUNDS; round += 1) {
    const slope = new Float64Array(FEATURES + 1);
    for (let i = 0; i < y.length; i += 1) {
      const row = x.subarray(i * FEATURES, (i + 1) * FEATURES);
      const error = chance(weights, row) - y[i];
      for (let c = 0; c < FEATURES; c += 1) slope[c] += error * row[c];
      slope[FEATURES] += error;
    }
    for (let c = 0; c <= FEATURES; c += 1) weights[c] -= rate * (slope[c] / y.length + DECAY * weights[c]);
  }
  return { rate, weights };
}

export function scoreOf({ weights }: Head, { x, y }: Samples): Score {
  const chances = Array.from(y, (label, i) => ({ label, p: chance(weights, x.subarray(i * FEATURES, (i + 1) * FEATURES)) }));
  const right = chances.filter(({ label, p }) => (p > 0.5 ? 1 : 0) === label).length;
  return { auc: areaUnder(chances), accuracy: right / y.length };
}

function chance(weights: Float64Array, row: Float64Array): number {
  let sum = weights[FEATURES];
  for (let c = 0; c < FEATURES; c += 1) sum += weights[c] * row[c];
  return 1 / (1 + Math.exp(-sum));
}

/** How often one of the class is above one of the other; a tie is half. */
function areaUnder(chances: readonly { readonly label: number; readonly p: number }[]): number {
  const [ones, zeros] = [1, 0].map((label) => chances.filter((one) => one.label === label).map(({ p }) => p));
  const wins = ones.reduce((sum, a) => sum + zeros.reduce((all, b) => all + (a > b ? 1 : a === b ? 0.5 : 0), 0), 0);
  return wins / (ones.length * zeros.length);
}
