// The real clock and the real randomness: what the seams are in every process outside the simulator.

import { randomBytes } from "node:crypto";
import type { Clock, Random, Timer } from "./seams.ts";

/** Node takes what is longer for a millisecond. */
const LONGEST_MS = 2 ** 31 - 1;

/** As Node has them: tests put false ones in their place, under which no cluster could move. */
const { setTimeout, clearTimeout, setImmediate } = globalThis;
const now = performance.now.bind(performance);

export const systemClock: Clock = {
  now,
  wallNow: () => Date.now(),
  after(delayMs: number, callback: () => void, hold = false): Timer {
    const due = now() + delayMs;
    let timer: NodeJS.Timeout;
    const arm = (ms: number) => {
      timer = setTimeout(ring, Math.min(ms, LONGEST_MS));
      if (!hold) timer.unref();
    };
    // Node counts from when its loop last turned: by this clock that may be too early.
    const ring = () => {
      const left = due - now();
      if (left > 0) arm(left);
      else callback();
    };
    arm(delayMs);
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
