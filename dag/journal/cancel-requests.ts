// Requests to cancel runs that other processes carry out. Who carries a run out looks for them with each of its beats, and takes
// one away when the end of the run is in its journal: until then whoever goes on with the run finds it again.

import { kv } from "../../sdk/index.ts";
import { cancelKey, type Lease, leaseKey } from "./records.ts";

interface CancelRequest {
  readonly reason: string;
}

/** A run that this process carries out. */
export interface Cancellable {
  /** Resolves when it is kept. */
  cancel(reason: string): Promise<void>;
}

/** Asks whoever has this lease. False when nobody has it any more. */
export function requestCancel(runId: string, lease: Lease, reason: string): Promise<boolean> {
  const request: CancelRequest = { reason };
  return kv.batch([
    { type: "check", key: leaseKey(runId), value: lease },
    { type: "set", key: cancelKey(runId), value: request },
  ]);
}

export async function isRequested(runId: string): Promise<boolean> {
  return (await kv.get(cancelKey(runId))) !== undefined;
}

export class CancelRequests {
  readonly #runs = new Map<string, Cancellable>();

  hear(runId: string, run: Cancellable): void {
    this.#runs.set(runId, run);
  }

  forget(runId: string, run: Cancellable): void {
    if (this.#runs.get(runId) === run) this.#runs.delete(runId);
  }

  async look(): Promise<void> {
    if (this.#runs.size === 0) return;
    for await (const [key, { reason }] of kv.scan<CancelRequest>(cancelKey(""))) {
      await this.#runs.get(key.slice(cancelKey("").length))?.cancel(reason).then(() => kv.delete(key));
    }
  }
}
