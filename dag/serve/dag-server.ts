// Serves graphs: makes their runs when they are due, or when the assets they wait for have changed.

import { InvalidArgumentError, NotFoundError } from "../../sdk/index.ts";
import { type DagDefinition, dueTimes, occasionOf } from "../graph/dag.ts";
import { describeGraph, type GraphDetail, MAX_ACTIVE_RUNS, scheduleText } from "../graph/describe.ts";
import type { Clock, Timer } from "../run/clock.ts";
import { atOnce, type Occasion } from "../run/context.ts";
import type { DagRun } from "../run/dag-run.ts";
import { type AssetEvent, AssetQueue } from "../time/assets.ts";
import { dateOf } from "../time/dates.ts";
import { Schedule } from "../time/schedule.ts";
import type { Ticks } from "./ticks.ts";

export type Definition = DagDefinition<object, unknown>;

export interface ServerParts {
  readonly clock: Clock;
  readonly ticks: Ticks;
  readonly start: (definition: Definition, when: Occasion, params?: object) => Promise<DagRun>;
  /** The run of a time; undefined when it has one that was made before. */
  readonly claim: (definition: Definition, when: Occasion) => Promise<DagRun | undefined>;
}

export interface ServedDag {
  readonly id: string;
  readonly schedule: string;
  readonly tags: readonly string[];
  /** Grows with each graph of the same id. */
  readonly version: number;
  readonly paused: boolean;
  readonly next: Date | undefined;
  readonly activeRuns: number;
  readonly runs: readonly { readonly id: string; readonly state: string; readonly logicalDate: Date }[];
}

/** A run by hand. */
export interface ManualRun {
  readonly params?: Readonly<Record<string, unknown>> | undefined;
  /** Default the moment it is asked for. */
  readonly logicalDate?: Date | string | undefined;
}

interface Entry {
  definition: Definition;
  version: number;
  paused: boolean;
  schedule: Schedule | undefined;
  queue: AssetQueue | undefined;
  timer: Timer | undefined;
  active: number;
  runs: DagRun[];
  /** Of a continuous graph: settles when none of its runs is under way, so that there is one at a time. */
  loop: Promise<void>;
  /** Settles when the runs that were due are made. */
  firing: Promise<void>;
}

/** After runs could not be made. */
const AGAIN_MS = 1000;

/** Runs of a graph that are kept to be looked at. */
const RUNS_KEPT = 100;
/** Between a failed run of a continuous graph and the next. */
const CONTINUOUS_PAUSE_MS = 1000;

export class DagServer {
  readonly #parts: ServerParts;
  readonly #entries = new Map<string, Entry>();
  #stopped = false;

  constructor(parts: ServerParts) {
    this.#parts = parts;
  }

