// A stand-in for the agent: carries out what the queue answers, and remembers what is out in the world.

import {
  type LeaseEffect, type LeaseEvent, type LeaseOrder, LeaseQueue, type LeaseQueueOptions, type NodeView, parseResources,
  type Resources,
} from "../../../scheduler/index.ts";

export function units(amounts: Record<string, number>): Resources {
  const parsed = parseResources(amounts);
  if ("text" in parsed) throw new Error(parsed.text);
  return parsed.resources;
}

export function order(more: Partial<LeaseOrder> = {}): LeaseEvent & { kind: "requested" } {
  return {
    kind: "requested", origin: "driver", schedulingClass: 1, resources: units({ CPU: 1 }), wanted: 1, strategy: undefined,
    jobId: "job", environment: "", name: "f", hops: 0, graceMs: 1000, ...more,
  };
}

export function nodeView(id: string, total: Record<string, number>, available = total, more: Partial<NodeView> = {}): NodeView {
  return { id, state: "ALIVE", total: units(total), available: units(available), labels: {}, ...more };
}

type Of<K extends LeaseEffect["kind"]> = Extract<LeaseEffect, { kind: K }>;

export class QueueHarness {
  readonly queue: LeaseQueue;
  /** Grants whose lease is out. */
  readonly granted = new Map<string, Of<"grant">>();
  readonly booting: string[] = [];
  readonly log: LeaseEffect[] = [];
  /** Workers start the moment they are asked for, and are ready at once. */
  bootAtOnce = true;
  #workers = 0;
  #leases = 0;

  constructor(total: Record<string, number>, options: Partial<LeaseQueueOptions> = {}) {
    this.queue = new LeaseQueue({
      nodeId: "here", total: units(total), labels: {}, nextLease: () => `L${this.#leases += 1}`, nextRandom: () => 0, ...options,
    });
  }

  /** The effects of these events, and of the starts they caused. */
  step(...events: readonly LeaseEvent[]): LeaseEffect[] {
    const effects = this.queue.step(...events);
    for (const effect of effects) {
      if (effect.kind === "grant") this.granted.set(effect.lease, effect);
      if (effect.kind === "startWorker") this.#start(effects, effect);
    }
    this.queue.validate();
    this.log.push(...effects);
    return effects;
  }

  of<K extends LeaseEffect["kind"]>(kind: K, effects: readonly LeaseEffect[] = this.log): Of<K>[] {
    return effects.filter((effect): effect is Of<K> => effect.kind === kind);
  }

  /** The owner gives a lease back and keeps its order. */
  giveBack(lease: string): LeaseEffect[] {
    this.granted.delete(lease);
    return this.step({ kind: "leaseReturned", lease });
  }

  boot(worker: string, jobId?: string, environment?: string): LeaseEffect[] {
    this.booting.splice(this.booting.indexOf(worker), 1);
    return this.step({ kind: "workerReady", worker, jobId, environment });
  }

  #start(effects: LeaseEffect[], start: Of<"startWorker">): void {
    const worker = `w${this.#workers += 1}`;
    const more = this.queue.step({ kind: "workerStarting", worker });
    if (this.bootAtOnce) {
      more.push(...this.queue.step({ kind: "workerReady", worker, jobId: start.jobId, environment: start.environment }));
    } else {
      this.booting.push(worker);
    }
    // Appended to the list that `step` is going through.
    effects.push(...more);
  }
}
