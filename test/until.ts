// Waits for what comes about by itself, a while after it was set going.

import { setTimeout as delay } from "node:timers/promises";

const LOOK_EVERY_MS = 20;
/** What takes longer does not come: no test says how long anything takes. */
const WITHIN_MS = 60_000;

/** @throws Error with the text of the check when it stays false. */
export async function until(check: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = performance.now() + WITHIN_MS; !(await check()); await delay(LOOK_EVERY_MS)) {
    if (performance.now() > end) throw new Error(`it did not come to this in ${WITHIN_MS / 1000} s: ${String(check)}`);
  }
}
