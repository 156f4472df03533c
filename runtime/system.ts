// The real clock and the real randomness: what the seams are in every process outside the simulator.

import { randomBytes } from "node:crypto";
import type { Clock, Random, Timer } from "./seams.ts";

/** The longest delay of the engine's timers. */
const DELAY_MAX_MS = 2_147_483_647;

export const systemClock: Clock = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  after(delayMs: number, callback: () => void, hold = false): Timer {
    let timer: NodeJS.Timeout;
    const begin = (leftMs: number): void => {
      // A longer delay would be taken for none.
      timer = leftMs <= DELAY_MAX_MS ? setTimeout(callback, leftMs) : setTimeout(begin, DELAY_MAX_MS, leftMs - DELAY_MAX_MS);
      if (!hold) timer.unref();
    };
    begin(delayMs);
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
