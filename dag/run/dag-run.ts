// One run of a graph, as its users see it; and the shell around its machine: effects become attempts and timers, their ends
// events.

import type { RunEffect, RunEvent } from "../engine/events.ts";
import { type Coords, descendants, instanceName, keyOf, taskOf } from "../engine/plan.ts";
import { RunMachine } from "../engine/run-machine.ts";
import { attemptOf } from "../engine/slots.ts";
import { isOver, isTerminal, type RunState } from "../engine/states.ts";
import type { Waiting } from "../engine/admission.ts";
import { DagRunFailedError, DeadlineError, NotFoundError, TaskCancelledError } from "../../sdk/index.ts";
import type { Draft } from "../graph/draft.ts";
import type { Graph } from "../graph/graph.ts";
import type { CallbackInfo, DagTaskOptions } from "../graph/options.ts";
import { poolOf } from "../graph/pool.ts";
import { type Deadline, deadlineOf } from "../graph/run-limits.ts";
import { assetMade } from "../time/assets.ts";
import { withoutSecrets } from "./attempt.ts";
import type { Timer } from "./clock.ts";
import type { RunSummary, Told } from "./context.ts";
import type { Engine } from "./engine.ts";
import { EventLog, type DagEvent, type EventPage } from "./event-log.ts";
import { lengthOf } from "./inputs.ts";
import { withoutCluster } from "./keys.ts";
import { isShown, rowsOf, type TaskInstanceRow } from "./rows.ts";
import { Resolver } from "./resolver.ts";
import type { Attempt, Ended } from "./runner.ts";
import { startTriggered } from "./triggered.ts";
import { explain, type Why } from "./why.ts";

export interface RunOptions {
  readonly maxActiveTasks?: number | undefined;
  readonly timeoutMs?: number | undefined;
  readonly deadline?: Deadline | undefined;
  readonly onSuccess?: DagTaskOptions["onSuccess"];
  readonly onFailure?: DagTaskOptions["onFailure"];
}

/** Characters of the stack of an error that the log of a run keeps. */
const STACK_MAX = 4000;

export class DagRun<R = unknown> {
  readonly #engine: Engine;
  readonly #graph: Graph;
  readonly #options: RunOptions;
  readonly #machine: RunMachine;
  readonly #resolver: Resolver;
  readonly #summary: RunSummary;
  readonly #results = new Map<string, unknown>();
  readonly #sizes = new Map<string, readonly number[]>();
  readonly #errors = new Map<string, unknown>();
  readonly #attempts = new Map<string, Attempt>();
  readonly #admitted = new Map<string, Waiting>();
  readonly #ready = new Map<string, Waiting>();
  readonly #timers = new Map<string, Timer>();
  readonly #log = new EventLog();
  #startedAt: Date | undefined;
  #endedAt: Date | undefined;
  #ended!: Promise<void>;
  #end!: () => void;

  constructor(engine: Engine, graph: Graph, summary: RunSummary, options: RunOptions) {
    this.#engine = engine;
    this.#graph = graph;
    this.#summary = summary;
    this.#options = options;
    this.#machine = new RunMachine(graph.plan, { logicalDate: summary.logicalDate });
    this.#resolver = new Resolver(this.#machine, summary.params, this.#results, this.#sizes);
    this.#open();
  }

  get id(): string {
    return this.#summary.id;
  }

  get dagId(): string {
    return this.#summary.dagId;
  }

  get type(): RunSummary["type"] {
    return this.#summary.type;
  }

  get logicalDate(): Date {
    return this.#summary.logicalDate;
  }

  get dataInterval(): RunSummary["dataInterval"] {
    return this.#summary.dataInterval;
  }

  get params(): Readonly<Record<string, unknown>> {
    return this.#summary.params;
  }

  /** Live. */
  get state(): RunState {
    return this.#machine.state;
  }

  get startedAt(): Date | undefined {
    return this.#startedAt;
  }

  /** Undefined while it is not over. */
  get endedAt(): Date | undefined {
    return isOver(this.state) ? this.#endedAt : undefined;
  }

