// The real clocks: what is to happen after a time never happens before it.

import { expect, test } from "vitest";
import { systemClock as wallClock } from "../../dag/run/clock.ts";
import { systemClock } from "../../runtime/system.ts";

/** As a busy program does: Node's timers count from when its loop last turned. */
function block(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end;);
}

test("it rings at its time or later, also for whoever has just been busy", async () => {
  for (const delayMs of [0, 0.4, 1, 5, 17.3, 30]) {
    const early = await new Promise<number>((resolve) => {
      setImmediate(() => {
        block(20);
        const due = systemClock.now() + delayMs;
        systemClock.after(delayMs, () => resolve(Math.max(0, due - systemClock.now())));
      });
    });
    expect({ delayMs, early }).toEqual({ delayMs, early: 0 });
  }
});

test("months are no milliseconds, and what was cancelled does not ring", async () => {
  const rung: string[] = [];
  const months = systemClock.after(2 ** 31 + 5, () => rung.push("months"));
  const soon = systemClock.after(1, () => rung.push("cancelled"));
  soon.cancel();
  await new Promise<void>((resolve) => void systemClock.after(50, resolve, true));
  expect(rung).toEqual([]);
  months.cancel();
});

test("a time of the day is not before it has come", async () => {
  for (const delayMs of [-5, 0, 1, 3, 10]) {
    const early = await new Promise<number>((resolve) => {
      setImmediate(() => {
        block(20);
        const time = wallClock.now() + delayMs;
        wallClock.at(time, () => resolve(Math.max(0, time - wallClock.now())));
      });
    });
    expect({ delayMs, early }).toEqual({ delayMs, early: 0 });
  }
});
