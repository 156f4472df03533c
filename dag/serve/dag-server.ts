// Serves graphs: makes their runs when they are due, or when the assets they wait for have changed.

import { InvalidArgumentError, NotFoundError } from "../../sdk/index.ts";
import { type DagDefinition, dueTimes, occasionOf } from "../graph/dag.ts";
import { describeGraph, type GraphDetail, maxActiveRunsOf, scheduleText } from "../graph/describe.ts";
import type { Clock, Timer } from "../run/clock.ts";
import { tickKey } from "../journal/records.ts";
import { atOnce, type Occasion } from "../run/context.ts";
import type { DagRun } from "../run/dag-run.ts";
import { dateOf } from "../time/dates.ts";
import { Schedule } from "../time/schedule.ts";
import { beginToHear, hearAnew, makeAssetRuns } from "./asset-runs.ts";
import { type Board, continuousKey, isOpen, type Turn } from "./board.ts";
import type { Ticks } from "./ticks.ts";

export type Definition = DagDefinition<object, unknown>;

export interface ServerParts {
  readonly clock: Clock;
  readonly ticks: Ticks;
  readonly start: (definition: Definition, when: Occasion, params?: object) => Promise<DagRun>;
  readonly board: Board;
  /** A run with its turn, in one step; undefined when another one has had that turn. */
  readonly claim: (definition: Definition, when: Occasion, turn: Turn) => Promise<DagRun | undefined>;
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
  /** Settles when the runs are made that are due by the events of assets. */
  hearing: Promise<void>;
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
/** Between looks at a run that another service carries out. */
const LOOK_MS = 250;

export class DagServer {
  readonly #parts: ServerParts;
  readonly #entries = new Map<string, Entry>();
  #stopped = false;

  constructor(parts: ServerParts) {
    this.#parts = parts;
  }

