// What carries a run out: the shell around its machine. Effects become attempts and timers, their ends events; what happens
// is kept in a journal, and read from one.

import { type RunEffect, type RunEvent, type Whereabouts, whereaboutsOf } from "../engine/events.ts";
import { type Coords, instanceName, keyOf, type Place } from "../engine/plan.ts";
import { RunMachine } from "../engine/run-machine.ts";
import { attemptOf, type Instance, nextAttemptOf, spentOf } from "../engine/slots.ts";
import { isOver, isTerminal, type RunState } from "../engine/states.ts";
import type { Waiting } from "../engine/admission.ts";
import { type DagRunFailedError, DeadlineError } from "../../sdk/index.ts";
import type { Draft } from "../graph/draft.ts";
import type { Graph } from "../graph/graph.ts";
import type { CallbackInfo } from "../graph/options.ts";
import { poolOf } from "../graph/pool.ts";
import type { RunOptions } from "../journal/programs.ts";
import { type Entry, errorOfRecord, errorRecordOf } from "../journal/records.ts";
import type { RunJournal } from "../journal/run-journal.ts";
import type { Timer } from "./clock.ts";
import { maskAll, withoutSecrets } from "./attempt.ts";
import type { RunSummary, Told } from "./context.ts";
import type { Engine } from "./engine.ts";
import type { Follower } from "./follower.ts";
import { type Answer, endsLoop, instancesOf } from "./questions.ts";
import { Resolver } from "./resolver.ts";
import { sweepAfter } from "./retention.ts";
import { Results } from "./results.ts";
import { isShown } from "./rows.ts";
import { failureOf, RunMovedError } from "./run-failure.ts";
import { watchLimits } from "./run-limits.ts";
import { messageOf, partsOf, RunVoice, stackOf } from "./run-voice.ts";
import type { Reason } from "./why.ts";
import type { Ended, Start } from "./runner.ts";
import { startAttempt, stopAttempt } from "./starting.ts";
import { HeardNotes, type Note } from "./telling.ts";
import { AttemptsUnderWay, type UnderWay } from "./under-way.ts";

/** What the journal keeps with an event. */
type Extra = Partial<Pick<Extract<Entry, { type: "succeeded" }>, "result" | "error" | "told" | "startedAt" | "sizes" | "found">>;

export class RunShell {
  protected readonly engine: Engine;
  protected readonly graph: Graph;
  readonly #options: RunOptions;
  protected readonly machine: RunMachine;
  protected readonly resolver: Resolver;
  /** @internal What it is, without how it stands. */
  readonly summary: RunSummary;
  protected readonly results = new Results();
  readonly #sizes = new Map<string, readonly number[]>();
  readonly #errors = new Map<string, unknown>();
  readonly #attempts: AttemptsUnderWay;
  protected readonly ready = new Map<string, Waiting>();
  readonly #timers = new Map<string, Timer>();
  protected readonly voice: RunVoice;
  #journal: RunJournal | undefined;
  /** What is read from a journal has happened: nothing is done about it. */
  #isReplay = false;
  #isLost = false;
  protected startedTime: Date | undefined;
  protected endedTime: Date | undefined;
  /** Of what another process carries out. */
  protected follower: Follower | undefined;
  protected ended!: Promise<void>;
  #end!: () => void;
  #fail!: (error: Error) => void;

