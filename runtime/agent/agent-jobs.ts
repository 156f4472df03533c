// What an agent knows of jobs: their namespaces, which drivers of this node they belong to, where their log lines go, and under
// which number the store keeps what their dead processes made.

import type { LogLines } from "../transport/index.ts";

export class AgentJobs {
  readonly #nodeId: string;
  readonly #namespaces = new Map<string, string>();
  /** Nodes whose agents their drivers talk to. */
  readonly #homes = new Map<string, string>();
  /** Jobs of the drivers of this node, by their process. */
  readonly #drivers = new Map<string, string>();
  readonly #heirs = new Map<string, number>();

  constructor(nodeId: string) {
    this.#nodeId = nodeId;
  }

  /** The head tells every job of the cluster. */
  begun(jobId: string, namespace: string, home: string): void {
    this.#namespaces.set(jobId, namespace);
    this.#homes.set(jobId, home);
  }

  ended(jobId: string): void {
    this.#namespaces.delete(jobId);
    this.#homes.delete(jobId);
  }

  /** What a worker is told of the job it adopts. */
  adoption(jobId: string): { jobId: string; namespace: string } {
    return { jobId, namespace: this.#namespaces.get(jobId) ?? "" };
  }

  registered(driver: string, jobId: string): void {
    this.#drivers.set(driver, jobId);
  }

  driverGone(driver: string): void {
    this.#drivers.delete(driver);
  }

  ofDriver(driver: string): string | undefined {
    return this.#drivers.get(driver);
  }

  /** The heir, in the store's sense, of a job's dead processes. */
  heirOf(jobId: string): number {
    const known = this.#heirs.get(jobId);
    if (known !== undefined) return known;
    const heir = -1 - this.#heirs.size;
    this.#heirs.set(jobId, heir);
    return heir;
  }

  /** It has begun and not ended. */
  isLive(jobId: string): boolean {
    return this.#namespaces.has(jobId);
  }

  /** Where its driver is reached. */
  homeOf(jobId: string): string {
    return this.#homes.get(jobId) ?? driverNodeOf(jobId);
  }

  /** The other node whose driver reads these lines. */
  elsewhere(lines: LogLines): string | undefined {
    const node = this.homeOf(lines.jobId);
    return node === this.#nodeId || node === "" ? undefined : node;
  }
}

/** A job's id ends with the node of its driver. */
export function driverNodeOf(jobId: string): string {
  return jobId.slice(jobId.lastIndexOf("-") + 1);
}
