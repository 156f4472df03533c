// What has happened in the cluster: which nodes, jobs, actors and groups came, changed and went lately, for people to read.

import type { Clock } from "../seams.ts";

export type EventKind =
  | "node-joined" | "node-draining" | "node-died" | "job-started" | "job-ended" | "actor-restarting" | "actor-died"
  | "group-created" | "group-rescheduling" | "group-removed";

interface ClusterEvent {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly kind: EventKind;
  /** Of the node, job, actor or group. */
  readonly id: string;
  readonly text: string;
}

const EVENTS_KEPT = 1000;

export class HeadEvents {
  readonly #clock: Clock;
  readonly #events: ClusterEvent[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  tell(kind: EventKind, id: string, text: string): void {
    this.#events.push({ at: this.#clock.wallNow(), kind, id, text });
    if (this.#events.length > EVENTS_KEPT) this.#events.shift();
  }

  /** For the state API, the newest first. */
  rows(): object[] {
    return [...this.#events].reverse();
  }
}
