// Quotas of jobs: the shell of scheduler/quota-book.ts.

import {
  addResources, formatResources, NO_RESOURCES, QuotaBook, type QuotaEffect, type QuotaReport, type Resources, resourcesFit,
} from "../../scheduler/index.ts";
import { InfeasibleError } from "../errors.ts";
import type { Channel } from "../transport/index.ts";

export interface HeadQuotasParts {
  readonly channelOf: (node: string) => Channel | undefined;
}

export class HeadQuotas {
  readonly #parts: HeadQuotasParts;
  readonly #book = new QuotaBook();

  constructor(parts: HeadQuotasParts) {
    this.#parts = parts;
  }

  begun(jobId: string, quota: Resources | undefined): void {
    if (quota !== undefined) this.#book.begun(jobId, quota);
  }

  /** All that an earlier head knew is back or dead. */
  open(): void {
    this.#tell(this.#book.open());
  }

  ended(jobId: string): void {
    this.#book.ended(jobId);
  }

  reported(node: string, report: QuotaReport): void {
    this.#tell(this.#book.reported(node, report));
  }

  nodeGone(node: string): void {
    this.#tell(this.#book.nodeGone(node));
  }

  /** @throws InfeasibleError for bundles that a job may never hold together. */
  checkGroup(jobId: string, bundles: readonly Resources[]): void {
    const limit = this.#book.limitOf(jobId);
    if (limit === undefined) return;
    const all = bundles.reduce(addResources, NO_RESOURCES);
    const within = Object.fromEntries(Object.entries(all).filter(([name]) => name in limit));
    if (resourcesFit(within, limit)) return;
    const text = `the bundles of the placement group hold ${formatResources(all)} together, and the quota of its job is `;
    throw new InfeasibleError(text + formatResources(limit));
  }

  #tell(effects: readonly QuotaEffect[]): void {
    for (const { node, ...share } of effects) this.#parts.channelOf(node)?.send("quotaShare", share);
  }
}
