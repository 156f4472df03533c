// The runs that are kept, as any process of the cluster finds them.

import { isInitialized, kv, NotFoundError } from "../../sdk/index.ts";
import { emittedKey } from "../time/asset-log.ts";
import { type Entry, journalKey, type Lease, leaseKey, recordKey, type RunRecord } from "./records.ts";

/** @throws NotFoundError. */
export async function recordOf(runId: string): Promise<RunRecord> {
  // A cluster that this call would start knows no run.
  const record = isInitialized() ? await kv.get<RunRecord>(recordKey(runId)) : undefined;
  if (record === undefined) throw new NotFoundError(`run ${runId} is not known: it was never made, or its retention is over`);
  return record;
}

/** What is kept of all runs, or of those of one graph. */
export async function* recordsOf(dagId?: string): AsyncGenerator<RunRecord> {
  for await (const [, record] of kv.scan<RunRecord>(recordKey(""))) {
    if (dagId === undefined || record.dagId === dagId) yield record;
  }
}

/** Runs that are open, with who carries them out. */
export async function* openRuns(): AsyncGenerator<[runId: string, lease: Lease]> {
  for await (const [key, lease] of kv.scan<Lease>(leaseKey(""))) yield [key.slice(leaseKey("").length), lease];
}

export interface Page {
  readonly entries: readonly Entry[];
  /** The number of the piece after these. */
  readonly next: number;
}

/** What the journal of a run says from a piece on. */
export async function entriesOf(runId: string, from = 0): Promise<Page> {
  const entries: Entry[] = [];
  let next = from;
  const after = from === 0 ? {} : { after: journalKey(runId, from - 1) };
  for await (const [, text] of kv.scan<string>(journalKey(runId), after)) {
    entries.push(...(JSON.parse(text) as Entry[]));
    next += 1;
  }
  return { entries, next };
}

/** Takes an open run over from a holder that is gone. Undefined when somebody else was faster, or it has ended. */
export async function takeOver(runId: string, from: Lease, holder: string): Promise<RunRecord | undefined> {
  const record = await recordOf(runId);
  const lease: Lease = { holder, epoch: from.epoch + 1 };
  const next: RunRecord = { ...record, epoch: lease.epoch };
  const taken = await kv.batch([
    { type: "check", key: leaseKey(runId), value: from },
    { type: "set", key: leaseKey(runId), value: lease },
    { type: "set", key: recordKey(runId), value: next },
  ]);
  return taken ? next : undefined;
}

/** Nothing is known of it any more. */
export async function forgetRun(runId: string): Promise<void> {
  const keys: string[] = [];
  for (const prefix of [journalKey(runId), emittedKey(runId)]) for await (const [key] of kv.scan(prefix)) keys.push(key);
  for (let i = 0; i < keys.length; i += DELETED_AT_ONCE) {
    await kv.batch(keys.slice(i, i + DELETED_AT_ONCE).map((key) => ({ type: "delete", key })));
  }
  await kv.delete(recordKey(runId));
}

const DELETED_AT_ONCE = 1000;
