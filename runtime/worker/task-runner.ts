// Runs the tasks that owners push to this worker, one after the other, and while one waits the un-started children of those
// that wait.
//
// A pushed task starts when its claim is won in the statement before user code (docs/architecture.md, claim pages); whoever
// recalled or cancelled it first keeps it from running. A task that waits hands what is queued behind it back to its owner. Only
// tasks of the lease that the worker is granted under now are taken; others are handed back too: their owner has not yet heard
// that its lease is over.

import {
  type Attempt, AttemptEnding, type Link, NO_CHAIN, objectIdOf, type Session, type TaskRecord, type WireValue,
} from "../owner/index.ts";
import { errorOf } from "../errors.ts";
import { Deque } from "../core/index.ts";
import { ANY_BUNDLE } from "../../scheduler/index.ts";
import { claimSalt, claimTag, type ClaimPage } from "../store/index.ts";
import type { CancelTask, Chain, Channel, Failure, PushTask, SendOf, StreamItem } from "../transport/index.ts";
import { CallLimits } from "./call-limits.ts";
import { Execution, type Invocation, LostArguments, type Reply, type Streaming, streamOf } from "./execution.ts";
import type { Templates } from "./templates.ts";

interface Pushed extends Invocation {
  readonly push: PushTask;
  readonly link: Link;
  readonly functionId: string;
  readonly maxCalls: number;
  readonly page: ClaimPage | undefined;
  /** On that page. */
  readonly tag: number;
}

interface Lease {
  readonly id: string;
  readonly page: ClaimPage | undefined;
  readonly salt: number;
}

/** A worker that has had nothing to do for so long lets go of its lease when it is asked to. */
const IDLE_MS = 500;

const NO_HEARTBEAT = new Uint8Array(0);

/** Callers are numbered from 1; 0 is a driver's main program. */
let nextCaller = 1;
export function newCaller(): number {
  return nextCaller++;
}

export interface TaskRunnerParts {
  readonly session: Session;
  readonly templates: Templates;
  readonly agent: Channel;
  readonly pid: number;
  /** It has run all that it may: ends the worker. */
  readonly leave: () => void;
}

export class TaskRunner {
  readonly #parts: TaskRunnerParts;
  readonly #execution: Execution;
  readonly #queue = new Deque<Pushed>();
  /** Attempts that run and do not wait. */
  #active = 0;
  /** Pushed tasks that have started and not ended, waiting or not. Children that outlive the task they helped are none. */
  #mains = 0;
  /** Those that have ended, and whose results are being kept. */
  #keeping = 0;
  /** The lease whose CPU was given back. */
  #suspendedLease: string | undefined;
  #currentLease = "";
  /** What that lease holds. */
  #currentResources: Readonly<Record<string, number>> = {};
  /** The placement group whose resources those are; "" for none. */
  #currentGroup = "";
  #helping = false;
  readonly #limits = new CallLimits();
  /** What it is granted under. */
  #lease: Lease | undefined;
  /** Clock time when anything last happened. */
  #movedAt = 0;

  constructor(parts: TaskRunnerParts) {
    this.#parts = parts;
    this.#execution = new Execution(parts.session, parts.pid);
  }

  leased(lease: string, claimPage: number): void {
    this.#lease = { id: lease, page: this.#page(claimPage), salt: claimSalt(lease) };
    this.#movedAt = this.#now();
  }

