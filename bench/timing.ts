// How rows are timed: as in Ray's microbenchmark, a warm-up and then windows of a least length, of which each gives one rate.

export interface Windows {
  readonly warmupSeconds: number;
  readonly seconds: number;
  readonly windows: number;
}

export const SHORT: Windows = { warmupSeconds: 0.5, seconds: 1, windows: 4 };

/** Calls a second times `multiplier`, one figure for each window. */
export async function rates(call: () => Promise<unknown>, multiplier: number, given: Windows): Promise<number[]> {
  const { warmupSeconds, seconds, windows } = given;
  let warm = 0;
  for (const started = performance.now(); performance.now() - started < warmupSeconds * 1000; warm += 1) await call();
  // The clock is not asked around every short call.
  const step = Math.floor(warm / 10) + 1;
  const found: number[] = [];
  for (let i = 0; i < windows; i += 1) {
    const started = performance.now();
    let count = 0;
    for (; performance.now() - started < seconds * 1000; count += step) for (let k = 0; k < step; k += 1) await call();
    found.push((multiplier * count * 1000) / (performance.now() - started));
  }
  return found;
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Of the population, as numpy's std. */
export function deviation(values: readonly number[]): number {
  const middle = mean(values);
  return Math.sqrt(mean(values.map((value) => (value - middle) ** 2)));
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Three significant digits, and no exponent. */
export function shown(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value) || 1)));
  return digits === 0 ? Math.round(value).toLocaleString("en-US") : value.toFixed(Math.min(4, digits));
}
