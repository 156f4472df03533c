// The attempts of one run that are under way. One is queued until a worker runs it: it is that at once for who looks at the run,
// and is told, and kept in the journal, when it shows; what begins sooner is told when it has begun, or ended.

import type { Waiting } from "../engine/admission.ts";
import { type RunEffect, whereaboutsOf } from "../engine/events.ts";
import { type Coords, isWithin, keyOf, type Place } from "../engine/plan.ts";
import type { Attempt, Ended, Start } from "./runner.ts";
import type { HeardNotes } from "./telling.ts";
import type { StartWatch } from "./start-watch.ts";
import type { Reason } from "./why.ts";

/** A wait for the cluster that is shorter is not told by itself. */
const SHOWN_MS = 500;
/** Attempts of a task that the cluster is asked about. */
const EXPLAINED = 3;

export interface UnderWay {
  readonly of: Place;
  readonly attempt: Attempt;
  readonly waiting: Waiting;
  readonly queuedAt: number;
  /** It goes on after a wait. */
  readonly resumed: boolean;
  /** What is still to be told of its being queued. */
  queued: readonly RunEffect[];
  hasStarted: boolean;
  /** Its number, of the first start of it that the cluster makes. */
  readonly number: number;
  readonly heard: HeardNotes;
}

export interface Hearing {
  now(): number;
  /** It is queued, and has been for a while. */
  waits(one: UnderWay): void;
  started(one: UnderWay, start: Start): void;
}

export class AttemptsUnderWay {
  readonly #watch: StartWatch;
  readonly #hearing: Hearing;
  readonly #all = new Map<string, UnderWay>();
  /** Those that are not known to have started. */
  readonly #unseen = new Set<UnderWay>();
  readonly #look: () => boolean;

  constructor(watch: StartWatch, hearing: Hearing) {
    this.#watch = watch;
    this.#hearing = hearing;
    this.#look = () => this.#seen();
  }

  add(one: UnderWay): void {
    this.#all.set(keyOf(one.of.task, one.of.coords), one);
    if (one.attempt.start === undefined) return this.#hearing.started(one, { at: one.queuedAt });
    if (this.#unseen.add(one).size === 1) this.#watch.add(this.#look);
  }

  find({ task, coords }: Place): UnderWay | undefined {
    return this.#all.get(keyOf(task, coords));
  }

  /** It tells something, so it runs. False when it is not under way any more. */
  tells(one: UnderWay): boolean {
    if (this.find(one.of) !== one) return false;
    if (one.hasStarted) return true;
    this.#unseen.delete(one);
    this.#begun(one, one.attempt.start?.() ?? { at: this.#hearing.now() });
    return true;
  }

  #begun(one: UnderWay, start: Start): void {
    this.#hearing.started(one, { ...start, at: Math.max(one.queuedAt, start.at) });
  }

  /** It has ended. Gives since when it has run, when that was not told yet; undefined when it has not. */
  ended(one: UnderWay, ended: Ended): Start | undefined {
    this.#all.delete(keyOf(one.of.task, one.of.coords));
    this.#unseen.delete(one);
    if (one.hasStarted || ended.tookMs === undefined) return undefined;
    return { at: Math.max(one.queuedAt, this.#hearing.now() - Math.round(ended.tookMs)), ...whereaboutsOf(ended) };
  }

  /** What the cluster says of a few attempts of a task. */
  async explain(task: number, coords: Coords): Promise<Reason[]> {
    const of = [...this.#all.values()].filter(({ of }) => of.task === task && isWithin(of, coords));
    const asked = of.slice(0, EXPLAINED).flatMap(({ attempt }) => (attempt.explain === undefined ? [] : [attempt.explain()]));
    const told = await Promise.all(asked);
    return told.map(({ text, reasons }) => ({ kind: "cluster", text, reasons }));
  }

  /** It ends, and nobody hears of it. */
  leave(of: Place, reason: string): void {
    const one = this.find(of);
    if (one === undefined) return;
    this.#all.delete(keyOf(of.task, of.coords));
    this.#unseen.delete(one);
    one.attempt.stop(reason);
  }

  stop(reason: string): void {
    for (const { attempt } of this.#all.values()) attempt.stop(reason);
  }

  /** Nobody wants to hear of them any more. */
  quiet(): void {
    this.#unseen.clear();
    this.#watch.delete(this.#look);
  }

  /** True when there is nothing more to see. */
  #seen(): boolean {
    const now = this.#hearing.now();
    for (const one of this.#unseen) {
      const start = one.attempt.start?.();
      if (start !== undefined) {
        this.#unseen.delete(one);
        this.#begun(one, start);
      } else if (one.queued.length > 0 && now - one.queuedAt > SHOWN_MS) this.#hearing.waits(one);
    }
    return this.#unseen.size === 0;
  }
}