  constructor(engine: Engine, graph: Graph, summary: RunSummary, options: RunOptions) {
    [this.engine, this.graph, this.summary, this.#options] = [engine, graph, summary, options];
    this.machine = new RunMachine(graph.plan, { logicalDate: summary.logicalDate });
    this.resolver = new Resolver(this.machine, summary.params, this.results.handles, this.#sizes);
    this.voice = new RunVoice(summary, engine.runner.isLocal, (entry) => this.#journal?.append(entry));
    this.#attempts = new AttemptsUnderWay(engine.starts, {
      now: () => engine.clock.now(),
      waits: (one) => {
        this.#journal?.append({ type: "admitted", ...one.of, at: one.queuedAt });
        this.#tellQueued(one, one.queuedAt);
      },
      started: (one, { at, ...where }) => {
        one.hasStarted = true;
        this.#tellQueued(one, at);
        this.#take({ type: "running", ...one.of, ...where, at });
      },
    });
    this.#open();
  }

  get id(): string {
    return this.summary.id;
  }

  /** Live. */
  get state(): RunState {
    return this.machine.state;
  }

  /** Settles when the run is over, or at once while it is neither that nor about to be. */
  protected settled(): Promise<void> {
    return isOver(this.state) || this.machine.endedFor !== undefined ? this.ended : Promise.resolve();
  }

  /** A run that is over begins again; one that goes on does so with what is changed. */
  protected async restart(event: RunEvent): Promise<void> {
    await this.settled();
    if (isOver(this.state)) {
      if (this.#journal !== undefined && !(await this.#journal.reopen())) throw new RunMovedError(this.id);
      this.#open();
      this.voice.log.reopen();
    }
    this.#goAgain(event);
    // The call is answered when what it asked for is kept.
    await this.#journal?.flushed();
  }

  #open(): void {
    this.ended = new Promise((resolve, reject) => { [this.#end, this.#fail] = [resolve, reject]; });
    // Who waits for it hears of it.
    this.ended.catch(() => {});
  }

  /** Begins it. Called once, by who made it. */
  begin(blocked: readonly number[] = []): void {
    const at = this.engine.clock.now();
    this.#limit(at);
    this.step({ type: "started", blocked, at });
  }

  #limit(startedAt: number): void {
    const { clock } = this.engine;
    watchLimits(this.#options, { clock, startedAt, logicalDate: this.summary.logicalDate }, {
      keep: (name, timer) => this.#timers.set(name, timer),
      late: (reason) => this.step({ type: "ended", state: "failed", reason, at: clock.now() }),
      missed: (text, onMiss) => {
        this.voice.say(undefined, text, clock.now(), "deadline");
        this.voice.call(onMiss, { run: this.summary, error: new DeadlineError(text) });
      },
    });
  }

  /** Its results are not needed any more. */
  forget(): void {
    this.engine.runner.release(this.results.handles.values());
    this.results.handles.clear();
  }

  // -- the journal -------------------------------------------------------------------------------------------------------

  /** What happens from now on is kept there. */
  keepIn(journal: RunJournal): void {
    this.#journal = journal;
    journal.onLost = (error) => this.leave(error);
    journal.onCancel = (reason) => this.cancelled(reason);
  }

  /** What happened in an earlier life, or in another process. */
  replay(entries: readonly Entry[]): void {
    this.#isReplay = true;
    try {
      for (const entry of entries) this.#again(entry);
    } finally {
      this.#isReplay = false;
    }
  }

  #again(entry: Entry): void {
    if (entry.type === "said") return this.voice.said(entry);
    if (entry.type === "told") {
      return this.#tellUser(this.graph.tasks[entry.task], entry.coords, entry.told, entry.at, entry.attempt);
    }
    if (entry.type === "cleared" || entry.type === "marked" || entry.type === "resumed") {
      if (isOver(this.state)) this.#open();
      this.voice.log.reopen();
    }
    if (entry.type === "resumed") this.results.isLost(entry.lost);
    for (const [key, origin] of entry.found ?? []) this.results.origins.set(key, origin);
    if ("task" in entry) {
      const key = keyOf(entry.task, entry.coords);
      if (entry.type === "running") this.#begun(entry);
      else if (entry.startedAt !== undefined) this.#begun({ ...entry, at: entry.startedAt });
      this.#tellUser(this.graph.tasks[entry.task], entry.coords, entry.told ?? [], entry.at);
      if (entry.error !== undefined) this.#errors.set(key, errorOfRecord(entry.error));
      if (entry.sizes !== undefined) this.#sizes.set(key, entry.sizes);
      if (entry.type === "succeeded") this.results.made(key, undefined, entry.result);
    }
    if (entry.type !== "running") this.#redo(entry);
  }

  protected cancelled(reason: string): void {
    this.step({ type: "ended", state: "cancelled", reason, at: this.engine.clock.now() });
  }

  /** That it was queued before goes without saying. */
  #begun({ task, coords, at, ...begun }: Place & Whereabouts & { readonly at: number }): void {
    if (this.machine.instance(task, coords)?.state !== "queued") this.#redo({ type: "admitted", task, coords, at });
    this.#redo({ type: "running", task, coords, at, ...whereaboutsOf(begun) });
  }

