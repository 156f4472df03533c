// One run of a graph, as its users see it.

import { InvalidArgumentError, NotFoundError, ObjectLostError } from "../../sdk/index.ts";
import { instanceName, isWithin, keyOf, type Place } from "../engine/plan.ts";
import { isOver } from "../engine/states.ts";
import type { Draft } from "../graph/draft.ts";
import type { RunSummary } from "./context.ts";
import type { DagEvent, EventPage } from "./event-log.ts";
import { clearingOf, placeOf } from "./places.ts";
import { type Results, tasksOfResult } from "./results.ts";
import { hasFailures, rowsOf, type TaskInstanceRow } from "./rows.ts";
import { RunShell } from "./run-shell.ts";
import { explain, type Why, whyOf } from "./why.ts";

const MARKS: readonly string[] = ["success", "failed", "skipped"];

export class DagRun<R = unknown> extends RunShell {
  get dagId(): string {
    return this.summary.dagId;
  }

  get type(): RunSummary["type"] {
    return this.summary.type;
  }

  get logicalDate(): Date {
    return this.summary.logicalDate;
  }

  get dataInterval(): RunSummary["dataInterval"] {
    return this.summary.dataInterval;
  }

  get params(): Readonly<Record<string, unknown>> {
    return this.summary.params;
  }

  get startedAt(): Date | undefined {
    return this.startedTime;
  }

  /** Undefined while it is not over. */
  get endedAt(): Date | undefined {
    return isOver(this.state) ? this.endedTime : undefined;
  }

  /** @internal What waits for the run before. */
  past: { readonly tasks: readonly number[]; readonly wait: () => void } | undefined;

  override begin(): void {
    super.begin(this.past?.tasks);
    this.past?.wait();
  }

  /** @internal */
  pastIsOver(tasks: readonly number[]): void {
    this.step({ type: "past", tasks, at: this.engine.clock.now() });
  }

  /** @internal */
  isBlocked(task: number): boolean {
    return this.machine.isBlocked(task);
  }

  /** @internal Nobody but this process knows of it. */
  get isLocal(): boolean {
    return this.engine.runner.isLocal;
  }

  /** @internal */
  isBeside(other: DagRun): boolean {
    return this.engine === other.engine || (!this.isLocal && !other.isLocal);
  }

  /** Carries on a run whose process is gone. */
  async goOn(): Promise<void> {
    this.goOnWithout(await this.#recover());
  }

  /** @internal */
  get drafts(): readonly Draft[] {
    return this.graph.tasks;
  }

  /** @internal What there is to know of its results. */
  get outputs(): Pick<Results, "records" | "origins"> {
    return this.results;
  }

  async #recover(only?: ReadonlySet<number>): Promise<readonly Place[]> {
    const tell = (taskId: string, text: string): void => this.voice.say(taskId, text, this.engine.clock.now());
    return this.results.recover(this.engine.runner, this.machine, this.graph, tell, only);
  }