  /** Serves them from now on; one of the same id is a newer version of it. */
  async add(definitions: readonly Definition[], paused: boolean): Promise<void> {
    for (const definition of definitions) {
      const known = this.#entries.get(definition.id);
      known?.timer?.cancel();
      const isPaused = paused || (await this.#parts.ticks.isPaused(definition.id));
      const entry: Entry = {
        definition,
        version: (known?.version ?? 0) + 1,
        paused: isPaused,
        schedule: undefined,
        queue: undefined,
        timer: undefined,
        active: 0,
        runs: known?.runs ?? [],
        firing: known?.firing ?? Promise.resolve(),
        loop: known?.loop ?? Promise.resolve(),
      };
      this.#entries.set(definition.id, entry);
      if (isPaused) continue;
      await this.#on(entry);
      // What the version before has heard of is not lost.
      for (const event of known?.queue?.waiting() ?? []) entry.queue?.add(event);
    }
  }

  dags(): ServedDag[] {
    return [...this.#entries.values()].map(({ definition, version, paused, schedule, active, runs }) => ({
      id: definition.id, schedule: scheduleText(definition.schedule), tags: definition.options.tags ?? [], version, paused,
      next: schedule?.next, activeRuns: active,
      runs: runs.map((run) => ({ id: run.id, state: run.state, logicalDate: run.logicalDate })),
    }));
  }

  /** What a graph is. @throws NotFoundError. */
  describe(id: string): GraphDetail {
    return describeGraph(this.#entry(id).definition);
  }

  next(id: string, count: number): Date[] {
    return dueTimes(this.#entry(id).definition, { after: new Date(this.#parts.clock.now()), count });
  }

  async pause(id: string): Promise<void> {
    const entry = this.#entry(id);
    await this.#parts.ticks.pause(id, true);
    entry.paused = true;
    entry.timer?.cancel();
    [entry.timer, entry.schedule] = [undefined, undefined];
  }

  async unpause(id: string): Promise<void> {
    const entry = this.#entry(id);
    await this.#parts.ticks.pause(id, false);
    if (!entry.paused) return;
    entry.paused = false;
    await this.#on(entry);
  }

  /** A run by hand, also of a graph that is paused; gives its id. @throws NotFoundError; InvalidArgumentError. */
  async trigger(id: string, { params = {}, logicalDate }: ManualRun = {}): Promise<string> {
    const { clock, start } = this.#parts;
    const entry = this.#entry(id);
    const at = logicalDate === undefined ? new Date(clock.now()) : dateOf(`trigger ${id}: logicalDate`, logicalDate);
    return this.#watch(entry, await start(entry.definition, atOnce("manual", at), params)).id;
  }

  /** An asset has changed. */
  async heard(event: AssetEvent): Promise<void> {
    for (const entry of this.#entries.values()) {
      const events = entry.paused ? undefined : entry.queue?.add(event);
      if (events === undefined || this.#stopped) continue;
      const logicalDate = new Date(this.#parts.clock.now());
      const start = events.reduce((first, { at }) => (at < first ? at : first), logicalDate);
      const when: Occasion = { type: "asset", logicalDate, dataInterval: { start, end: logicalDate }, assetEvents: events };
      this.#watch(entry, await this.#parts.start(entry.definition, when));
    }
  }

  /** No more runs; those that are under way go on. */
  stop(): void {
    this.#stopped = true;
    for (const { timer } of this.#entries.values()) timer?.cancel();
  }

  async #on(entry: Entry): Promise<void> {
    const { id, schedule, options } = entry.definition;
    const { clock, ticks } = this.#parts;
    if (schedule.kind === "assets") entry.queue = new AssetQueue(schedule.expression);
    else if (schedule.kind === "continuous") {
      entry.loop = entry.loop.then(() => this.#continuous(entry)).catch((error: unknown) => {
        process.emitWarning(`graph ${id} does not run any more: ${String(error)}`);
      });
    }
    else if (schedule.kind === "times") {
      const { timetable, startDate, endDate } = schedule;
      const { catchup = false, maxActiveRuns = MAX_ACTIVE_RUNS } = options;
      entry.schedule = new Schedule(
        { timetable, startDate, endDate, catchup, maxActiveRuns },
        new Date(clock.now()),
        await ticks.last(id),
      );
      this.#arm(entry);
    }
  }

  #arm(entry: Entry): void {
    entry.timer?.cancel();
    const next = entry.schedule?.next;
    if (next === undefined || this.#stopped || entry.paused) return;
    entry.timer = this.#parts.clock.at(next.getTime(), () => void this.#fire(entry));
  }

  /** Makes the runs that are due: one time after the other, so that whoever goes on from the last one has missed none. */
  #fire(entry: Entry): Promise<void> {
    entry.firing = entry.firing.then(() => this.#fireNow(entry)).catch((error: unknown) => {
      process.emitWarning(`runs of ${entry.definition.id} that are due can't be made: ${String(error)}`);
      entry.timer = this.#parts.clock.at(this.#parts.clock.now() + AGAIN_MS, () => void this.#on(entry));
    });
    return entry.firing;
  }

  async #fireNow(entry: Entry): Promise<void> {
    const { schedule } = entry;
    if (this.#stopped || entry.paused || schedule === undefined) return;
    const { clock, ticks } = this.#parts;
    for (let due = schedule.due(new Date(clock.now())); due.length > 0; due = schedule.due(new Date(clock.now()))) {
      for (const { logicalDate } of due) {
        if (!(await this.#runFor(entry, logicalDate, schedule))) schedule.runEnded();
        await ticks.passed(entry.definition.id, logicalDate);
      }
    }
    // What is due and may not be active yet is made when another run ends.
    if (schedule.next !== undefined && schedule.next.getTime() > clock.now()) this.#arm(entry);
  }

  /** False when the time has its run already. */
  async #runFor(entry: Entry, logicalDate: Date, schedule: Schedule): Promise<boolean> {
    const { id, schedule: plan } = entry.definition;
    const when = occasionOf(plan, "scheduled", logicalDate);
    if (!(await this.#parts.ticks.claim(id, logicalDate))) return false;
    const run = await this.#parts.claim(entry.definition, when);
    if (run === undefined) return false;
    const next = (): Promise<void> => {
      schedule.runEnded();
      return this.#fire(entry);
    };
    void this.#watch(entry, run).done().then(next, next);
    return true;
  }

  /** A run of an earlier life, or of another service that is gone. */
  adopted(run: DagRun): void {
    const entry = this.#entries.get(run.dagId);
    if (entry !== undefined) this.#watch(entry, run);
  }

  async #continuous(entry: Entry): Promise<void> {
    while (!this.#stopped && !entry.paused && this.#entries.get(entry.definition.id) === entry) {
      const when = atOnce("scheduled", new Date(this.#parts.clock.now()));
      const run = await this.#watch(entry, await this.#parts.start(entry.definition, when)).done();
      if (run.state === "success") continue;
      await new Promise<void>((resolve) => this.#parts.clock.at(this.#parts.clock.now() + CONTINUOUS_PAUSE_MS, resolve));
    }
  }

  #watch(entry: Entry, run: DagRun): DagRun {
    entry.active += 1;
    entry.runs.push(run);
    if (entry.runs.length > RUNS_KEPT) entry.runs.shift()?.forget();
    const over = (): void => { entry.active -= 1; };
    run.done().then(over, over);
    return run;
  }

  #entry(id: string): Entry {
    const entry = this.#entries.get(id);
    if (entry === undefined) {
      const known = [...this.#entries.keys()].join(", ") || "none";
      throw new NotFoundError(`dag ${id} is not served here; there are ${known}`);
    }
    return entry;
  }
}

/** @throws InvalidArgumentError for what is no graph. */
export function definitionOf(dag: unknown): Definition {
  const { definition } = (dag ?? {}) as { definition?: Definition };
  if (definition === undefined) throw new InvalidArgumentError("serveDags: expected graphs made with dag()");
  return definition;
}
