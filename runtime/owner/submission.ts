// Submits tasks: waits for their arguments, pushes them to leased workers, judges what becomes of them.
//
// The shell of task-life.ts and lease-pool.ts. It owns the pending tasks by number and the leases by id; results go to the
// entries of the object table through `settle`. A worker that is gone is judged only when its channel has delivered
// everything it sent and its agent has told the cause (or a second has passed), so a finished task is never charged.

import { stepTask, STUCK_MS, type TaskEvent } from "../core/index.ts";
import { failureOf } from "../errors.ts";
import type { Clock, Timer } from "../seams.ts";
import { CLAIM_SLOTS, claimTag, type ClaimPage } from "../store/index.ts";
import type { Channel, DeathCause, Failure, LeaseGranted, LeaseRefused, ProcessDied, TaskDone } from "../transport/index.ts";
import type { RetryOn } from "./actor-client.ts";
import { crashFailure, nodeCause } from "./crash-failure.ts";
import type { Link, ProcessAddress } from "./links.ts";
import type { ObjectEntry } from "./object-ref.ts";
import { codeOf, isError, type WireValue } from "./wire-value.ts";
import type { TaskHistory } from "./task-history.ts";
import { measured, type SchedulingClass, type TaskLease, type TaskRecord } from "./task-record.ts";

/** How long a broken channel waits for the agent's word on why. */
export const DEATH_CAUSE_WAIT_MS = 1000;
/** Idle leases are looked for this often while there are any. */
const IDLE_SWEEP_MS = 50;

export interface SubmissionParts {
  readonly clock: Clock;
  readonly agent: Channel;
  readonly nodeId: string;
  readonly jobId: () => string;
  readonly connect: (address: ProcessAddress) => Promise<Link>;
  readonly claimPage: (index: number) => ClaimPage | undefined;
  readonly history: TaskHistory;
  /** Gives an entry its value, or its error, once. */
  readonly settle: (entry: ObjectEntry, value: WireValue, from: Link | undefined) => void;
  /** The task is over: its arguments are no longer needed. `held` are those the executor keeps. */
  readonly released: (task: TaskRecord, done: TaskDone | undefined, link: Link | undefined) => void;
  /** Frees what a reply carries that nobody wants. */
  readonly discard: (values: readonly WireValue[]) => void;
  /** A promise when the class of the error has to be brought here first. Never rejects. */
  readonly retriable: (retryOn: RetryOn, error: WireValue) => boolean | Promise<boolean>;
}

interface Departed {
  cause: DeathCause | undefined;
  claims: Uint8Array | undefined;
  closed: boolean;
  timer: Timer | undefined;
}

export class Submission {
  readonly #parts: SubmissionParts;
  readonly #pending = new Map<number, TaskRecord>();
  readonly #leases = new Map<string, { readonly lease: TaskLease; readonly scheduling: SchedulingClass }>();
  readonly #classes = new Map<number, SchedulingClass>();
  readonly #departed = new Map<string, Departed>();
  readonly #dirty = new Set<SchedulingClass>();
  #sweep: Timer | undefined;
  #watch: Timer | undefined;
  #returning: TaskLease[] = [];
  #turnScheduled = false;

  constructor(parts: SubmissionParts) {
    this.#parts = parts;
  }

  pending(): Iterable<TaskRecord> {
    return this.#pending.values();
  }

