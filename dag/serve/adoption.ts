// Runs of services that are gone are gone on with: by the service itself in its next life, at once, or by another one, within
// its lease. Runs of drivers wait for `resume()`.

import { kv } from "../../sdk/index.ts";
import type { HolderRecord } from "../journal/holder.ts";
import { holderKey } from "../journal/records.ts";
import { openRuns, takeOver } from "../journal/run-library.ts";
import type { DagRun } from "../run/dag-run.ts";
import type { Engine } from "../run/engine.ts";
import { goOn } from "../run/run-registry.ts";

const LOOK_MS = 2000;

/** Never ends: services live until they are killed. */
export async function adoptRuns(engine: Engine, adopted: (run: DagRun) => void): Promise<never> {
  for (;;) {
    try {
      await adoptOnce(engine, adopted);
    } catch (error) {
      process.emitWarning(`runs of services that are gone can't be looked for: ${String(error)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

async function adoptOnce(engine: Engine, adopted: (run: DagRun) => void): Promise<void> {
  const { holder } = engine.journals!;
  await holder.begin();
  for await (const [runId, lease] of openRuns()) {
    const { service } = (await kv.get<HolderRecord>(holderKey(lease.holder))) ?? {};
    if (service === undefined || !(await holder.isGone(lease.holder))) continue;
    const record = await takeOver(runId, lease, holder.id);
    if (record === undefined) continue;
    try {
      adopted(await goOn(engine, record));
    } catch (error) {
      process.emitWarning(`run ${runId} can't be gone on with: ${String(error)}`);
    }
  }
}
