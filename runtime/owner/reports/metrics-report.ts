// Tells the agent, at most once a second, what this process counted and measured: the user's metrics, and its own tasks by state.

import { MetricDeltas, type MetricChange } from "../../core/index.ts";
import type { Timer } from "../../seams.ts";
import type { Session } from "../session.ts";
import { pendingStates } from "./state-rows.ts";

const TELL_EVERY_MS = 1000;
const KEY = Symbol.for("troupe.metrics");

/** Of the user's metrics: one for all copies of the package in a process, whether or not it is in a cluster yet. */
export function metricDeltas(): MetricDeltas {
  const holder = globalThis as unknown as Record<symbol, MetricDeltas | undefined>;
  return (holder[KEY] ??= new MetricDeltas());
}

export class MetricsReport {
  readonly #session: Session;
  #timer: Timer | undefined;
  #closed = false;
  #begun = false;
  /** Tasks by state, as they were told. */
  #told = "[]";

  constructor(session: Session) {
    this.#session = session;
  }

  /** From now on what is counted in this process is told through this session. */
  begin(): void {
    this.#begun = true;
    metricDeltas().watch(() => this.touch());
    this.touch();
  }

  /** Something changed. */
  touch(): void {
    if (this.#timer !== undefined || this.#closed) return;
    this.#timer = this.#session.parts.seams.clock.after(TELL_EVERY_MS, () => {
      this.#timer = undefined;
      this.tell();
      // What is pending changes by itself.
      if (this.#told !== "[]") this.touch();
    });
  }

  /** At once. */
  tell(): void {
    const { home } = this.#session.parts;
    if (!home.open) return;
    const { changes, dropped } = metricDeltas().take();
    const own = this.#ownChanges();
    if (changes.length + own.length + dropped === 0) return;
    home.agent.send("metrics", { json: JSON.stringify({ changes: [...own, ...changes], dropped }) });
  }

  close(): void {
    if (this.#closed) return;
    this.tell();
    this.#closed = true;
    this.#timer?.cancel();
    if (this.#begun) metricDeltas().watch(undefined);
  }

  #ownChanges(): MetricChange[] {
    const { history } = this.#session;
    const changes: MetricChange[] = [];
    const states = pendingStates(this.#session);
    const told = JSON.stringify([...states]);
    if (told !== this.#told) {
      // States that nothing is in any more are told as such.
      const before = JSON.parse(this.#told) as [string, number][];
      const all = new Map([...before.map(([state]) => [state, 0] as const), ...states]);
      this.#told = told;
      changes.push({
        name: "troupe_tasks", kind: "gauge", help: "Tasks and actor calls that have not ended, by state, at who submitted them.",
        tags: ["state"], series: [...all].map(([state, value]) => ({ tags: [state], value })),
      });
    }
    const ended = history.takeEnded();
    const series = Object.entries(ended).filter(([, value]) => value > 0).map(([state, value]) => ({ tags: [state], value }));
    if (series.length > 0) {
      changes.push({
        name: "troupe_tasks_ended_total", kind: "counter", help: "Tasks and actor calls that ended, at who submitted them.",
        tags: ["state"], series,
      });
    }
    return changes;
  }
}