  /** Takes a task whose arguments are counted in `unresolved`; with none it goes to its pool at once. */
  submit(task: TaskRecord): void {
    this.#pending.set(task.number, task);
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
    for (const scheduling of this.#classes.values()) {
      if (!scheduling.shareable) continue;
      const task = scheduling.pool.takeNewest();
      if (task === undefined) continue;
      if (task.parent !== undefined && fits(task)) {
        stepTask(task.life, PUSHED);
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

  // -- what the agent says -----------------------------------------------------------------------------------------

  leaseGranted(granted: LeaseGranted): void {
    const scheduling = this.#classes.get(granted.schedulingClass);
    if (scheduling === undefined || this.#leases.has(granted.lease)) {
      if (scheduling === undefined) this.#returnLease(granted.lease, granted.node, "unknown class");
      return;
    }
    const address = { process: granted.worker, node: granted.node };
    this.#parts.connect(address).then(
      (link) => this.#addLease(granted, scheduling, link),
      () => this.#returnLease(granted.lease, granted.node, "worker out of reach"),
    );
  }

  leaseRefused(refused: LeaseRefused): void {
    const scheduling = this.#classes.get(refused.schedulingClass);
    if (scheduling === undefined) return;
    this.#refuse(scheduling, refused.failure as Failure);
  }

  #refuse(scheduling: SchedulingClass, failure: Failure): void {
    scheduling.pool.forgetOrder();
    for (const task of scheduling.pool.drainQueue()) {
      if (stepTask(task.life, { kind: "refused" }) === "fail") this.#fail(task, { failure });
    }
  }

  /**
   * demand: others wait, so it goes back as soon as it is idle. Any other reason: send no more, take back what has not
   * started.
   */
  leaseRevoked(leaseId: string, reason: string): void {
    const found = this.#leases.get(leaseId);
    if (found === undefined) return;
    if (reason === "demand") {
      found.lease.wanted = true;
      return this.#returnIdle(found.scheduling, false);
    }
    found.lease.closing = true;
    this.#recall(found.lease);
    this.#pump(found.scheduling);
    this.#returnIdle(found.scheduling, false);
  }

  processDied(died: ProcessDied): void {
    const departed = this.#departure(died.process);
    if (departed === undefined) return;
    departed.cause = died.cause ?? undefined;
    departed.claims = died.claims;
    if (departed.closed) this.#judge(died.process, departed);
  }

  nodeDied(node: string, reason: string): void {
    for (const { lease } of [...this.#leases.values()]) {
      if (lease.node !== node) continue;
      const text = `node ${node} died: ${reason}`;
      this.#judge(lease.worker, { cause: nodeCause(text), claims: undefined, closed: true, timer: undefined });
    }
  }

  // -- what workers say --------------------------------------------------------------------------------------------

  taskDone(done: TaskDone, link: Link): void {
    const task = this.#pending.get(done.task);
    if (task === undefined || task.lease === undefined || task.lease.link !== link) {
      this.#parts.discard(done.results);
      return;
    }
    const { lease } = task;
    const scheduling = task.template.scheduling;
    scheduling.pool.finished(lease, task, this.#parts.clock.now());
    // A worker that hands tasks back is waiting itself: it gets no more before it has finished one.
    lease.blocked = done.skipped;
    if (!done.skipped) measured(task.template, done.micros);
    this.#conclude(task, done, link);
    this.#pump(scheduling);
    if (lease.inFlight.size === 0) this.#leaseIdle(scheduling, lease);
  }

  linkClosed(link: Link): void {
    const departed = this.#departure(link.process);
    if (departed === undefined) return;
    departed.closed = true;
    if (departed.cause !== undefined) return this.#judge(link.process, departed);
    departed.timer ??= this.#parts.clock.after(DEATH_CAUSE_WAIT_MS, () => this.#judge(link.process, departed), true);
  }

  /** The session ends: every pending task fails with `failure`. */
  close(failure: Failure): void {
    this.#sweep?.cancel();
    this.#watch?.cancel();
    for (const departed of this.#departed.values()) departed.timer?.cancel();
    for (const task of [...this.#pending.values()]) {
      if (stepTask(task.life, { kind: "refused" }) === "fail") this.#fail(task, { failure });
    }
    for (const scheduling of this.#classes.values()) this.#returnIdle(scheduling, true);
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #apply(task: TaskRecord, event: TaskEvent): void {
    const effect = stepTask(task.life, event);
    if (effect === "enqueue") this.#enqueue(task, false);
    else if (effect === "retry") this.#retryLater(task);
  }

  #enqueue(task: TaskRecord, first: boolean): void {
    const { scheduling } = task.template;
    this.#classes.set(scheduling.id, scheduling);
    if (first) scheduling.pool.enqueueFirst(task);
    else scheduling.pool.enqueue(task);
    this.#pump(scheduling);
  }

  #retryLater(task: TaskRecord): void {
    const { retryDelayMs, retryBackoff, maxRetryDelayMs } = task.template;
    const delay = Math.min(maxRetryDelayMs, retryDelayMs * retryBackoff ** Math.max(0, task.life.attempt - 1));
    this.#parts.clock.after(delay, () => this.#apply(task, { kind: "delayElapsed" }), true);
  }

  /** Pushes what fits and orders what is missing, the latter once a turn. */
  #pump(scheduling: SchedulingClass): void {
    const { pool } = scheduling;
    const now = this.#parts.clock.now();
    for (let next = pool.next(now); next !== undefined; next = pool.next(now)) {
      this.#push(next.task, next.lease);
      if (next.lease.inFlight.size > 1) this.#watch ??= this.#parts.clock.after(STUCK_MS, () => this.#watchPipelines());
    }
    this.#orderSoon(scheduling);
  }

  /** Takes back what queues behind a task that takes long; looks again while anything is queued behind another. */
  #watchPipelines(): void {
    this.#watch = undefined;
    const now = this.#parts.clock.now();
    let deep = false;
    for (const scheduling of this.#classes.values()) {
      for (const lease of scheduling.pool.stuck(now)) {
        lease.blocked = true;
        this.#recall(lease);
      }
      for (const lease of scheduling.pool.leases.values()) deep ||= lease.inFlight.size > 1;
    }
    if (deep) this.#watch ??= this.#parts.clock.after(STUCK_MS, () => this.#watchPipelines());
  }

  #orderSoon(scheduling: SchedulingClass): void {
    this.#dirty.add(scheduling);
    if (this.#turnScheduled) return;
    this.#turnScheduled = true;
    queueMicrotask(() => this.#endTurn());
  }

  #endTurn(): void {
    this.#turnScheduled = false;
    for (const scheduling of this.#dirty) {
      if (scheduling.environment.id === undefined) {
        this.#prepareEnvironment(scheduling);
        continue;
      }
      const wanted = scheduling.pool.order();
      if (wanted !== undefined) this.#order(scheduling, wanted);
    }
    this.#dirty.clear();
    // After the orders: a lease that comes back while its order stands is granted anew.
    for (const { id, node } of this.#returning) this.#returnLease(id, node, "idle");
    this.#returning = [];
  }

  /** Nothing is ordered before the agent has what the work is to run in. */
  #prepareEnvironment(scheduling: SchedulingClass): void {
    if (scheduling.pool.queued === 0) return;
    scheduling.environment.prepare().then(
      () => this.#pump(scheduling),
      (error: unknown) => this.#refuse(scheduling, failureOf(error) as Failure),
    );
  }

  #order(scheduling: SchedulingClass, wanted: number): void {
    this.#parts.agent.send("leaseRequest", {
      schedulingClass: scheduling.id,
      resources: scheduling.resources,
      wanted,
      strategy: scheduling.strategy,
      jobId: this.#parts.jobId(),
      environment: scheduling.environment.id,
      infeasibleGraceMs: scheduling.infeasibleGraceMs,
      name: scheduling.name,
      origin: "",
      hops: 0,
    });
  }

  #push(task: TaskRecord, lease: TaskLease): void {
    stepTask(task.life, PUSHED);
    task.lease = lease;
    const slot = lease.nextSlot;
    lease.nextSlot = slot + 1 === CLAIM_SLOTS ? 0 : slot + 1;
    task.slot = slot;
    lease.page?.queue(slot, claimTag(task.number));
    const { link } = lease;
    const { template } = task;
    if (!link.templates.has(template.id)) sendTemplate(link, template);
    link.channel.send("pushTask", {
      template: template.id,
      task: task.number,
      attempt: task.life.attempt,
      slot,
      lease: lease.id,
      args: task.args,
      bound: task.bound,
      chain: task.chain,
      ownerNode: this.#parts.nodeId,
      codes: task.codes,
    });
  }

  #conclude(task: TaskRecord, done: TaskDone, link: Link | undefined): void {
    if (done.skipped) {
      this.#applyAgain(task, { kind: "unstarted", attempt: done.attempt });
      return;
    }
    const first = done.results[0] as WireValue | undefined;
    if (first === undefined || !isError(first))
      return this.#outcome(task, done, link, { kind: "returned", attempt: done.attempt });
    const threw = (retriable: boolean) => this.#outcome(task, done, link, { kind: "threw", attempt: done.attempt, retriable });
    const retriable = this.#parts.retriable(task.template.retryOn, first);
    if (typeof retriable === "boolean") threw(retriable);
    else void retriable.then(threw);
  }

  #outcome(task: TaskRecord, done: TaskDone, link: Link | undefined, event: TaskEvent): void {
    const threw = event.kind === "threw";
    const effect = stepTask(task.life, event);
    if (effect === "ignore") return this.#parts.discard(done.results);
    if (effect === "retry") return this.#retryLater(task);
    this.#end(task, done, link, threw ? codeOf(done.results[0]) : "", (entry, index) => {
      this.#parts.settle(entry, done.results[threw ? 0 : index], link);
    });
  }

  #fail(task: TaskRecord, error: WireValue): void {
    this.#end(task, undefined, undefined, codeOf(error), (entry) => this.#parts.settle(entry, error, undefined));
  }

  #end(
    task: TaskRecord, done: TaskDone | undefined, link: Link | undefined, errorCode: string,
    settle: (entry: ObjectEntry, index: number) => void,
  ): void {
    this.#pending.delete(task.number);
    task.lease = undefined;
    const { history, clock } = this.#parts;
    const { number, template, life, submittedAt } = task;
    const micros = done?.micros ?? 0;
    history.add(number, template.name, life.attempt, submittedAt, clock.now(), micros, done?.pid ?? 0, link, "", errorCode);
    task.results.forEach(settle);
    this.#parts.released(task, done, link);
  }

  #addLease(granted: LeaseGranted, scheduling: SchedulingClass, link: Link): void {
    const lease: TaskLease = {
      id: granted.lease,
      worker: granted.worker,
      node: granted.node,
      link,
      page: granted.node === this.#parts.nodeId ? this.#parts.claimPage(granted.claimPage) : undefined,
      inFlight: new Set(),
      backlogMicros: 0,
      closing: false,
      wanted: false,
      blocked: false,
      idleSince: this.#parts.clock.now(),
      movedAt: this.#parts.clock.now(),
      nextSlot: 0,
    };
    this.#leases.set(lease.id, { lease, scheduling });
    scheduling.pool.granted(lease);
    this.#pump(scheduling);
    if (lease.inFlight.size === 0) this.#leaseIdle(scheduling, lease);
  }

  #leaseIdle(scheduling: SchedulingClass, lease: TaskLease): void {
    if (lease.closing || lease.wanted) return this.#returnIdle(scheduling, false);
    this.#sweep ??= this.#parts.clock.after(IDLE_SWEEP_MS, () => this.#sweepIdle());
  }

  #sweepIdle(): void {
    this.#sweep = undefined;
    let more = false;
    for (const scheduling of this.#classes.values()) {
      this.#returnIdle(scheduling, false);
      for (const lease of scheduling.pool.leases.values()) more ||= lease.inFlight.size === 0;
    }
    if (more) this.#sweep = this.#parts.clock.after(IDLE_SWEEP_MS, () => this.#sweepIdle());
  }

  #returnIdle(scheduling: SchedulingClass, all: boolean): void {
    for (const lease of scheduling.pool.takeIdle(this.#parts.clock.now(), all)) {
      this.#leases.delete(lease.id);
      this.#returning.push(lease);
    }
    this.#orderSoon(scheduling);
  }

  #returnLease(lease: string, node: string, reason: string): void {
    if (this.#parts.agent.open) this.#parts.agent.send("leaseReturned", { lease, node, reason });
  }

  /** Takes back what the worker has not started; it keeps what runs. */
  #recall(lease: TaskLease): void {
    if (lease.page === undefined) return;
    for (const task of [...lease.inFlight].reverse()) {
      if (!lease.page.recall(task.slot, claimTag(task.number))) continue;
      task.template.scheduling.pool.finished(lease, task, this.#parts.clock.now());
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

  #departure(process: string): Departed | undefined {
    const known = this.#departed.get(process);
    if (known !== undefined) return known;
    if (![...this.#leases.values()].some(({ lease }) => lease.worker === process)) return undefined;
    const departed: Departed = { cause: undefined, claims: undefined, closed: false, timer: undefined };
    this.#departed.set(process, departed);
    return departed;
  }

  #judge(process: string, departed: Departed): void {
    departed.timer?.cancel();
    this.#departed.delete(process);
    for (const { lease, scheduling } of [...this.#leases.values()]) {
      if (lease.worker !== process) continue;
      this.#leases.delete(lease.id);
      scheduling.pool.lost(lease.id);
      const tasks = [...lease.inFlight];
      lease.inFlight.clear();
      for (const task of tasks) this.#judgeTask(task, lease, departed);
      this.#pump(scheduling);
    }
  }

  #judgeTask(task: TaskRecord, lease: TaskLease, departed: Departed): void {
    const attempt = task.life.attempt;
    const started = lease.page === undefined || lease.page.isClaimed(task.slot, claimTag(task.number));
    if (!started) return this.#applyAgain(task, { kind: "unstarted", attempt });
    const effect = stepTask(task.life, { kind: "lost", attempt });
    if (effect === "retry") {
      task.lease = undefined;
      this.#retryLater(task);
    } else if (effect === "fail") this.#fail(task, { failure: crashFailure(task, lease, departed.cause) });
  }
}

const ARGUMENTS_READY: TaskEvent = { kind: "argumentsReady" };
const PUSHED: TaskEvent = { kind: "pushed" };

function sendTemplate(link: Link, template: TaskRecord["template"]): void {
  link.templates.add(template.id);
  const isNew = !link.functions.has(template.functionId);
  link.functions.add(template.functionId);
  link.channel.send("template", {
    id: template.id,
    functionId: template.functionId,
    name: template.name,
    code: isNew ? template.code : EMPTY_BYTES,
    numReturns: template.numReturns,
    method: template.method,
    resources: template.scheduling.resources,
  });
}

const EMPTY_BYTES = new Uint8Array(0);
