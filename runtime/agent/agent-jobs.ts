// What an agent knows of jobs: their namespaces, which drivers of this node they belong to, where their log lines go, and under
// which number the store keeps what their dead processes made.

import type { LeaseEvent } from "../../scheduler/index.ts";
import type { AdoptJob, LogLines } from "../transport/index.ts";
import type { Gateways } from "./gateways.ts";

export class AgentJobs {
  readonly #gateways: Gateways;
  readonly #namespaces = new Map<string, string>();
  /** Jobs of the drivers of this node, by their process. */
  readonly #drivers = new Map<string, string>();
  readonly #heirs = new Map<string, number>();

  constructor(gateways: Gateways) {
    this.#gateways = gateways;
  }

  /** The head tells every job of the cluster, and its quota. */
  begun({ jobId, namespace, driverNode, home, quota, hasQuota }: AdoptJob): LeaseEvent {
    this.#namespaces.set(jobId, namespace);
    this.#gateways.learn(driverNode, home);
    return { kind: "jobBegun", jobId, quota: hasQuota ? quota : undefined };
  }

  all(): string[] {
    return [...this.#namespaces.keys()];
  }

  ended(jobId: string): void {
    this.#namespaces.delete(jobId);
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

  /** The node that its driver is at: a job's id ends with what the driver calls its node. */
  homeOf(jobId: string): string {
    return this.#gateways.of(jobId.slice(jobId.lastIndexOf("-") + 1));
  }

  /** The other node whose driver reads these lines. */
  elsewhere(lines: LogLines): string | undefined {
    const node = this.homeOf(lines.jobId);
    return this.#gateways.isHere(node) || node === "" ? undefined : node;
  }
}