  /** Serves them from now on; one of the same id is a newer version of it. `version`: what it was in an earlier life. */
  async add(definitions: readonly Definition[], paused: boolean, version?: number): Promise<void> {
    for (const definition of definitions) {
      const known = this.#entries.get(definition.id);
      known?.timer?.cancel();
      const isPaused = paused || (await this.#parts.ticks.isPaused(definition.id));
      const entry: Entry = {
        definition,
        version: version ?? (known?.version ?? 0) + 1,
        paused: isPaused,
        schedule: undefined,
        hearing: known?.hearing ?? Promise.resolve(),
        timer: undefined,
        active: 0,
        runs: known?.runs ?? [],
        firing: known?.firing ?? Promise.resolve(),
        loop: known?.loop ?? Promise.resolve(),
      };
      this.#entries.set(definition.id, entry);
      if (isPaused) continue;
      await this.#on(entry);
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
    // What came meanwhile is not made up for.
    if (entry.definition.schedule.kind === "assets") await hearAnew(this.#parts.board, id);
    await this.#on(entry);
  }

  /** A run by hand, also of a graph that is paused; gives its id. @throws NotFoundError; InvalidArgumentError. */
  async trigger(id: string, { params = {}, logicalDate }: ManualRun = {}): Promise<string> {
    const { clock, start } = this.#parts;
    const entry = this.#entry(id);
    const at = logicalDate === undefined ? new Date(clock.now()) : dateOf(`trigger ${id}: logicalDate`, logicalDate);
    return this.#watch(entry, await start(entry.definition, atOnce("manual", at), params)).id;
  }

  /** Assets may have changed. What comes while `maxActiveRuns` are under way is heard when one of them has ended. */
  async heard(): Promise<void> {
    await Promise.all([...this.#entries.values()].map((entry) => this.#hear(entry)));
  }

  #hear(entry: Entry): Promise<void> {
    const { id, schedule } = entry.definition;
    if (schedule.kind !== "assets") return Promise.resolve();
    const { board, clock, claim, ticks } = this.#parts;
    const mayBegin = (): boolean => !isFull(entry);
    entry.hearing = entry.hearing.then(async () => {
      if (!this.#isOn(entry) || (await ticks.isPaused(id))) return;
      await makeAssetRuns(board, { id, expression: schedule.expression, mayBegin }, () => clock.now(), async (when, turn) => {
        const run = await claim(entry.definition, when, turn);
        return run && this.#watch(entry, run);
      });
    }).catch((error: unknown) => {
      process.emitWarning(`runs of ${id} for its assets can't be made: ${String(error)}`);
    });
    return entry.hearing;
  }

  #isOn(entry: Entry): boolean {
    return !this.#stopped && !entry.paused && this.#entries.get(entry.definition.id) === entry;
  }

  /** No more runs; those that are under way go on. */
  stop(): void {
    this.#stopped = true;
    for (const { timer } of this.#entries.values()) timer?.cancel();
  }

  async #on(entry: Entry): Promise<void> {
    if (!this.#isOn(entry)) return;
    const { id, schedule, options } = entry.definition;
    const { clock, ticks } = this.#parts;
    if (schedule.kind === "assets") {
      await beginToHear(this.#parts.board, id);
      await this.#hear(entry);
    } else if (schedule.kind === "continuous") entry.loop = entry.loop.then(() => this.#continuous(entry));
    else if (schedule.kind === "times") {
      const { timetable, startDate, endDate } = schedule;
      const { catchup = false } = options;
      entry.schedule = new Schedule(
        { timetable, startDate, endDate, catchup, maxActiveRuns: maxActiveRunsOf(options) },
        new Date(clock.now()),
        await ticks.last(id),
      );
      this.#arm(entry);
    }
  }

  #arm(entry: Entry): void {
    entry.timer?.cancel();
    const next = entry.schedule?.next;
    if (next === undefined || !this.#isOn(entry)) return;
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
    // Of a graph that has a newer version since, what was due before is still its own.
    if (this.#stopped || entry.paused || schedule === undefined) return;
    const { clock, ticks } = this.#parts;
    for (let due = schedule.due(new Date(clock.now())); due.length > 0; due = schedule.due(new Date(clock.now()))) {
      const isPaused = await ticks.isPaused(entry.definition.id);
      for (const { logicalDate } of due) {
        if (isPaused) schedule.runEnded();
        else if (!(await this.#runFor(entry, logicalDate, schedule))) schedule.runEnded();
        if (!isPaused) await ticks.passed(entry.definition.id, logicalDate);
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
    const turn: Turn = { key: tickKey(id, logicalDate), before: undefined, after: (runId) => runId };
    const run = await this.#parts.claim(entry.definition, when, turn);
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
    while (this.#isOn(entry)) {
      try {
        await this.#nextOf(entry);
      } catch (error) {
        process.emitWarning(`the next run of ${entry.definition.id} can't be made, or was lost: ${String(error)}`);
        await this.#rest(AGAIN_MS);
      }
    }
  }

  /** The run after the one before, whoever has carried that out. */
  async #nextOf(entry: Entry): Promise<void> {
    const { board, clock, claim, ticks } = this.#parts;
    const { id } = entry.definition;
    const key = continuousKey(id);
    const before = await board.get<string>(key);
    const standing = before === undefined ? undefined : await board.standing(before);
    if (isOpen(standing) || (await ticks.isPaused(id))) return this.#rest(LOOK_MS);
    const isBad = standing !== undefined && standing.state !== "success";
    const left = isBad ? (standing.endedAt?.getTime() ?? 0) + CONTINUOUS_PAUSE_MS - clock.now() : 0;
    if (left > 0) return this.#rest(left);
    const when = atOnce("scheduled", new Date(clock.now()));
    const run = await claim(entry.definition, when, { key, before, after: (runId) => runId });
    if (run !== undefined) await this.#watch(entry, run).done();
  }

  #rest(ms: number): Promise<void> {
    return new Promise((resolve) => { this.#parts.clock.at(this.#parts.clock.now() + ms, resolve); });
  }

  #watch(entry: Entry, run: DagRun): DagRun {
    entry.active += 1;
    entry.runs.push(run);
    if (entry.runs.length > RUNS_KEPT) entry.runs.shift()?.forget();
    const over = (): void => {
      const wasFull = isFull(entry);
      entry.active -= 1;
      if (wasFull) void this.#hear(entry);
    };
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

/** No more runs may be under way. */
function isFull({ active, definition }: Entry): boolean {
  return active >= maxActiveRunsOf(definition.options);
}

/** @throws InvalidArgumentError for what is no graph. */
export function definitionOf(dag: unknown): Definition {
  const { definition } = (dag ?? {}) as { definition?: Definition };
  if (definition === undefined) throw new InvalidArgumentError("serveDags: expected graphs made with dag()");
  return definition;
}