  /** The agent wants the lease back, and its owner does not answer. */
  letGo(lease: string): void {
    const isIdle = this.#mains === 0 && this.#keeping === 0 && this.#queue.size === 0;
    if (this.#lease?.id !== lease || !isIdle || this.#now() - this.#movedAt < IDLE_MS) return;
    this.#lease = undefined;
    this.#parts.agent.send("leaseIdle", { lease });
  }

  push(push: PushTask, link: Link): void {
    const template = this.#parts.templates.find(link, push.template);
    const lease = this.#lease;
    if (lease === undefined || lease.id !== push.lease) return this.#refuse(push, link);
    const { page } = lease;
    const tag = claimTag(push.task, lease.salt);
    this.#movedAt = this.#now();
    // An owner on another machine can't write the page: the slot is taken for it on arrival.
    if (!this.#isLocal(link)) page?.queue(push.slot, tag);
    this.#queue.pushBack({
      push, link,
      name: template.name, resources: template.resources, strategy: template.strategy, maxCalls: template.maxCalls,
      functionId: template.functionId, numReturns: template.numReturns, stream: streamOf(template, push, link),
      scope: template.scope,
      task: push.task, attempt: push.attempt, args: push.args, bound: push.bound, codes: push.codes,
      caller: { process: link.process, node: link.node },
      taskId: objectIdOf(link.process, push.task),
      lastHeartbeat: push.lastHeartbeat,
      page, tag,
    });
    if (this.#mains === 0) this.#next();
    else if (this.#active === 0) this.#handBack();
  }

  /** What has not started never does; what runs is told. */
  cancel({ task, attempt, failure, recursive }: CancelTask, link: Link): void {
    const taskId = objectIdOf(link.process, task);
    const reason = errorOf(failure as Failure);
    if (this.#parts.session.endAttempt(taskId, attempt, reason, recursive) !== undefined) return;
    for (const queued of this.#queue.drain()) {
      if (queued.taskId !== taskId || queued.attempt !== attempt) this.#queue.pushBack(queued);
      else this.#reply(queued, { task, attempt, skipped: true });
    }
  }

  /** Owner gone: what it queued here is not run. */
  ownerGone(link: Link): void {
    for (const task of this.#queue.drain()) if (task.link !== link) this.#queue.pushBack(task);
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #next(): void {
    if (this.#limits.reached) return this.#leave();
    while (this.#mains === 0) {
      const task = this.#queue.popFront();
      if (task === undefined) return;
      this.#start(task);
    }
  }

  #start(task: Pushed): void {
    const fn = this.#parts.session.code.ready(task.functionId);
    const args = fn === undefined ? undefined : this.#argumentsNow(task);
    if (fn !== undefined && args !== undefined) return this.#run(task, fn, args);
    this.#begin();
    this.#prepare(task).then(
      ([ready, prepared]) => {
        this.#end();
        this.#run(task, ready, prepared);
        this.#next();
      },
      (error) => {
        this.#end();
        const { link, push, page, tag } = task;
        // Its owner has what is lost made again, and may send it to any worker then.
        if (error instanceof LostArguments) handBack(link, push, page, tag, error.indexes);
        else this.#execution.fail(task, error, (reply) => this.#reply(task, reply));
        this.#next();
      },
    );
  }

  /** A block that can't be decoded fails the task, not the worker. */
  #argumentsNow(task: Pushed): ReturnType<Execution["argumentsNow"]> {
    try {
      return this.#execution.argumentsNow(task);
    } catch {
      // The slow way meets the same error and reports it.
      return undefined;
    }
  }

  #prepare(task: Pushed): Promise<[Function, NonNullable<ReturnType<Execution["argumentsNow"]>>]> {
    const code = { id: task.functionId, name: task.name };
    return Promise.all([this.#parts.session.code.revive(code), this.#execution.argumentsLater(task)]);
  }

  #run(task: Pushed, fn: Function, args: NonNullable<ReturnType<Execution["argumentsNow"]>>): void {
    const { push, page, tag } = task;
    // Lost: its owner took it back and has sent it elsewhere.
    if (page !== undefined && !page.claim(push.slot, tag)) return;
    this.#begin();
    this.#currentLease = push.lease;
    this.#currentResources = task.resources;
    this.#currentGroup = task.strategy?.group ?? "";
    const attempt = this.#attempt(task, push.chain ?? NO_CHAIN, this.#deadlineOf(push.chain?.remainingMs ?? 0));
    const ended = () => {
      this.#end();
      this.#limits.ended(task.functionId, task.maxCalls);
    };
    let isKept = false;
    this.#execution.run(task, attempt, args, fn as (...args: unknown[]) => unknown, (reply) => {
      if (isKept) this.#keeping -= 1;
      else ended();
      this.#reply(task, reply);
      this.#next();
    }, () => {
      isKept = true;
      this.#keeping += 1;
      ended();
      this.#next();
    });
  }

  /** After the last task that it may run: what is queued goes elsewhere, and so does what comes later. */
  #leave(): void {
    this.#handBack();
    if (this.#mains > 0 || this.#keeping > 0 || this.#lease === undefined) return;
    this.#parts.agent.send("leaseIdle", { lease: this.#lease.id, leaves: true });
    this.#lease = undefined;
    this.#parts.leave();
  }