  #redo(event: RunEvent): void {
    for (const effect of this.machine.step(event)) this.#do(effect, event.at);
  }

  /** Carries on a run whose process is gone, and with it some results. */
  protected goOnWithout(lost: readonly Place[]): void {
    this.#limit(this.startedTime?.getTime() ?? this.engine.clock.now());
    for (const { slot, coords, state, endedAt = 0 } of this.instances()) {
      const draft = this.graph.tasks[slot.task];
      if (state === "success" && draft.options.outlets !== undefined) this.#emit(draft, coords, endedAt);
    }
    this.#goAgain({ type: "resumed", anew: false, lost, at: this.engine.clock.now() });
  }

  #goAgain(event: RunEvent): void {
    if (event.type === "resumed") this.results.isLost(event.lost);
    if (event.type === "cleared") this.results.isLost([...(event.instances ?? []), ...(event.lost ?? [])]);
    const found = this.results.takeFound();
    this.step(event, found.length === 0 ? undefined : { found });
  }

  /** @internal Of a task, or of all, in the order of the graph. */
  instances(task?: number): Instance[] {
    const slots = [...this.machine.slots()].filter((slot) => (task === undefined ? this.#isTask(slot.task) : slot.task === task));
    return slots.sort((a, b) => a.task - b.task).flatMap(({ instances = [] }) => instances);
  }

  #isTask(task: number): boolean {
    return isShown(this.machine, this.graph.tasks[task].kind, task);
  }

  /** @internal Of this process's hold on it; undefined when it is not kept, or carried out elsewhere. */
  get epoch(): number | undefined {
    return this.#isLost ? undefined : this.#journal?.record.epoch;
  }

  /** Another process carries it out now: what is seen here is old. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** @internal */
  followWith(follower: Follower): void {
    this.follower = follower;
  }

  /** @internal It goes on elsewhere, or nowhere: what is under way here ends. */
  leave(error: Error): void {
    this.#isLost = true;
    this.#attempts.stop(error.message);
    this.#quiet();
    this.voice.log.end();
    this.#fail(error);
  }

  #quiet(): void {
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
    this.#attempts.quiet();
    this.engine.admission.forget(this.id);
  }

  // -- events and effects ------------------------------------------------------------------------------------------------

  protected step(event: RunEvent, extra?: Extra): void {
    this.#take(event, extra);
    this.engine.start();
  }

  #take(event: RunEvent, extra?: Extra): void {
    if (this.#isLost) return;
    const effects = this.machine.step(event);
    this.#journal?.append(extra === undefined ? event : { ...event, ...extra });
    for (const effect of effects) this.#do(effect, event.at);
  }

  #do(effect: RunEffect, at: number): void {
    if (effect.kind === "state") return this.#told(effect, at);
    if (effect.kind === "run") return this.#runState(effect.state, at);
    if (this.#isReplay) return;
    const { resolver, engine: { runner } } = this;
    const { task, coords } = effect;
    const draft = this.graph.tasks[task];
    switch (effect.kind) {
      case "measure": return void this.#ask("notExpanded", draft, coords, instancesOf(resolver, runner, draft, coords));
      case "ready": return this.#queue(draft, coords);
      case "wait": return this.#wait(task, coords, effect.until);
      case "judge": return void this.#ask("roundFailed", draft, coords, endsLoop(resolver, runner, draft, coords, effect.round));
      case "leave": return this.#leave(effect, effect.reason);
      case "stop": {
        const carrier = { engine: this.engine, run: this.summary, machine: this.machine, resolver: this.resolver };
        return this.voice.awaits(stopAttempt(carrier, this.graph.tasks[effect.task], effect, this.#attempts.find(effect)));
      }
    }
  }

  async #ask(
    failed: "notExpanded" | "roundFailed", { place: task }: Draft, coords: Coords, asked: Promise<Answer>,
  ): Promise<void> {
    // Where the run has begun anew meanwhile, it is asked again.
    const { life } = this.machine;
    try {
      const { sizes, ...answer } = await asked;
      if (life !== this.machine.life) return;
      if (sizes !== undefined) this.#sizes.set(keyOf(task, coords), sizes);
      this.step({ ...answer, task, coords, at: this.engine.clock.now() }, sizes && { sizes });
    } catch (error) {
      if (life !== this.machine.life) return;
      this.#errors.set(keyOf(task, coords), error);
      const reason = failed === "roundFailed" ? `until: ${messageOf(error)}` : messageOf(error);
      this.step({ type: failed, task, coords, reason, at: this.engine.clock.now() }, { error: errorRecordOf(error) });
    }
  }

  #queue(draft: Draft, coords: Coords): void {
    const { options } = draft;
    const key = keyOf(draft.place, coords);
    const waiting: Waiting = {
      runId: this.id, dagId: this.summary.dagId, taskId: draft.id, weight: this.graph.weights[draft.place],
      pool: options.pool === undefined ? undefined : poolOf(options.pool), poolSlots: options.poolSlots ?? 1,
      maxActive: options.maxActive, maxActivePerRun: options.maxActivePerRun, maxActiveTasks: this.#options.maxActiveTasks,
      start: () => void (this.engine.slotsOf(waiting)?.then(begin) ?? begin()),
    };
    const begin = (): void => {
      const isWanted = this.ready.get(key) === waiting && this.ready.delete(key) && !this.#isLost;
      if (isWanted && !isTerminal(this.machine.instance(draft.place, coords)!.state)) this.#start(draft, coords, waiting);
      else this.engine.ended(waiting);
    };
    this.ready.set(key, waiting);
    this.engine.admission.add(waiting);
  }

  #start(draft: Draft, coords: Coords, waiting: Waiting): void {
    const of = { task: draft.place, coords };
    const at = this.engine.clock.now();
    const instance = this.machine.instance(draft.place, coords)!;
    const { hasDeferred: resumed = false } = instance;
    const attempt = startAttempt(this.engine, this.summary, draft, coords, instance, () => this.resolver.args(draft, coords));
    const queued = this.#isLost ? [] : this.machine.step({ type: "admitted", ...of, at });
    const [number, heard] = [nextAttemptOf(instance), new HeardNotes()];
    const one = { of, attempt, waiting, queuedAt: at, queued, hasStarted: false, resumed, number, heard };
    this.#attempts.add(one);
    attempt.hear?.((note) => this.#noted(draft, one, note));
    void attempt.ended.then((ended) => this.#attemptEnded(draft, coords, one, ended));
  }

  #noted(draft: Draft, one: UnderWay, note: Note): void {
    if (this.#isLost || isOver(this.state) || !this.#attempts.tells(one)) return;
    const told = maskAll(one.heard.fresh(note));
    if (told.length === 0) return;
    const at = this.engine.clock.now();
    this.#journal?.append({ type: "told", ...one.of, told, at, attempt: note.attempt });
    this.#tellUser(draft, one.of.coords, told, at, note.attempt);
  }

  /** Of an instance that is begun anew, or has its end by hand. */
  #leave(of: Place, reason: string): void {
    const key = keyOf(of.task, of.coords);
    this.#attempts.leave(of, reason);
    this.ready.delete(key);
    this.#timers.get(key)?.cancel();
    this.#timers.delete(key);
  }

  #tellQueued(one: UnderWay, at: number): void {
    for (const effect of one.queued) this.#do(effect, at);
    one.queued = [];
  }

  /** Of the attempts of a task that are under way, a few. */
  protected explainAttempts(task: number, coords: Coords): Promise<Reason[]> {
    return this.#attempts.explain(task, coords);
  }

  #attemptEnded(draft: Draft, coords: Coords, one: UnderWay, ended: Ended): void {
    const { handle, result } = ended;
    const key = keyOf(draft.place, coords);
    const at = this.engine.clock.now();
    const of = { ...one.of, at, ...whereaboutsOf(ended) };
    this.engine.ended(one.waiting);
    // Of an earlier life of the run, which has begun it anew since.
    if (this.#attempts.find(one.of) !== one) return this.engine.start();
    const start = this.#attempts.ended(one, ended);
    const { told: whole, ...rest } = withoutSecrets(ended.report);
    const said = one.heard.rest(one.number + (ended.repeats ?? 0), whole);
    const all = rest.outcome === "error" ? [...said, { type: "log" as const, name: "error", value: stackOf(rest.error) }] : said;
    const told = this.#toldAtEnd(draft, one, start, all);
    switch (rest.outcome) {
      case "success": {
        const { chosen, passed } = rest;
        // What it let run is all there is to know of a branch.
        const record = chosen === undefined && passed === undefined ? (result ?? this.engine.runner.describe(handle)) : undefined;
        this.results.made(key, handle, record);
        if (record !== undefined) this.#journal?.holds(handle);
        return this.step({ type: "succeeded", ...of, chosen, passed }, { ...told, result: record });
      }
      case "skip":
        return this.step({ type: "skipped", ...of, reason: rest.reason }, told);
      case "defer":
        return this.step({ type: "deferred", ...of, until: rest.until }, told);
      case "error": {
        const { error, final } = rest;
        this.#errors.set(key, error);
        return this.step({ type: "failed", ...of, reason: messageOf(error), final }, { ...told, error: errorRecordOf(error) });
      }
    }
  }

  /** What is kept with the end of an attempt; what is too much for one entry is kept before it. */
  #toldAtEnd(draft: Draft, one: UnderWay, start: Start | undefined, all: readonly Told[]): Pick<Extra, "told" | "startedAt"> {
    const at = this.engine.clock.now();
    const parts = partsOf(all);
    const isLong = parts.length > 1;
    if (start !== undefined) this.#startedUnseen(one, start, isLong);
    this.#tellUser(draft, one.of.coords, all, at);
    const last = parts.pop()!;
    for (const told of parts) this.#journal?.append({ type: "told", ...one.of, told, at });
    return { ...(last.length > 0 && { told: last }), ...(start !== undefined && !isLong && { startedAt: start.at }) };
  }

  /** The journal has that with the end, unless something else comes before. */
  #startedUnseen(one: UnderWay, { at, ...where }: Start, isKept: boolean): void {
    if (this.#isLost) return;
    this.#tellQueued(one, at);
    const event: RunEvent = { type: "running", ...one.of, ...where, at };
    if (isKept) this.#take(event);
    else for (const effect of this.machine.step(event)) this.#do(effect, at);
  }

  #wait(task: number, coords: Coords, until: number): void {
    const key = keyOf(task, coords);
    this.#timers.set(key, this.engine.clock.at(until, () => {
      this.#timers.delete(key);
      this.step({ type: "due", task, coords, at: this.engine.clock.now() });
    }));
    const { onRetry } = this.graph.tasks[task].options;
    if (this.machine.instance(task, coords)?.state !== "upForRetry") return;
    this.voice.call(onRetry, { ...this.#callbackInfo(task, coords), nextAt: new Date(until) });
  }

  // -- what is told ------------------------------------------------------------------------------------------------------

  #tellUser(draft: Draft, coords: Coords, all: readonly Told[], at: number, number?: number): void {
    const instance = this.machine.instance(draft.place, coords);
    const attempt = number ?? (instance === undefined ? 0 : attemptOf(instance));
    for (const one of all) this.voice.user(draft, coords, attempt, one, at);
  }

  #told({ task, coords, state, attempt, reason, byHand = false }: Extract<RunEffect, { kind: "state" }>, at: number): void {
    const draft = this.graph.tasks[task];
    if (!isShown(this.machine, draft.kind, task)) return;
    this.voice.state(draft, coords, { state, attempt, reason }, at);
    if (this.#isReplay || byHand) return;
    if (state === "success" && draft.options.outlets !== undefined) this.#emit(draft, coords, at);
    const { onSuccess, onFailure, onSkip } = draft.options;
    const calls = { success: onSuccess, failed: onFailure, skipped: onSkip }[state as "success"];
    if (calls !== undefined && this.machine.instance(task, coords) !== undefined)
      this.voice.call(calls, this.#callbackInfo(task, coords));
  }

  /** What a task has made is told when its success is kept: who goes on with the run tells it again, and it is told once. */
  #emit(draft: Draft, coords: Coords, at: number): void {
    const instance = this.machine.instance(draft.place, coords);
    const what = `${instanceName(draft.id, coords).id}/${instance === undefined ? 0 : spentOf(instance)}`;
    this.voice.emit(draft, what, at, this.#journal?.flushed());
  }

  #callbackInfo(task: number, coords: Coords): CallbackInfo {
    const instance = this.machine.instance(task, coords);
    return {
      run: this.summary, task: instanceName(this.graph.tasks[task].id, coords), state: instance?.state,
      attempt: instance === undefined ? 0 : attemptOf(instance), error: this.#errors.get(keyOf(task, coords)),
    };
  }

  #runState(state: RunState, at: number): void {
    this.voice.run(state, at);
    if (state === "running") this.startedTime ??= new Date(at);
    if (!isOver(state)) return;
    this.endedTime = new Date(at);
    if (this.#isReplay) return this.#over();
    this.#quiet();
    const calls = state === "success" ? this.#options.onSuccess : this.#options.onFailure;
    this.voice.call(calls, { run: this.summary, state, error: state === "success" ? undefined : this.failure() });
    if (this.#journal === undefined) return void (this.voice.emitted()?.then(() => this.#over()) ?? this.#over());
    // It is over for others when that is kept. What goes wrong with it is told by `onLost`.
    const journal = this.#journal;
    const end = (): Promise<void> => journal.ended(state, new Date(at));
    (this.voice.emitted()?.then(end) ?? end()).then(() => {
      sweepAfter(journal.record);
      this.#over();
    }, () => {});
  }

  #over(): void {
    this.voice.log.end();
    this.#end();
  }

  protected failure(): DagRunFailedError {
    return failureOf(this.machine, this.summary, this.#errors);
  }
}