  /** A row an instance; tasks that were expanded over nothing, or not yet, have one of their own. */
  async tasks(): Promise<TaskInstanceRow[]> {
    return rowsOf(this.#machine, this.#graph);
  }

  /** The value that the body of the graph gave. @throws DagRunFailedError. */
  async result(): Promise<R> {
    await this.#ended;
    if (this.state !== "success") throw this.#failure();
    return (await this.#engine.runner.fetch(this.#resolver.inputs(this.#graph.result, { scope: [], coords: [] }))) as R;
  }

  /** The result as another run may have it. @throws DagRunFailedError. */
  async heldResult(): Promise<unknown> {
    await this.#ended;
    if (this.state !== "success") throw this.#failure();
    return this.#engine.runner.hold(this.#resolver.inputs(this.#graph.result, { scope: [], coords: [] }));
  }

  /** Settles when the run is over, however. */
  async done(): Promise<this> {
    await this.#ended;
    return this;
  }

  async cancel(reason = "the run was cancelled"): Promise<void> {
    this.#step({ type: "ended", state: "cancelled", reason, at: this.#engine.clock.now() });
    await this.#ended;
  }

  /** Everything the run has told and will tell, from the start or from an event on. */
  events({ from = 0 }: { from?: number } = {}): AsyncIterable<DagEvent> {
    return this.#log.from(from);
  }

  /** The same, a page at a time. */
  page(from: number, limit: number, waitMs: number): Promise<EventPage> {
    return this.#log.page(from, limit, waitMs);
  }

  /** Why a task is where it is. @throws NotFoundError. */
  why(taskId: string): Why {
    const draft = this.#draftOf(taskId);
    return explain(this.#machine, draft, (coords) => {
      const waiting = this.#ready.get(keyOf(draft.place, coords));
      return waiting === undefined ? undefined : this.#engine.admission.blockOf(waiting);
    });
  }

  /**
   * Runs tasks again, and with `downstream` all that comes after them; everything else keeps its result. @throws
   * NotFoundError.
   */
  async clear(taskIds: string | readonly string[], { downstream = true }: { downstream?: boolean } = {}): Promise<this> {
    const tasks = [taskIds].flat().map((id) => this.#placeOf(id));
    const after = downstream ? descendants(this.#graph.plan, tasks) : [];
    await this.#restart({ type: "cleared", tasks: [...new Set([...tasks, ...after])], at: this.#engine.clock.now() });
    return this;
  }

  /** Runs everything again that has not succeeded. */
  async resume(): Promise<this> {
    const ended = new Set<number>();
    for (const { task, instances, state } of this.#machine.slots()) {
      if ((instances ?? [{ state }]).some((at) => at.state !== "success")) ended.add(task);
    }
    if (ended.size > 0) await this.#restart({ type: "cleared", tasks: [...ended], at: this.#engine.clock.now() });
    return this;
  }

  /** Gives a task another end by hand; nothing is run for it. Mapped tasks by their instances: `train[2]`. */
  async mark(taskId: string, state: "success" | "failed" | "skipped"): Promise<this> {
    const [, id, index] = /^(.*?)(?:\[([\d,]+)\])?$/.exec(taskId) ?? [];
    const coords = index === undefined ? [] : index.split(",").map(Number);
    await this.#restart({ type: "marked", task: this.#placeOf(id), coords, state, at: this.#engine.clock.now() });
    return this;
  }

  /** By the id of a task, or of one of its instances. @throws NotFoundError. */
  #draftOf(id: string): Draft {
    const draft = this.#graph.tasks.find((one) => one.id === id || one.id === taskOf(id));
    if (draft !== undefined) return draft;
    const known = this.#graph.tasks.filter(({ kind }) => kind !== "gate").map((one) => one.id);
    throw new NotFoundError(`run ${this.id} has no task ${id}; it has ${known.slice(0, 20).join(", ")}`);
  }

  #placeOf(id: string): number {
    return this.#draftOf(id).place;
  }

  /** Only a run that is over begins again. */
  async #restart(event: RunEvent): Promise<void> {
    await this.#ended;
    this.#open();
    this.#log.reopen();
    this.#step(event);
  }

