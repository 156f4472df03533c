// Runs of graphs that wait for assets: what such a graph has heard, and up to which event, is on the board, and changes with each
// run that is made of it.

import type { Occasion } from "../run/context.ts";
import type { DagRun } from "../run/dag-run.ts";
import { type Waits, waitsKey } from "../time/asset-log.ts";
import { type AssetEvent, type AssetExpression, AssetQueue } from "../time/assets.ts";
import type { Board, Turn } from "./board.ts";

/** Events that concern others: so many are passed over before it is told that they were heard. */
const PASSED_MAX = 100;
const TRIES = 1000;

export interface AssetGraph {
  readonly id: string;
  readonly expression: AssetExpression;
  /** Whether a further run may be under way now. */
  readonly mayBegin: () => boolean;
}

/** A graph hears what comes from now on, unless it was served before. */
export async function beginToHear(board: Board, dagId: string): Promise<void> {
  const begun: Waits = { number: await board.newestNumber(), events: [] };
  await board.cas(waitsKey(dagId), undefined, begun);
}

/** What came until now is passed over. */
export async function hearAnew(board: Board, dagId: string): Promise<void> {
  for (let tries = 0; tries < TRIES; tries += 1) {
    const before = await board.get<Waits>(waitsKey(dagId));
    const begun: Waits = { number: await board.newestNumber(), events: [] };
    if (await board.cas(waitsKey(dagId), before, begun)) return;
  }
}

/** Makes the runs that are due by the events that have come. `make`: undefined when another service has. */
export async function makeAssetRuns(
  board: Board, { id, expression, mayBegin }: AssetGraph, now: () => number,
  make: (when: Occasion, turn: Turn) => Promise<DagRun | undefined>,
): Promise<void> {
  const key = waitsKey(id);
  // Each time around something has changed, here or by another service.
  for (let tries = 0; tries < TRIES && mayBegin(); tries += 1) {
    const before = await board.get<Waits>(key);
    if (before === undefined) return beginToHear(board, id);
    const events = await board.eventsAfter(before.number);
    if (events.length === 0) return;
    const queue = new AssetQueue(expression, before.events);
    const due = events.map(([number, event]) => ({ number, reasons: queue.add(event) })).find(({ reasons }) => reasons);
    if (due === undefined) {
      const last = events.at(-1)![0];
      const isNew = queue.waiting().length > before.events.length || last - before.number > PASSED_MAX;
      const heard: Waits = { number: last, events: queue.waiting() };
      if (!isNew || (await board.cas(key, before, heard))) return;
      continue;
    }
    const after: Waits = { number: due.number, events: [] };
    await make(occasionFor(due.reasons!, now()), { key, before, after: () => after });
  }
}

function occasionFor(assetEvents: readonly AssetEvent[], now: number): Occasion {
  const logicalDate = new Date(now);
  const start = assetEvents.reduce((first, { at }) => (at < first ? at : first), logicalDate);
  return { type: "asset", logicalDate, dataInterval: { start, end: logicalDate }, assetEvents };
}
