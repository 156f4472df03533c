// Submits tasks: waits for their arguments, pushes them to leased workers, judges what becomes of them.
//
// The shell of task-life.ts and lease-pool.ts. It owns the pending tasks by number; leases come and go at the lease desk, and
// results go to the entries of the object table through `settle`. Workers that are gone are judged when departures.ts says so.

import { isEnded, retryDelay, stepTask, type TaskEvent } from "../../core/index.ts";
import { failureOf, GROUP_REMOVED, OUT_OF_MEMORY, TaskTimeoutError } from "../../errors.ts";
import type { Clock } from "../../seams.ts";
import type { Draft, Failure, ProcessDied, TaskDone } from "../../transport/index.ts";
import { AbandonedAttempts, type CancelOptions, watchAttempt } from "./abandoned.ts";
import { Departures, type Departed } from "./departures.ts";
import { crashFailure, nodeCause } from "./crash-failure.ts";
import type { Home } from "../home.ts";
import { LeaseDesk } from "./lease-desk.ts";
import { Locality } from "./locality.ts";
import { Limits } from "./limits.ts";
import type { Link, ProcessAddress } from "../links.ts";
import type { ObjectEntry } from "../objects/object-ref.ts";
import type { Recovery } from "../recovery/recovery.ts";
import type { OutcomeParts } from "./outcome.ts";
import { codeOf, errorFor, isError, type WireValue } from "../values/wire-value.ts";
import type { Traps } from "../reports/traps.ts";
import { pushTo } from "./task-lease.ts";
import { measured, tagOf, type SchedulingClass, type TaskLease, type TaskRecord } from "./task-record.ts";

export interface SubmissionParts extends OutcomeParts {
  readonly clock: Clock;
  readonly home: Home;
  readonly nodeId: string;
  readonly jobId: () => string;
  readonly newShortId: () => number;
  readonly traps: Pick<Traps, "ends">;
  readonly connect: (address: ProcessAddress) => Promise<Link>;
  /** Ends the attempt of a task that this process runs itself while its parent waits. */
  readonly endHere: (task: TaskRecord, reason: Error, recursive: boolean) => void;
  readonly recovery: Pick<Recovery, "argumentsLost" | "taskEnded">;
}

export class Submission {
  readonly #parts: SubmissionParts;
  /** What this process says to its agent about leases, and hears. */
  readonly leases: LeaseDesk;
  readonly #pending = new Map<number, TaskRecord>();
  /** Those of them with more results than the one that they are named after. */
  readonly #several = new Set<TaskRecord>();
  readonly #departures: Departures;
  readonly #limits: Limits<TaskRecord>;
  readonly #abandoned: AbandonedAttempts;
  readonly #locality: Locality;

