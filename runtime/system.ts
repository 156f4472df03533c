// The real clock and the real randomness: what the seams are in every process outside the simulator.

import { randomBytes } from "node:crypto";
import type { Clock, Random, Timer } from "./seams.ts";

export const systemClock: Clock = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  after(delayMs: number, callback: () => void, hold = false): Timer {
    const timer = setTimeout(callback, delayMs);
    if (!hold) timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
  soon(callback: () => void): void {
    setImmediate(callback);
  },
};

export const systemRandom: Random = {
  next: () => randomBytes(6).readUIntBE(0, 6) / 2 ** 48,
  hex: (bytes: number) => randomBytes(bytes).toString("hex"),
};
