// The processes that carry runs out, and which of them are gone: a beat that stands still, or a job that has ended.

import { randomBytes } from "node:crypto";
import { getRuntimeContext, isInitialized, kv, list } from "../../sdk/index.ts";
import { CancelRequests } from "./cancel-requests.ts";
import { holderKey } from "./records.ts";

export interface HolderRecord {
  readonly jobId: string;
  readonly nodeId: string;
  readonly pid: number;
  /** Of a service: its name; there is one process of it at a time. */
  readonly service?: string | undefined;
  readonly beat: number;
}

const BEAT_MS = 3000;
/** A beat that has stood still for so long has stopped. */
const LEASE_MS = 12_000;

export class Holder {
  readonly id = randomBytes(8).toString("hex");
  /** Looked for with each beat. */
  readonly cancels = new CancelRequests();
  readonly #service: string | undefined;
  readonly #seen = new Map<string, { readonly beat: number; readonly since: number }>();
  #timer: NodeJS.Timeout | undefined;
  #beginning: Promise<void> | undefined;
  #beat = 0;
  #jobId = "";

  constructor(service?: string) {
    this.#service = service;
  }

  /** From now on its beat goes, in the cluster that this process is in. Idempotent. */
  begin(): Promise<void> {
    const jobId = isInitialized() ? getRuntimeContext().jobId : "";
    if (this.#beginning === undefined || this.#jobId !== jobId) this.#beginning = this.#begin();
    this.#jobId = jobId;
    return this.#beginning;
  }

  async #begin(): Promise<void> {
    try {
      // The first use of a cluster may be what starts it.
      await kv.get(holderKey(this.id));
      await this.#tell();
      this.#jobId = getRuntimeContext().jobId;
    } catch (error) {
      this.#beginning = undefined;
      throw error;
    }
    clearInterval(this.#timer);
    // A beat that can't be told is told by the next one, and so is what could not be looked for.
    this.#timer = setInterval(() => void this.#tell().then(() => this.cancels.look()).catch(() => {}), BEAT_MS);
    this.#timer.unref();
  }

  /** Whether it is known to be gone. Called again and again it sees beats that stand still. */
  async isGone(holder: string): Promise<boolean> {
    if (holder === this.id) return false;
    const record = await kv.get<HolderRecord>(holderKey(holder));
    if (record === undefined) return true;
    if (record.service !== undefined && record.service === this.#service) return true;
    if (record.service === undefined && !(await isJobRunning(record.jobId))) return true;
    const seen = this.#seen.get(holder);
    if (seen?.beat !== record.beat) this.#seen.set(holder, { beat: record.beat, since: performance.now() });
    return seen?.beat === record.beat && performance.now() - seen.since > LEASE_MS;
  }

  async #tell(): Promise<void> {
    const { jobId, nodeId } = getRuntimeContext();
    this.#beat += 1;
    const record: HolderRecord = { jobId, nodeId, pid: process.pid, service: this.#service, beat: this.#beat };
    await kv.set(holderKey(this.id), record);
  }
}

async function isJobRunning(jobId: string): Promise<boolean> {
  const [job] = await list.jobs({ filters: { id: jobId } });
  return job?.state === "RUNNING";
}