  async #findResults(tasks: ReadonlySet<number>): Promise<void> {
    const lost = await this.#recover(tasks);
    const names = lost.map(({ task, coords }) => instanceName(this.graph.tasks[task].id, coords).id).join(", ");
    if (names === "") return;
    throw new ObjectLostError(`results of run ${this.id} are nowhere any more: ${names}; resume("${this.id}") makes them again`);
  }

  /** @internal */
  rows(): TaskInstanceRow[] {
    return rowsOf(this.machine, this.graph);
  }

  /** A row an instance; tasks that were expanded over nothing, or not yet, have one of their own. */
  async tasks(): Promise<TaskInstanceRow[]> {
    return this.rows();
  }

  /** The value that the body of the graph gave. @throws DagRunFailedError. */
  async result(): Promise<R> {
    await this.done();
    if (this.state !== "success") throw this.failure();
    await this.#findResults(tasksOfResult(this.graph));
    return (await this.engine.runner.fetch(this.resolver.inputs(this.graph.result, { scope: [], coords: [] }))) as R;
  }

  /** The result as another run may have it. @throws DagRunFailedError. */
  async heldResult(): Promise<unknown> {
    await this.done();
    if (this.state !== "success") throw this.failure();
    await this.#findResults(tasksOfResult(this.graph));
    return this.engine.runner.hold(this.resolver.inputs(this.graph.result, { scope: [], coords: [] }));
  }

  /** Settles when the run is over, however. */
  async done(): Promise<this> {
    this.follower?.awaited();
    await this.ended;
    return this;
  }

  /**
   * Resolves when the run is over; of one that is over already it changes nothing. A run of another process is cancelled by
   * that one, which hears of it within seconds. @throws GetTimeoutError when it does not.
   */
  async cancel(reason = "the run was cancelled"): Promise<void> {
    if (isOver(this.state)) return this.ended;
    if (this.follower === undefined) this.cancelled(reason);
    else {
      this.follower.awaited();
      await this.follower.cancel(reason);
    }
    await this.ended;
  }

  /** Everything the run has told and will tell, from the start or from an event on. */
  events({ from = 0 }: { from?: number } = {}): AsyncIterable<DagEvent> {
    this.follower?.awaited();
    return this.voice.log.from(from);
  }

  /** The same, a page at a time. */
  page(from: number, limit: number, waitMs: number): Promise<EventPage> {
    return this.voice.log.page(from, limit, waitMs);
  }

  /** Why a task is where it is. @throws NotFoundError. */
  why(taskId: string): Why {
    const { task, coords: only } = placeOf(this.graph, this.id, taskId);
    return explain(this.machine, this.graph.tasks[task], (coords) => {
      const waiting = this.ready.get(keyOf(task, coords));
      return waiting === undefined ? undefined : this.engine.admission.blockOf(waiting);
    }, only);
  }

  /** The same, with what the cluster says of attempts that it has: what they lack, or where they run. @throws NotFoundError. */
  async explain(taskId: string): Promise<Why> {
    const { task, coords } = placeOf(this.graph, this.id, taskId);
    const { reasons } = this.why(taskId);
    return whyOf(this.graph.tasks[task].id, [...reasons, ...(await this.explainAttempts(task, coords))]);
  }

  /** @throws NotFoundError, also for an instance that there is not. */
  #placeOf(name: string): Place {
    const place = placeOf(this.graph, this.id, name);
    const { task, coords } = place;
    if (coords.length > 0 && !this.machine.placesOf(task).some((one) => isWithin(one, coords)))
      throw new NotFoundError(`run ${this.id} has no instance ${name}; tasks() has all that there are`);
    return place;
  }

  /**
   * Runs tasks again, and with `downstream` all that comes after them; everything else keeps its result. @throws
   * NotFoundError.
   */
  async clear(taskIds: string | readonly string[], { downstream = true }: { downstream?: boolean } = {}): Promise<this> {
    await this.settled();
    const places = [taskIds].flat().map((id) => this.#placeOf(id));
    const { tasks, instances, read } = clearingOf(this.graph, places, downstream);
    const lost = await this.#recover(read);
    const again = { tasks: [...tasks], instances, lost };
    await this.restart({ type: "cleared", ...again, at: this.engine.clock.now() });
    return this;
  }

  /** Runs everything again that has not succeeded, and what succeeded and whose result is nowhere any more. */
  async resume(): Promise<this> {
    if (!isOver(this.state) && !hasFailures(this.rows())) return this;
    await this.ended;
    const lost = await this.#recover();
    const isWhole = this.state === "success" && !hasFailures(rowsOf(this.machine, this.graph));
    const needed = tasksOfResult(this.graph);
    if (isWhole && !lost.some(({ task }) => needed.has(task))) return this;
    await this.restart({ type: "resumed", anew: true, lost, at: this.engine.clock.now() });
    return this;
  }

  /** Gives a task another end by hand; nothing is run for it. One instance of many by its name: `train[2]`. */
  async mark(taskId: string, state: "success" | "failed" | "skipped"): Promise<this> {
    if (!MARKS.includes(state))
      throw new InvalidArgumentError(`mark ${taskId}: the state must be ${MARKS.join(", ")}, not ${String(state)}`);
    await this.settled();
    const place = this.#placeOf(taskId);
    await this.restart({ type: "marked", ...place, state, at: this.engine.clock.now() });
    return this;
  }
}
