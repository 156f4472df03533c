// What is left of runs goes when their time is over: results first, or with them all that is known of the run. Whoever looks
// first does it; a repeat finds nothing. Code that no run and no service names any more goes too.

import { isInitialized, kv } from "../../sdk/index.ts";
import { collectPrograms } from "../journal/programs.ts";
import { servedPrograms } from "../journal/served.ts";
import { recordKey, type RunRecord } from "../journal/records.ts";
import { forgetRun, recordsOf } from "../journal/run-library.ts";
import { trimEvents } from "../time/asset-log.ts";
import { runs } from "./run-registry.ts";
import { endScopeOf } from "./run-scope.ts";

const LOOK_MS = 60_000;

/** Between looks for code that nothing needs. */
const COLLECT_MS = 3_600_000;

let isSweeping = false;
let collectedAt = 0;

/** Looks now and then, as long as this process lives for something else. */
export function sweepRuns(): void {
  if (isSweeping) return;
  isSweeping = true;
  setInterval(look, LOOK_MS).unref();
}

/** A run of this process is over: what is left of it goes in time. */
export function sweepAfter({ retention }: Pick<RunRecord, "retention">): void {
  for (const ms of new Set([retention.results, retention.record])) if (ms < LOOK_MS) setTimeout(look, ms + 1).unref();
}

function look(): void {
  if (!isInitialized()) return;
  sweepOnce(Date.now()).catch((error: unknown) => process.emitWarning(`runs whose time is over stay: ${String(error)}`));
}

/** `now`: milliseconds since the epoch. */
export async function sweepOnce(now: number): Promise<void> {
  const programs = new Set<string>();
  for await (const record of recordsOf()) {
    if (await isForgotten(record, now)) continue;
    if (record.program !== undefined) programs.add(record.program);
  }
  if (now - collectedAt < COLLECT_MS) return;
  collectedAt = now;
  for await (const hash of servedPrograms()) programs.add(hash);
  await collectPrograms(programs, now);
  await trimEvents();
}

async function isForgotten(record: RunRecord, now: number): Promise<boolean> {
  const { id, endedAt, retention, resultsFreed } = record;
  if (endedAt === undefined) return false;
  const age = now - endedAt.getTime();
  if (resultsFreed !== true && age >= Math.min(retention.results, retention.record)) await freeResults(record);
  if (age < retention.record) return false;
  runs.drop(id);
  await forgetRun(id);
  return true;
}

async function freeResults(record: RunRecord): Promise<void> {
  runs.find(record.id)?.forget();
  // A run that was gone on with meanwhile keeps what it has.
  const freed: RunRecord = { ...record, resultsFreed: true };
  if (await kv.cas(recordKey(record.id), record, freed)) await endScopeOf(record.id);
}
