// Ctrl-C in a driver. The first cancels what is pending and says what that was, so that the program can end by its own ways; if
// it has not after a while, it is ended. The second ends it at once. A program that listens for SIGINT itself is left alone.

import { native } from "../../native/index.ts";
import type { Clock } from "../seams.ts";

/** As shells tell of a program that SIGINT ended. */
const INTERRUPTED = 130;
const GRACE_MS = 3000;
const NAMES_SHOWN = 5;

export interface InterruptsParts {
  readonly clock: Clock;
  /** Cancels everything; gives how many there were of each name. */
  readonly cancel: () => ReadonlyMap<string, number>;
  /** Leaves the cluster. */
  readonly leave: () => Promise<void>;
}

/** Returns what ends it. Without the addon nothing is listened for: a program that computes would not hear the signal at all. */
export function onInterrupt({ clock, cancel, leave }: InterruptsParts): () => void {
  let isFirst = true;
  let isOver = false;
  const heard = (): void => {
    native?.interruptSeen();
    if (process.listenerCount("SIGINT") > 1) return;
    if (!isFirst) process.exit(INTERRUPTED);
    isFirst = false;
    // However the program ends now.
    process.once("exit", () => void (process.exitCode = INTERRUPTED));
    const cancelled = cancel();
    if (cancelled.size > 0) process.stderr.write(`${textOf(cancelled)}\n`);
    clock.after(cancelled.size === 0 ? 0 : GRACE_MS, () => {
      const end = (): void => process.exit(INTERRUPTED);
      leave().then(end, end);
    });
  };
  // Only the main thread has signals.
  const begin = async (): Promise<void> => {
    const { isMainThread } = await import("node:worker_threads");
    if (!isMainThread || isOver) return;
    process.on("SIGINT", heard);
    native?.watchInterrupts();
  };
  if (native?.watchInterrupts !== undefined) void begin();
  return () => {
    isOver = true;
    process.off("SIGINT", heard);
  };
}

function textOf(cancelled: ReadonlyMap<string, number>): string {
  const all = [...cancelled].map(([name, count]) => (count === 1 ? name : `${name} ×${count}`));
  const shown = all.slice(0, NAMES_SHOWN).join(", ");
  const more = all.length > NAMES_SHOWN ? `, and ${all.length - NAMES_SHOWN} other names` : "";
  const count = [...cancelled.values()].reduce((sum, one) => sum + one, 0);
  return `troupe: interrupted; ${count} pending ${count === 1 ? "task or call is" : "tasks and calls are"} cancelled ` +
    `(${shown}${more}). Once more ends the program at once`;
}