  constructor(parts: SubmissionParts) {
    this.#parts = parts;
    const { clock, home, nodeId, jobId, connect } = parts;
    this.leases = new LeaseDesk({
      clock, home, nodeId, jobId, connect,
      pump: (scheduling) => this.#pump(scheduling),
      refused: (scheduling, failure) => this.#refused(scheduling, failure),
      recall: (lease) => this.#recall(lease),
    });
    this.#departures = new Departures({
      clock,
      concerns: (process) => this.leases.of(process).length > 0,
      isRemote: (process) => this.leases.of(process).some(({ page }) => page === undefined),
      judge: (process, departed) => this.#judge(process, departed),
    });
    this.#abandoned = new AbandonedAttempts(parts.clock, parts.home);
    const over = (task: TaskRecord, reason: Error) => void this.cancel(task, reason, { force: false, recursive: true });
    this.#locality = new Locality(parts.nodeId, parts.newShortId);
    this.#limits = new Limits(parts.clock, (task) => `task "${task.template.name}"`, over);
  }

  get size(): number {
    return this.#pending.size;
  }

  pending(): Iterable<TaskRecord> {
    return this.#pending.values();
  }

  /** Takes a task whose arguments are counted in `unresolved`; with none it goes to its pool at once. */
  submit(task: TaskRecord): void {
    this.#pending.set(task.number, task);
    if (task.results.length > 1) this.#several.add(task);
    if (task.limit !== undefined) this.#limits.watch(task);
    if (task.unresolved === 0) this.#apply(task, ARGUMENTS_READY);
  }

  argumentReady(task: TaskRecord): void {
    task.unresolved -= 1;
    if (task.unresolved === 0) this.#apply(task, ARGUMENTS_READY);
  }

  argumentFailed(task: TaskRecord, error: WireValue): void {
    if (stepTask(task.life, { kind: "argumentFailed" }) === "fail") this.#fail(task, error);
  }

  /** The newest queued task that a suspended attempt of this process submitted, taken out of its pool. */
  takeChild(fits: (task: TaskRecord) => boolean): TaskRecord | undefined {
    for (const scheduling of this.leases.classes()) {
      if (!scheduling.shareable) continue;
      const task = scheduling.pool.takeNewest();
      if (task === undefined) continue;
      if (task.parent !== undefined && fits(task)) {
        stepTask(task.life, PUSHED);
        this.leases.orderSoon(scheduling);
        return task;
      }
      scheduling.pool.enqueue(task);
    }
    return undefined;
  }

  /** The outcome of a task that ran in this process (takeChild). */
  finishedHere(task: TaskRecord, done: TaskDone): void {
    this.#conclude(task, done, undefined);
  }

  /** The pending task that makes the result of that number. */
  find(number: number): TaskRecord | undefined {
    const task = this.#pending.get(number);
    if (task !== undefined) return task;
    for (const one of this.#several) if (number > one.number && number < one.number + one.results.length) return one;
    return undefined;
  }

  /** Ends a task before its code does: its refs fail with `reason` at once. False when it had ended. */
  cancel(task: TaskRecord, reason: Error, { force, recursive }: CancelOptions): boolean {
    const { state } = task.life;
    if (stepTask(task.life, REFUSED) !== "fail") return false;
    const { scheduling } = task;
    if (state === "queued") scheduling.pool.remove(task);
    const runsOn = state === "pushed" && this.#abandon(task, reason, { force, recursive });
    this.#fail(task, { failure: failureOf(reason) as Failure }, runsOn);
    this.#pump(scheduling);
    return true;
  }

  // -- what the agent says -----------------------------------------------------------------------------------------

  processDied(died: ProcessDied): void {
    this.#departures.died(died);
  }

  nodeDied(node: string, reason: string): void {
    const departed = { cause: nodeCause(`node ${node} died: ${reason}`), claims: undefined };
    for (const worker of this.leases.workersOn(node)) this.#departures.judgeNow(worker, departed);
  }

  // -- what workers say --------------------------------------------------------------------------------------------

  taskDone(done: TaskDone, link: Link): void {
    this.#parts.stillHeld(done, link);
    const task = this.#pending.get(done.task);
    if (task === undefined || task.lease?.link !== link || task.life.attempt !== done.attempt) {
      this.#parts.discard(done.results);
      return this.#abandonedDone(done, link);
    }
    const lease = task.lease as TaskLease;
    const { scheduling } = task;
    scheduling.pool.finished(lease, task, this.#parts.clock.now());
    // A worker that hands tasks back is waiting itself: it gets no more before it has finished one.
    lease.blocked = done.skipped && done.lost.length === 0;
    if (!done.skipped) {
      measured(task.template, done.micros);
      this.#parts.traps.ends(task.template);
    }
    this.#conclude(task, done, link);
    this.#pump(scheduling);
    this.leases.idled(scheduling, lease);
  }

  linkClosed(link: Link): void {
    this.#departures.linkClosed(link.process);
  }

  /** The session ends: every pending task fails with `failure`. */
  close(failure: Failure): void {
    this.#departures.close();
    for (const task of [...this.#pending.values()]) {
      if (stepTask(task.life, REFUSED) === "fail") this.#fail(task, { failure });
    }
    this.leases.close();
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #refused(scheduling: SchedulingClass, failure: Failure): void {
    for (const task of scheduling.pool.drainQueue()) {
      if (stepTask(task.life, REFUSED) === "fail") this.#fail(task, { failure });
    }
  }

  #apply(task: TaskRecord, event: TaskEvent): void {
    const effect = stepTask(task.life, event);
    if (effect === "enqueue") this.#enqueue(task, false);
    else if (effect === "retry") this.#retryLater(task);
  }

  #enqueue(task: TaskRecord, first: boolean): void {
    const scheduling = first ? task.scheduling : this.#locality.classOf(task);
    task.scheduling = scheduling;
    this.leases.open(scheduling);
    if (first) scheduling.pool.enqueueFirst(task);
    else scheduling.pool.enqueue(task);
    this.#pump(scheduling);
  }

  #retryLater(task: TaskRecord, isForMemory = false): void {
    const delay = retryDelay(task.life, task.template.retryDelays, isForMemory);
    task.retryAt = this.#parts.clock.now() + delay;
    this.#parts.clock.after(delay, () => this.#apply(task, { kind: "delayElapsed" }), true);
  }

  /** Pushes what fits and orders what is missing, the latter once a turn. */
  #pump(scheduling: SchedulingClass): void {
    const { pool } = scheduling;
    const now = this.#parts.clock.now();
    for (let next = pool.next(now); next !== undefined; next = pool.next(now)) {
      this.#push(next.task, next.lease);
      if (next.lease.inFlight.size > 1) this.leases.watchPipelines();
    }
    this.leases.orderSoon(scheduling);
  }

  #push(task: TaskRecord, lease: TaskLease): void {
    stepTask(task.life, PUSHED);
    const stream = task.template.streamAhead > 0 ? this.#parts.position(task.number) : undefined;
    pushTo(lease, task, this.#parts.nodeId, this.#parts.clock, stream);
    const limitMs = task.template.attemptTimeoutMs;
    if (limitMs !== undefined) {
      const over = () => this.#attemptOver(task, `did not end within ${limitMs} ms`, limitMs, false);
      watchAttempt(this.#parts.clock, task, lease, limitMs, (startedAt) => startedAt, over);
    }
    const silentMs = task.template.heartbeatTimeoutMs;
    if (silentMs !== undefined) {
      const over = () => this.#attemptOver(task, `gave no heartbeat for ${silentMs} ms`, silentMs, true);
      watchAttempt(this.#parts.clock, task, lease, silentMs, (startedAt) => Math.max(startedAt, task.heartbeat?.at ?? 0), over);
    }
  }

  #conclude(task: TaskRecord, done: TaskDone, link: Link | undefined): void {
    if (done.skipped) return this.#unstarted(task, done);
    const first = done.results[0] as WireValue | undefined;
    if (first === undefined || !isError(first))
      return this.#outcome(task, done, link, { kind: "returned", attempt: done.attempt });
    const threw = (retriable: boolean) => this.#outcome(task, done, link, { kind: "threw", attempt: done.attempt, retriable });
    const retriable = this.#parts.retriable(task.template.retryOn, first);
    if (typeof retriable === "boolean") threw(retriable);
    else void retriable.then(threw);
  }

  #unstarted(task: TaskRecord, { attempt, lost = [] }: Draft<TaskDone>): void {
    if (!lost?.length) return this.#applyAgain(task, { kind: "unstarted", attempt: attempt ?? 0 });
    if (stepTask(task.life, { kind: "argumentsLost", attempt: attempt ?? 0 }) === "ignore") return;
    task.lease = undefined;
    this.#parts.recovery.argumentsLost(task, lost);
  }

  #outcome(task: TaskRecord, done: TaskDone, link: Link | undefined, event: TaskEvent): void {
    const threw = event.kind === "threw";
    const effect = stepTask(task.life, event);
    if (effect === "ignore" || effect === "retry") this.#parts.discard(done.results);
    if (effect === "retry") return this.#retryLater(task);
    if (effect === "ignore") return;
    this.#settle(task, done, link, threw ? codeOf(done.results[0]) : "", (entry, index) => {
      this.#parts.settle(entry, threw ? errorFor(index, done.results[0]) : done.results[index]);
    });
    if (!threw) this.#parts.recovery.taskEnded(task);
    this.#parts.released(task);
  }

  /** `runsOn`: its code does not know yet; what it was given is kept for it until it ends. */
  #fail(task: TaskRecord, error: WireValue, runsOn = false): void {
    this.#settle(task, undefined, undefined, codeOf(error), (entry) => this.#parts.settle(entry, error));
    if (!runsOn) this.#parts.released(task);
  }

  #settle(
    task: TaskRecord, done: TaskDone | undefined, link: Link | undefined, errorCode: string,
    settle: (entry: ObjectEntry, index: number) => void,
  ): void {
    this.#pending.delete(task.number);
    this.#several.delete(task);
    this.#parts.ended();
    if (task.limit !== undefined) this.#limits.release(task);
    task.lease = undefined;
    const { history, clock } = this.#parts;
    const { number, template, life, submittedAt } = task;
    history.add(number, template.name, life.attempt, submittedAt, clock.now(), done, link, "", errorCode);
    task.results.forEach(settle);
  }

  /** The pushed attempt no longer counts: it never starts, or is told. True when it runs on. */
  #abandon(task: TaskRecord, reason: Error, options: CancelOptions): boolean {
    const { lease } = task;
    if (lease === undefined) {
      this.#parts.endHere(task, reason, options.recursive);
      return false;
    }
    if (!lease.page?.recall(task.slot, tagOf(task, lease))) {
      this.#abandoned.add(task, lease, reason, options);
      return true;
    }
    this.#left(lease, task);
    return false;
  }

  #abandonedDone(done: TaskDone, link: Link): void {
    const found = this.#abandoned.take(done, link);
    if (found === undefined) return;
    this.#forgotten(found.task);
    this.#left(found.lease, found.task);
  }

  /** An attempt that timed out may have been followed by another, which needs the same arguments. */
  #forgotten(task: TaskRecord): void {
    if (isEnded(task.life)) this.#parts.released(task);
  }

  /** A lease has room again. */
  #left(lease: TaskLease, task: TaskRecord): void {
    const { scheduling } = task;
    scheduling.pool.finished(lease, task, this.#parts.clock.now());
    this.#pump(scheduling);
    this.leases.idled(scheduling, lease);
  }

  /** `isLost`: it is tried again like an attempt whose worker died. */
  #attemptOver(task: TaskRecord, why: string, timeoutMs: number, isLost: boolean): void {
    const { template, life } = task;
    const error = new TaskTimeoutError(`attempt ${life.attempt} of task "${template.name}" ${why}`, { timeoutMs });
    const runsOn = this.#abandon(task, error, { force: false, recursive: true });
    const retriable = isLost || (template.retryOn?.(error) ?? false);
    const effect = stepTask(life, { kind: "threw", attempt: life.attempt, retriable });
    task.lease = undefined;
    if (effect === "retry") this.#retryLater(task);
    else if (effect === "fail") this.#fail(task, { failure: failureOf(error) as Failure }, runsOn);
  }

  /** Takes back what the worker has not started; it keeps what runs. */
  #recall(lease: TaskLease): void {
    if (lease.page === undefined) return;
    for (const task of [...lease.inFlight].reverse()) {
      if (task.lease !== lease || !lease.page.recall(task.slot, tagOf(task, lease))) continue;
      task.scheduling.pool.finished(lease, task, this.#parts.clock.now());
      task.lease = undefined;
      this.#applyAgain(task, { kind: "unstarted", attempt: task.life.attempt });
    }
  }

  #applyAgain(task: TaskRecord, event: TaskEvent): void {
    const effect = stepTask(task.life, event);
    if (effect === "enqueue") {
      task.lease = undefined;
      this.#enqueue(task, true);
    } else if (effect === "retry") this.#retryLater(task);
  }

  #judge(process: string, departed: Departed): void {
    for (const lease of this.leases.of(process)) {
      const scheduling = this.leases.lost(lease);
      const tasks = [...lease.inFlight];
      lease.inFlight.clear();
      for (const task of tasks) if (task.lease === lease) this.#judgeTask(task, lease, departed);
      for (const task of this.#abandoned.takeAll(lease)) this.#forgotten(task);
      // Its claim page has been read.
      this.leases.giveBack(lease.id, lease.node, "its worker is gone");
      this.#pump(scheduling);
    }
  }

  #judgeTask(task: TaskRecord, lease: TaskLease, { cause, claims }: Departed): void {
    const attempt = task.life.attempt;
    const tag = tagOf(task, lease);
    // Nobody can tell: then it may have run.
    const started = lease.page?.isClaimed(task.slot, tag) ?? claims?.has(tag) ?? true;
    if (!started) return this.#applyAgain(task, { kind: "unstarted", attempt });
    const isForMemory = cause?.reason === OUT_OF_MEMORY;
    const effect = stepTask(task.life, lossOf(cause?.reason, attempt, task.template.maxRetries));
    if (effect === "retry") {
      task.lease = undefined;
      this.#retryLater(task, isForMemory);
    } else if (effect === "fail") this.#fail(task, { failure: crashFailure(task, lease, cause) });
  }
}

const ARGUMENTS_READY: TaskEvent = { kind: "argumentsReady" };
const PUSHED: TaskEvent = { kind: "pushed" };
const REFUSED: TaskEvent = { kind: "refused" };

function lossOf(reason: string | undefined, attempt: number, allowed: number): TaskEvent {
  if (reason === OUT_OF_MEMORY) return { kind: "outOfMemory", attempt, allowed };
  // What belonged to a group that was removed is never tried again.
  return reason === GROUP_REMOVED ? REFUSED : { kind: "lost", attempt };
}