  #open(): void {
    this.#ended = new Promise((resolve) => { this.#end = resolve; });
  }

  /** Begins it. Called once, by who made it. */
  begin(blocked: readonly number[] = []): void {
    const { clock } = this.#engine;
    const { timeoutMs, deadline } = this.#options;
    if (deadline !== undefined) this.#watchDeadline(deadline);
    if (timeoutMs !== undefined) {
      const late = (): void =>
        this.#step({ type: "ended", state: "failed", reason: `the run took longer than ${timeoutMs} ms`, at: clock.now() });
      this.#timers.set("run", clock.at(clock.now() + timeoutMs, late));
    }
    this.#step({ type: "started", blocked, at: clock.now() });
  }

  #watchDeadline(deadline: Deadline): void {
    const { clock } = this.#engine;
    const due = deadlineOf(deadline, clock.now(), this.logicalDate);
    this.#timers.set("deadline", clock.at(due, () => {
      const text = `the run was not over at its deadline, ${new Date(due).toISOString()}`;
      this.#log.add({ at: new Date(clock.now()), type: "log", name: "deadline", value: text });
      if (typeof deadline === "object") this.#call(deadline.onMiss, { run: this.#summary, error: new DeadlineError(text) });
    }));
  }

  /** Its results are not needed any more. */
  forget(): void {
    this.#engine.runner.release(this.#results.values());
    this.#results.clear();
  }

  // -- events and effects ------------------------------------------------------------------------------------------------

  #step(event: RunEvent): void {
    const effects = this.#machine.step(event);
    for (const effect of effects) this.#do(effect);
    this.#engine.admission.start();
  }

  #do(effect: RunEffect): void {
    switch (effect.kind) {
      case "measure": return void this.#measure(this.#graph.tasks[effect.task], effect.coords);
      case "ready": return this.#queue(this.#graph.tasks[effect.task], effect.coords);
      case "wait": return this.#wait(effect.task, effect.coords, effect.until);
      case "judge": return void this.#judge(this.#graph.tasks[effect.task], effect.coords, effect.round);
      case "stop": return this.#attempts.get(keyOf(effect.task, effect.coords))?.stop(effect.reason);
      case "state": return this.#told(effect);
      case "run": return this.#runState(effect.state);
    }
  }

  async #measure(draft: Draft, coords: Coords): Promise<void> {
    const of = { task: draft.place, coords };
    try {
      const lists = this.#resolver.lists(draft.expansion!, { scope: draft.scope, coords });
      const ask = (held: unknown): Promise<number> => this.#engine.runner.length(held);
      const sizes = await Promise.all(lists.map((list) => lengthOf(list, ask)));
      this.#sizes.set(keyOf(draft.place, coords), sizes);
      this.#step({ type: "expanded", ...of, size: sizes.reduce((all, size) => all * size, 1), at: this.#engine.clock.now() });
    } catch (error) {
      this.#errors.set(keyOf(draft.place, coords), error);
      this.#step({ type: "notExpanded", ...of, reason: messageOf(error), at: this.#engine.clock.now() });
    }
  }

  async #judge(gate: Draft, coords: Coords, round: number): Promise<void> {
    const of = { task: gate.place, coords };
    try {
      const value = this.#resolver.inputs(gate.loop!.valueNode, { scope: [...gate.scope, gate], coords: [...coords, round] });
      const stop = await this.#engine.runner.judge(gate.loop!.until as (value: never) => unknown, value);
      this.#step({ type: "round", ...of, stop, at: this.#engine.clock.now() });
    } catch (error) {
      this.#errors.set(keyOf(gate.place, coords), error);
      this.#step({ type: "roundFailed", ...of, reason: `until: ${messageOf(error)}`, at: this.#engine.clock.now() });
    }
  }

  #queue(draft: Draft, coords: Coords): void {
    const { options } = draft;
    const key = keyOf(draft.place, coords);
    const waiting: Waiting = {
      runId: this.id, dagId: this.dagId, taskId: draft.id, weight: this.#graph.weights[draft.place],
      pool: options.pool === undefined ? undefined : poolOf(options.pool), poolSlots: options.poolSlots ?? 1,
      maxActive: options.maxActive, maxActivePerRun: options.maxActivePerRun, maxActiveTasks: this.#options.maxActiveTasks,
      start: () => {
        this.#ready.delete(key);
        if (isTerminal(this.#machine.instance(draft.place, coords)?.state ?? "removed")) this.#engine.admission.ended(waiting);
        else this.#start(draft, coords, waiting);
      },
    };
    this.#ready.set(key, waiting);
    this.#engine.admission.add(waiting);
  }

  #start(draft: Draft, coords: Coords, waiting: Waiting): void {
    const key = keyOf(draft.place, coords);
    const of = { task: draft.place, coords };
    const { clock } = this.#engine;
    const resumed = this.#machine.instance(draft.place, coords)?.hasDeferred === true;
    for (const effect of this.#machine.step({ type: "admitted", ...of, at: clock.now() })) this.#do(effect);
    for (const effect of this.#machine.step({ type: "running", ...of, at: clock.now() })) this.#do(effect);
    const instance = this.#machine.instance(draft.place, coords)!;
    this.#admitted.set(key, waiting);
    const attempt =
      draft.kind === "latestOnly"
        ? this.#latestOnly()
        : draft.kind === "trigger"
        ? startTriggered(this.#engine, draft, this.#resolver.args(draft, coords)[0])
        : this.#engine.runner.start(draft, {
            args: this.#resolver.args(draft, coords),
            run: this.#summary,
            attempt: attemptOf(instance),
            since: instance.since ?? clock.now(),
            resumed,
            task: instanceName(draft.id, coords),
            ...(draft.kind === "branch" ? { keys: Object.keys(draft.choices) } : {}),
          });
    this.#attempts.set(key, attempt);
    void attempt.ended.then((ended) => this.#attemptEnded(draft, coords, ended));
  }

  #latestOnly(): Attempt {
    const report = { outcome: "success" as const, passed: this.type === "manual" || this.#isLatest, told: [] };
    return { ended: Promise.resolve({ report }), stop: () => {} };
  }

  /** Set by the scheduler for runs that were overtaken. */
  #isLatest = true;

  #attemptEnded(draft: Draft, coords: Coords, { report: told, handle, nodeId, workerPid }: Ended): void {
    const report = withoutSecrets(told);
    const key = keyOf(draft.place, coords);
    const of = { task: draft.place, coords, at: this.#engine.clock.now(), nodeId, workerPid };
    this.#attempts.delete(key);
    this.#engine.admission.ended(this.#admitted.get(key)!);
    this.#admitted.delete(key);
    for (const one of report.told) this.#tellUser(draft, coords, one);
    switch (report.outcome) {
      case "success":
        this.#results.set(key, handle);
        return this.#step({ type: "succeeded", ...of, ...report });
      case "skip":
        return this.#step({ type: "skipped", ...of, reason: report.reason });
      case "defer":
        return this.#step({ type: "deferred", ...of, until: report.until });
      case "error":
        this.#errors.set(key, report.error);
        this.#tellUser(draft, coords, { type: "log", name: "error", value: stackOf(report.error) });
        return this.#step({ type: "failed", ...of, reason: messageOf(report.error), final: report.final });
    }
  }

  #wait(task: number, coords: Coords, until: number): void {
    const key = keyOf(task, coords);
    this.#timers.set(key, this.#engine.clock.at(until, () => {
      this.#timers.delete(key);
      this.#step({ type: "due", task, coords, at: this.#engine.clock.now() });
    }));
    const { onRetry } = this.#graph.tasks[task].options;
    if (this.#machine.instance(task, coords)?.state !== "upForRetry") return;
    this.#call(onRetry, { ...this.#callbackInfo(task, coords), nextAt: new Date(until) });
  }

  // -- what is told ------------------------------------------------------------------------------------------------------

  #told({ task, coords, state, attempt, reason }: Extract<RunEffect, { kind: "state" }>): void {
    if (!isShown(this.#machine, this.#graph.tasks[task].kind, task)) return;
    const draft = this.#graph.tasks[task];
    const { id: taskId, mapIndex } = instanceName(draft.id, coords);
    const why = reason === undefined ? {} : { value: reason };
    this.#log.add({ at: new Date(this.#engine.clock.now()), type: "task", taskId, mapIndex, attempt, state, ...why });
    if (state === "success") this.#emit(draft);
    const { onSuccess, onFailure, onSkip } = draft.options;
    const calls = { success: onSuccess, failed: onFailure, skipped: onSkip }[state as "success"];
    if (calls !== undefined && this.#machine.instance(task, coords) !== undefined)
      this.#call(calls, this.#callbackInfo(task, coords));
  }

  #emit({ id, options: { outlets = [] } }: Draft): void {
    const source = { dagId: this.dagId, runId: this.id, taskId: id };
    for (const { name } of [outlets].flat()) {
      const made = { asset: name, at: new Date(this.#engine.clock.now()), extra: {}, source };
      assetMade(made, this.#engine.runner.isLocal).catch((error: unknown) => {
        this.#say(id, `the event of asset ${name} was not delivered: ${messageOf(error)}`);
      });
    }
  }

  #say(taskId: string | undefined, text: string): void {
    this.#log.add({ at: new Date(this.#engine.clock.now()), type: "log", taskId, name: "error", value: text });
  }

  #tellUser({ id, place }: Draft, coords: Coords, { type, name, value }: Told): void {
    const at = new Date(this.#engine.clock.now());
    const { id: taskId, mapIndex } = instanceName(id, coords);
    const instance = this.#machine.instance(place, coords);
    this.#log.add({ at, type, taskId, mapIndex, attempt: instance === undefined ? 0 : attemptOf(instance), name, value });
  }

  #callbackInfo(task: number, coords: Coords): CallbackInfo {
    const instance = this.#machine.instance(task, coords);
    return {
      run: this.#summary, task: instanceName(this.#graph.tasks[task].id, coords),
      attempt: instance === undefined ? 0 : attemptOf(instance), error: this.#errors.get(keyOf(task, coords)),
    };
  }

  /** Callbacks change no state: what they throw is told in the log of the run. */
  #call(calls: DagTaskOptions["onSuccess"], info: CallbackInfo): void {
    for (const call of calls === undefined ? [] : [calls].flat()) {
      const { isLocal } = this.#engine.runner;
      Promise.resolve().then(() => (isLocal ? withoutCluster(() => call(info)) : call(info))).catch((error: unknown) => {
        this.#say(info.task?.id, `a callback failed: ${messageOf(error)}`);
      });
    }
  }

  #runState(state: RunState): void {
    const at = new Date(this.#engine.clock.now());
    this.#log.add({ at, type: "run", state });
    if (state === "running") this.#startedAt ??= at;
    if (!isOver(state)) return;
    this.#endedAt = at;
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
    this.#engine.admission.forget(this.id);
    const calls = state === "success" ? this.#options.onSuccess : this.#options.onFailure;
    this.#call(calls, { run: this.#summary, error: state === "success" ? undefined : this.#failure() });
    this.#log.end();
    this.#end();
  }

  #failure(): DagRunFailedError {
    const failures: DagRunFailedError["failures"][number][] = [];
    for (const slot of this.#machine.slots()) {
      for (const at of slot.instances ?? [slot]) {
        if (at.state !== "failed") continue;
        const error = this.#errors.get(keyOf(slot.task, at.coords)) ?? new TaskCancelledError(at.reason ?? "it was ended");
        failures.push({ taskId: instanceName(this.#graph.tasks[slot.task].id, at.coords).id, error });
      }
    }
    const [first] = failures;
    const text = first === undefined ? `it is ${this.state}` : `task ${first.taskId} failed: ${messageOf(first.error)}`;
    const more = failures.length > 1 ? `, and ${failures.length - 1} more` : "";
    return new DagRunFailedError(
      `run ${this.id} of ${this.dagId} ended as ${this.state}: ${text}${more}`,
      { runId: this.id, failures },
      first?.error,
    );
  }
}

function stackOf(error: unknown): string {
  return ((error as Error | undefined)?.stack ?? messageOf(error)).slice(0, STACK_MAX);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
