// The poller: given writes and reads, how often the loop is kept turning.

import { availableParallelism } from "node:os";
import { describe, expect, it } from "vitest";
import type { Clock } from "../../../runtime/seams.ts";
import { LoopPoller } from "../../../runtime/transport/loop-poller.ts";

/** Counts how often it is asked: once when a moment starts, and at each turn of it. */
class CountingClock implements Clock {
  time = 0;
  asked = 0;
  now(): number {
    this.asked++;
    return this.time;
  }
  wallNow(): number { return this.time; }
  after(): { cancel(): void } { return { cancel() {} }; }
  soon(callback: () => void): void { setImmediate(callback); }
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** How many of `writes` kept the loop turning. `answered`: a read arrives within each moment. */
async function momentsOf(writes: number, answered: boolean, enabled = true): Promise<number> {
  const clock = new CountingClock();
  const poller = new LoopPoller(clock, enabled);
  let moments = 0;
  for (let i = 0; i < writes; i++) {
    const before = clock.asked;
    poller.expect();
    if (clock.asked > before) moments++;
    if (answered) poller.arrived();
    clock.time += 1;
    await turn();
  }
  return moments;
}

describe.runIf(availableParallelism() > 1)("the loop poller", () => {
  it("polls after every write while answers come at once", async () => {
    expect(await momentsOf(200, true)).toBe(200);
  });

  it("all but stops when they do not", async () => {
    const moments = await momentsOf(2_000, false);
    expect(moments).toBeGreaterThan(5);
    expect(moments).toBeLessThan(20);
  });

  it("does nothing when switched off", async () => {
    expect(await momentsOf(50, true, false)).toBe(0);
  });
});
