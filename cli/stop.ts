// `troupe stop`: ends the nodes that `troupe start` started here for this user. They are found by their records, never by name.

import { rmSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { Command } from "commander";
import { isRunning, readRecords, type SessionRecord } from "../runtime/driver/index.ts";
import { DeadlineError } from "../runtime/errors.ts";
import { print } from "./table.ts";

const STOP_WITHIN_MS = 10_000;
const LOOK_EVERY_MS = 20;

export function declareStop(command: Command): void {
  command
    .option("--force", "kill them at once")
    .addHelpText("after", `
Example:
  $ troupe stop`)
    .action(stop);
}

async function stop({ force }: { readonly force?: boolean }): Promise<void> {
  const { running, stale } = readRecords();
  for (const record of stale) removeSession(record);
  // The head last: nodes that lose it first would only complain.
  const others = running.filter(({ isHead }) => !isHead);
  const heads = running.filter(({ isHead }) => isHead);
  for (const records of [others, heads]) await Promise.all(records.map((record) => end(record, force === true)));
  if (stale.length > 0) print(`removed what ${counted(stale.length)} left behind that had ended before`);
  print(running.length === 0 ? "no node runs here" : `${counted(running.length)} ended`);
}

async function end(record: SessionRecord, force: boolean): Promise<void> {
  signal(record, force ? "SIGKILL" : "SIGTERM");
  const until = performance.now() + STOP_WITHIN_MS;
  while (isRunning(record)) {
    if (performance.now() > until) {
      const hint = force ? "" : "; troupe stop --force kills it";
      const which = `node ${record.nodeId} (process ${record.pid})`;
      throw new DeadlineError(`${which} did not end within ${STOP_WITHIN_MS / 1000} s${hint}`);
    }
    await delay(LOOK_EVERY_MS);
  }
  removeSession(record);
}

/** Its head and workers see its end by themselves. */
function signal(record: SessionRecord, name: NodeJS.Signals): void {
  // Looked at once more: its process id may belong to somebody else by now.
  if (!isRunning(record)) return;
  try {
    process.kill(record.pid, name);
  } catch (error) {
    // It ended just now.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function removeSession({ sessionDir }: SessionRecord): void {
  rmSync(sessionDir, { recursive: true, force: true });
}

function counted(count: number): string {
  return count === 1 ? "one node" : `${count} nodes`;
}
