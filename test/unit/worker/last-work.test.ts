// The bound on what an actor still does at its end.

import { afterEach, expect, test, vi } from "vitest";
import type { Clock } from "../../../runtime/seams.ts";
import { ENDING_MS, lastWork } from "../../../runtime/worker/last-work.ts";

/** A clock whose only timer goes off when it is told to. */
function clock(): { readonly clock: Clock; readonly timers: { ms: number; fire: () => void; cancelled: boolean }[] } {
  const timers: { ms: number; fire: () => void; cancelled: boolean }[] = [];
  const after: Clock["after"] = (ms, fire) => {
    const timer = { ms, fire, cancelled: false };
    timers.push(timer);
    return { cancel: () => void (timer.cancelled = true) } as ReturnType<Clock["after"]>;
  };
  return { clock: { after } as Clock, timers };
}

const written: string[] = [];
vi.spyOn(process.stderr, "write").mockImplementation((text) => {
  written.push(String(text));
  return true;
});
afterEach(() => void written.splice(0));

test("work that ends is awaited, and says nothing", async () => {
  const { clock: of, timers } = clock();
  await lastWork(of, "actor A", "its clean-up", Promise.resolve());
  expect([timers[0].ms, timers[0].cancelled, written]).toEqual([ENDING_MS, true, []]);
});

test("work that fails or takes too long is told, and ends all the same", async () => {
  const { clock: of, timers } = clock();
  await lastWork(of, "actor A", "its clean-up", Promise.reject(new Error("no disk")));
  const late = lastWork(of, "actor B", "running calls", new Promise(() => {}));
  timers[1].fire();
  await late;
  expect(written[0]).toMatch(/^actor A: its clean-up failed: Error: no disk/);
  expect(written[1]).toBe(`actor B: running calls did not end within ${ENDING_MS} ms\n`);
});
