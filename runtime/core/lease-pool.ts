// The leases of one scheduling class at their owner: which task goes to which leased worker, and how many leases to ask for.
//
// Pure: the submission shell tells it what happened and does what it answers. Workers are kept busy by a pipeline whose depth
// follows the measured time of the task: as many as fit in one millisecond, one while nothing is known. A lease that is
// closing gets no new task and goes back when its pipeline is empty.

import { Deque } from "./deque.ts";

export interface PooledTask {
  /** Expected time in user code; undefined before the first measurement of its function. */
  readonly expectedMicros: number | undefined;
  /** What its lease's backlog was charged for it: the expectation may change while it runs. */
  chargedMicros: number;
}

export interface PooledLease<T extends PooledTask> {
  readonly id: string;
  readonly inFlight: Set<T>;
  /** Expected microseconds of what is in flight; an unmeasured task counts as a whole pipeline. */
  backlogMicros: number;
  closing: boolean;
  /** Others wait for its resources: it is not kept idle. */
  wanted: boolean;
  /** Its worker waits in a task and handed back what was queued behind it. */
  blocked: boolean;
  /** Clock time since nothing is in flight. */
  idleSince: number;
  /** Clock time of the last push into an empty pipeline, or of the last task that left it. */
  movedAt: number;
}

export const PIPELINE_MICROS = 1000;
export const PIPELINE_TASKS_MAX = 64;
/** More leases than this are never asked for at once: the agent could not start that many workers sooner anyway. */
export const WANTED_MAX = 1024;
/** A pipeline that has not moved for so long is stuck. */
export const STUCK_MS = 5;
/** An idle lease is kept this long for the next task of its class. */
export const IDLE_KEEP_MS = 100;

export class LeasePool<T extends PooledTask, L extends PooledLease<T>> {
  readonly leases = new Map<string, L>();
  readonly #queue = new Deque<T>();
  /** Last order sent, so that an unchanged one is not sent again. */
  #ordered = 0;

  get queued(): number {
    return this.#queue.size;
  }

  enqueue(task: T): void {
    this.#queue.pushBack(task);
  }

  /** A task that was pushed once goes before those that never were. */
  enqueueFirst(task: T): void {
    this.#queue.pushFront(task);
  }

  granted(lease: L): void {
    this.leases.set(lease.id, lease);
  }

  /** The next push, or undefined when no lease has room or nothing is queued. Records the task as in flight. */
  next(now: number): { readonly lease: L; readonly task: T } | undefined {
    const task = this.#queue.front();
    if (task === undefined) return undefined;
    const lease = this.#roomiest(task);
    if (lease === undefined) return undefined;
    this.#queue.popFront();
    if (lease.inFlight.size === 0) lease.movedAt = now;
    lease.inFlight.add(task);
    task.chargedMicros = cost(task);
    lease.backlogMicros += task.chargedMicros;
    return { lease, task };
  }

  /** Newest queued task, for a worker that helps what it waits for. */
  takeNewest(): T | undefined {
    return this.#queue.popBack();
  }

  /** Removes a queued task. */
  remove(task: T): void {
    this.#queue.remove(task);
  }

  /** The task left its lease, whatever the outcome. */
  finished(lease: L, task: T, now: number): void {
    if (!lease.inFlight.delete(task)) return;
    lease.movedAt = now;
    lease.backlogMicros = lease.inFlight.size === 0 ? 0 : Math.max(0, lease.backlogMicros - task.chargedMicros);
    if (lease.inFlight.size === 0) lease.idleSince = now;
  }

  /** The lease is gone; the tasks that were in flight are the caller's to judge. */
  lost(id: string): L | undefined {
    const lease = this.leases.get(id);
    this.leases.delete(id);
    return lease;
  }

  /** Leases to give back now: closing and empty ones, and those idle for longer than they are kept. */
  takeIdle(now: number, all: boolean): L[] {
    const idle: L[] = [];
    const surplus = this.#queue.size === 0;
    for (const lease of this.leases.values()) {
      if (lease.inFlight.size > 0) continue;
      if (all || lease.closing || (surplus && (lease.wanted || now - lease.idleSince >= IDLE_KEEP_MS))) idle.push(lease);
    }
    for (const lease of idle) this.leases.delete(lease.id);
    return idle;
  }

  /**
   * Leases with a queue behind a task that runs longer than a pipeline should: what has not started there is better off
   * elsewhere.
   */
  stuck(now: number): L[] {
    return [...this.leases.values()].filter((lease) => lease.inFlight.size > 1 && now - lease.movedAt >= STUCK_MS);
  }

  /** The standing order to send now, or undefined when the one in force is right. */
  order(): number | undefined {
    const held = this.leases.size;
    const missing = Math.max(0, Math.min(roundUp(this.#queue.size), WANTED_MAX - held));
    const wanted = held + missing;
    // Withdrawing to what is held matters only after more was asked for; growing matters always.
    if (wanted === this.#ordered || (wanted < this.#ordered && missing > 0 && wanted * 4 > this.#ordered)) return undefined;
    this.#ordered = wanted;
    return wanted;
  }

  /** The agent forgot the order (it refused it, or was restarted): the next one is sent again. */
  forgetOrder(): void {
    this.#ordered = 0;
  }

  drainQueue(): T[] {
    return this.#queue.drain();
  }

  #roomiest(task: T): L | undefined {
    let best: L | undefined;
    for (const lease of this.leases.values()) {
      if (lease.closing) continue;
      if (lease.inFlight.size === 0) return lease;
      if (lease.blocked) continue;
      if (lease.inFlight.size >= PIPELINE_TASKS_MAX || lease.backlogMicros + cost(task) > PIPELINE_MICROS) continue;
      if (best === undefined || lease.inFlight.size < best.inFlight.size) best = lease;
    }
    return best;
  }
}

function cost(task: PooledTask): number {
  return task.expectedMicros ?? PIPELINE_MICROS;
}

function roundUp(count: number): number {
  return count <= 0 ? 0 : 2 ** Math.ceil(Math.log2(count));
}
