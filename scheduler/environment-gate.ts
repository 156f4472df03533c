// Which runtime environments workers of this node can be started in: none is, until the agent has made it.
//
// Kept by job: a job's environments are held for it, and what the agent holds for nobody it may throw away.

import type { LeaseEffect, LeaseOrder } from "./lease-messages.ts";

export class EnvironmentGate {
  readonly #ready = new Map<string, Set<string>>();
  readonly #asked = new Map<string, Set<string>>();
  #effects: LeaseEffect[] = [];

  isReady({ jobId, environment }: Pick<LeaseOrder, "jobId" | "environment">): boolean {
    return environment === "" || has(this.#ready, jobId, environment);
  }

  /** The same, and the agent is asked for one that is not, once. */
  readyOrAsk(order: LeaseOrder): boolean {
    if (this.isReady(order)) return true;
    const { jobId, environment, origin } = order;
    if (has(this.#asked, jobId, environment)) return false;
    add(this.#asked, jobId, environment);
    this.#effects.push({ kind: "prepareEnvironment", jobId, environment, origin });
    return false;
  }

  ready(jobId: string, environment: string): void {
    this.#asked.get(jobId)?.delete(environment);
    add(this.#ready, jobId, environment);
  }

  /** It could not be made, or a worker could not start in it: who asks next asks anew. */
  failed(jobId: string, environment: string): void {
    this.#asked.get(jobId)?.delete(environment);
    this.#ready.get(jobId)?.delete(environment);
  }

  forget(jobId: string): void {
    this.#ready.delete(jobId);
    this.#asked.delete(jobId);
  }

  takeEffects(): LeaseEffect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }
}

function has(sets: ReadonlyMap<string, ReadonlySet<string>>, jobId: string, environment: string): boolean {
  return sets.get(jobId)?.has(environment) ?? false;
}

function add(sets: Map<string, Set<string>>, jobId: string, environment: string): void {
  const set = sets.get(jobId);
  if (set === undefined) sets.set(jobId, new Set([environment]));
  else set.add(environment);
}