  #begin(): void {
    this.#active += 1;
    this.#mains += 1;
  }

  #end(): void {
    this.#active -= 1;
    this.#mains -= 1;
  }

  #reply(task: Pushed, reply: Reply): void {
    this.#movedAt = this.#now();
    if (task.link.channel.open) task.link.channel.send("taskDone", reply);
    else this.#parts.session.borrowing.unsent((reply.results ?? []) as WireValue[]);
  }

  #attempt(call: Invocation, chain: Chain, deadline: number | undefined): Attempt {
    const { session } = this.#parts;
    return {
      caller: newCaller(),
      taskId: call.taskId,
      name: call.name,
      attempt: call.attempt,
      actorId: undefined,
      jobId: session.jobId,
      resources: call.resources,
      strategy: call.strategy,
      chain: { ...chain, remainingMs: 0 },
      submitter: { ...call.caller, number: call.task },
      ending: new AttemptEnding(),
      deadline,
      restarted: false,
      fencingToken: call.attempt + 1,
      lastHeartbeat: call.lastHeartbeat,
      suspend: () => this.#suspend(),
      resume: () => this.#resume(),
    };
  }

  #deadlineOf(remainingMs: number): number | undefined {
    return remainingMs === 0 ? undefined : this.#parts.session.parts.seams.clock.now() + remainingMs;
  }

  #suspend(): void {
    this.#active -= 1;
    this.#helpSoon();
  }

  #helpSoon(): void {
    if (this.#active > 0 || this.#helping) return;
    this.#helping = true;
    queueMicrotask(() => {
      this.#helping = false;
      this.#help();
    });
  }

  #resume(): void {
    this.#active += 1;
    if (this.#suspendedLease === undefined) return;
    this.#parts.agent.send("resumed", { lease: this.#suspendedLease });
    this.#suspendedLease = undefined;
  }

  /** Everything here waits: run a child of what waits, or give the CPU back. */
  #help(): void {
    if (this.#active > 0) return;
    const { submission } = this.#parts.session;
    const child = this.#limits.reached ? undefined : submission.takeChild((task) => this.#hasRoomFor(task));
    if (child !== undefined) return this.#runChild(child);
    if (this.#mains === 0) return;
    this.#handBack();
    if (this.#suspendedLease !== undefined || this.#currentLease === "") return;
    this.#suspendedLease = this.#currentLease;
    this.#parts.agent.send("suspended", { lease: this.#currentLease });
  }

  /** The lease has what the child asks for, and the child may run on any node, or anywhere in the lease's group. */
  #hasRoomFor({ template: { scheduling } }: TaskRecord): boolean {
    const { kind, labels, group, bundle } = scheduling.strategy;
    if (group !== this.#currentGroup || (kind !== "default" && (kind !== "group" || bundle !== ANY_BUNDLE))) return false;
    if (Object.keys(labels).length > 0) return false;
    for (const name in scheduling.resources) {
      if (scheduling.resources[name] > (this.#currentResources[name] ?? 0)) return false;
    }
    return true;
  }

  #runChild(task: TaskRecord): void {
    const { session } = this.#parts;
    const { identity } = session.parts;
    const call: Invocation = {
      name: task.template.name,
      resources: task.template.scheduling.resources,
      strategy: task.template.scheduling.strategy,
      task: task.number,
      attempt: task.life.attempt,
      args: task.args,
      bound: task.bound,
      codes: task.codes,
      numReturns: task.template.numReturns,
      scope: task.template.scope,
      stream: this.#streamHere(task),
      caller: { process: identity.processId, node: identity.nodeId },
      taskId: objectIdOf(identity.processId, task.number),
      lastHeartbeat: task.heartbeat?.detail ?? NO_HEARTBEAT,
    };
    this.#active += 1;
    const done = (reply: Reply) => {
      this.#active -= 1;
      this.#limits.ended(task.template.code.id, task.template.maxCalls);
      session.submission.finishedHere(task, reply as never);
      // Finishing may have woken what waited for it; if not, there may be more to help with.
      this.#helpSoon();
    };
    const code = { id: task.template.code.id, name: call.name };
    Promise.all([session.code.revive(code), this.#execution.argumentsLater(call)]).then(
      ([fn, args]) => {
        const attempt = this.#attempt(call, task.chain, task.limit?.deadline);
        this.#execution.run(call, attempt, args, fn as (...args: unknown[]) => unknown, done);
      },
      (error) => {
        if (!(error instanceof LostArguments)) return this.#execution.fail(call, error, done);
        done({ task: call.task, attempt: call.attempt, skipped: true, lost: [...error.indexes] });
      },
    );
  }

  /** Its items stay in this process. */
  #streamHere({ number, template }: TaskRecord): Streaming | undefined {
    const { streams } = this.#parts.session;
    const position = streams.position(number);
    const send = (item: SendOf<"streamItem">) => streams.own.arrived(item as StreamItem, undefined);
    return position && { limit: template.streamAhead, position, send };
  }

  /** Tasks queued behind one that waits go back to their owners, uncharged. */
  #handBack(): void {
    for (const { link, push, page, tag } of this.#queue.drain()) handBack(link, push, page, tag);
  }

  /** Pushed under a lease that is over, or not told of yet. */
  #refuse(push: PushTask, link: Link): void {
    const page = this.#isLocal(link) ? this.#page(push.claimPage) : undefined;
    handBack(link, push, page, claimTag(push.task, claimSalt(push.lease)));
  }

  #page(index: number): ClaimPage | undefined {
    return this.#parts.session.parts.home.claims?.page(index);
  }

  #isLocal(link: Link): boolean {
    return link.node === this.#parts.session.parts.identity.nodeId;
  }

  #now(): number {
    return this.#parts.session.parts.seams.clock.now();
  }
}

/** Unless its owner has taken it back already. */
function handBack(
  { channel }: Link, { task, attempt, slot }: PushTask, page: ClaimPage | undefined, tag: number, lost: readonly number[] = [],
): void {
  if (page?.recall(slot, tag) === false || !channel.open) return;
  channel.send("taskDone", { task, attempt, skipped: true, lost: [...lost] });
}
