// Runs the calls of one actor: constructs its instance and starts its calls, in order a caller, as many at once as it allows.
//
// A caller's calls start in the order of their numbers (core/call-order.ts); arguments are prepared in parallel, and a call whose
// arguments are late holds back only its own caller, or nobody when the actor takes calls out of order. Which of the prepared
// calls run is core/call-slots.ts. A repeat of a call never runs twice while this process lives.

import { type Attempt, type Link, objectIdOf, type Session, thrownIn, type WireValue } from "../owner/index.ts";
import { actorTag, CallOrder, CallSlots, type KeptBytes, type Recent, WINDOW } from "../core/index.ts";
import {
  ActorDeadlockError, ActorDiedError, ActorUnavailableError, failureOf, InvalidArgumentError, type TroupeError,
} from "../errors.ts";
import type { ActorCall, ActorSpec, Channel } from "../transport/index.ts";
import { ActorAttempt, type AttemptOwner } from "./actor-attempt.ts";
import { Execution, failedReply, type Arguments, type Invocation, type Reply, streamOf } from "./execution.ts";
import { lastWork } from "./last-work.ts";
import type { Templates } from "./templates.ts";

/** Code that holds the loop of a process with many actors for so long is named. */
const BLOCKED_MS = 1000;
const NO_HEARTBEAT = new Uint8Array(0);
/** Names of running calls that are told to who asks why another one waits. */
const RUNNING_TOLD = 5;

interface Received extends Invocation {
  readonly call: ActorCall;
  readonly method: string;
  readonly group: string;
  /** Among all calls to this actor. */
  readonly key: string;
  readonly within: readonly string[];
  readonly link: Link;
  readonly from: Caller;
  /** Once they are there. */
  arguments: Arguments | undefined;
  /** While it runs. */
  running: Attempt | undefined;
}
interface Caller {
  readonly order: CallOrder<Received, Reply>;
  /** Settles when the caller's earlier calls have their arguments. */
  preparing: Promise<void> | undefined;
}
type Instance = Record<string, (...args: unknown[]) => unknown>;

export interface ActorRunnerParts {
  readonly session: Session;
  readonly templates: Templates;
  readonly agent: Channel;
  readonly pid: number;
  /** The actor said that it ends: it takes no more calls. */
  readonly exiting: () => void;
  /** Calls that were cancelled before they started, by task and attempt. */
  readonly cancelled: Recent<string, TroupeError>;
}

export class ActorRunner {
  readonly #parts: ActorRunnerParts;
  readonly #execution: Execution;
  readonly #spec: ActorSpec;
  readonly incarnation: number;
  readonly #callers = new Map<string, Caller>();
  readonly #slots: CallSlots<Received>;
  /** Bytes of results that callers have not acknowledged. */
  readonly #kept: KeptBytes = { bytes: 0 };
  /** Calls that came and are not answered. */
  readonly #open = new Set<Received>();
  #constructing: Attempt | undefined;
  /** It was ended at once: nothing of it counts any more. */
  #isClosed = false;
  readonly #tag: number;
  readonly #owner: AttemptOwner;
  #isConstructing = false;
  #instance: Instance | undefined;
  /** Why it takes no more calls. */
  #ended: ActorDiedError | undefined;
  /** The call that ended it. */
  #last: string | undefined;
  #idle: (() => void) | undefined;
  #exit: Promise<void> | undefined;

  constructor(parts: ActorRunnerParts, spec: ActorSpec, incarnation: number) {
    this.#parts = parts;
    this.#execution = new Execution(parts.session, parts.pid);
    this.#spec = spec;
    this.incarnation = incarnation;
    this.#tag = actorTag(spec.actor);
    this.#owner = { spec, incarnation, now: () => this.#now(), exit: (call) => this.#exitActor(call) };
    this.#slots = new CallSlots({
      slots: Math.max(1, spec.maxConcurrency), groups: spec.concurrencyGroups, reentrant: spec.reentrant,
    });
  }

  /** For messages to people. */
  get description(): string {
    return `actor ${this.#spec.className} (${this.#spec.actor})`;
  }

  /** Constructs the instance and tells the agent; a repeat is answered again and constructs nothing. */
  construct(): void {
    if (this.#isConstructing) {
      if (this.#instance !== undefined) this.#constructed({});
      return;
    }
    this.#isConstructing = true;
    const spec = this.#spec;
    const { session } = this.#parts;
    // The job of a detached actor may be over, and its namespace forgotten.
    session.namespace ||= spec.namespace;
    const call: Invocation = {
      name: `${spec.className}.constructor`,
      task: 0,
      attempt: this.incarnation,
      args: spec.args,
      bound: spec.bound,
      codes: spec.codes,
      numReturns: 0,
      scope: undefined,
      stream: undefined,
      resources: spec.lifetime,
      strategy: spec.strategy,
      caller: { process: spec.owner, node: spec.ownerNode },
      taskId: spec.actor,
      lastHeartbeat: NO_HEARTBEAT,
    };
    const code = { id: spec.functionId, name: spec.className };
    Promise.all([session.code.revive(code), this.#execution.argumentsInPlace(call)]).then(
      ([type, args]) => {
        const construct = (...values: unknown[]) => {
          this.#instance = this.#marked(() => new (type as new (...args: unknown[]) => never)(...values));
        };
        if (this.#isClosed) return;
        this.#constructing = new ActorAttempt(this.#owner, call, undefined);
        this.#execution.run(call, this.#constructing, args, construct, (reply) => this.#constructed(reply));
      },
      (error) => this.#execution.fail(call, error, (reply) => this.#constructed(reply)),
    );
  }

  /** Of this incarnation. */
  call(call: ActorCall, link: Link): void {
    const template = this.#parts.templates.find(link, call.template);
    const from = this.#caller(link.process, call.caller, call.acked);
    const taskId = objectIdOf(link.process, call.task);
    const received: Received = {
      call,
      link,
      from,
      resources: this.#spec.lifetime,
      strategy: this.#spec.strategy,
      method: template.method,
      group: template.group || (this.#spec.methodGroups[template.method] ?? ""),
      key: taskId,
      within: call.chain?.calls ?? [],
      name: template.name,
      numReturns: template.numReturns,
      scope: undefined,
      stream: streamOf(template, call, link),
      task: call.task,
      attempt: call.attempt,
      args: call.args,
      bound: call.bound,
      codes: call.codes,
      caller: { process: link.process, node: link.node },
      taskId,
      lastHeartbeat: call.lastHeartbeat,
      arguments: undefined,
      running: undefined,
    };
    from.order.acknowledged(call.acked);
    const arrival = from.order.arrived(call.order, received);
    if (arrival.kind === "start" || arrival.kind === "early") this.#open.add(received);
    if (arrival.kind === "repeat") this.#send(received, arrival.result);
    else if (arrival.kind === "forgotten") this.#send(received, failedReply(received, this.#maybeRan(received)));
    else if (arrival.kind === "start") {
      this.#admit(received);
      for (let next = from.order.nextEarly(); next !== undefined; next = from.order.nextEarly()) this.#admit(next);
    }
  }

  /**
   * Takes no more calls: queued ones fail, running ones may end, then the instance cleans up, each within its bound. Never
   * rejects; once.
   */
  exit(): Promise<void> {
    this.#refuseCalls("it ended");
    this.#exit ??= this.#end();
    return this.#exit;
  }

  /** Ends it at once: its callers are told to ask what became of it, its code that runs is fenced off. */
  close(error: Error): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#instance = undefined;
    for (const attempt of [this.#constructing, ...[...this.#open].map(({ running }) => running)]) {
      if (attempt === undefined) continue;
      attempt.ending.fence(error);
      this.#parts.session.endAttempt(attempt.taskId, attempt.attempt, error, true);
    }
    for (const received of this.#open) this.#send(received, { skipped: true });
    this.#open.clear();
    this.#slots.drain();
  }

  /** Where a call is that came and is not answered: what runs, and how many came before it and wait too. */
  placeOf(key: string): object | undefined {
    const open = [...this.#open];
    const place = open.findIndex((call) => call.key === key);
    if (place < 0) return undefined;
    const { running, arguments: args, group } = open[place];
    const others = open.filter((call) => call.group === group);
    return {
      isRunning: running !== undefined, hasArguments: args !== undefined, isConstructed: this.#instance !== undefined,
      ahead: others.filter((call, at) => call.running === undefined && at < others.indexOf(open[place])).length,
      running: others.filter((call) => call.running !== undefined).slice(0, RUNNING_TOLD).map((call) => call.name),
    };
  }

  callerGone(process: string): void {
    for (const [key, { order }] of [...this.#callers]) {
      if (!key.startsWith(process)) continue;
      order.drop();
      this.#callers.delete(key);
    }
  }

  /** The running call of `attempt` waits until this actor has run call `key`. */
  stuck(attempt: Attempt, key: string): void {
    this.#deadlocked(this.#slots.stuck(attempt.taskId, key));
  }

  unstuck(attempt: Attempt): void {
    this.#slots.unstuck(attempt.taskId);
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #constructed(reply: Reply): void {
    this.#constructing = undefined;
    if (this.#isClosed) return this.#discard(reply);
    const first = reply.results?.[0];
    const error = this.#instance === undefined && first !== undefined ? this.#parts.session.values.errorIn(first) : undefined;
    this.#parts.agent.send("actorConstructed", {
      actor: this.#spec.actor,
      incarnation: this.incarnation,
      failure: error && { ...failureOf(error), thrown: thrownIn(first ?? {}) },
      text: error?.message,
    });
    this.#parts.agent.flush();
  }

  #caller(process: string, caller: number, acknowledged: number): Caller {
    const key = `${process}/${caller}`;
    const found = this.#callers.get(key);
    if (found !== undefined) return found;
    const known: Caller = { order: new CallOrder(acknowledged, this.#kept), preparing: undefined };
    if (this.#callers.size >= WINDOW) this.#forgetCaller();
    this.#callers.set(key, known);
    return known;
  }

  /**
   * Callers are short-lived attempts: the oldest ones are long done when so many have come after them, but for those that
   * still run.
   */
  #forgetCaller(): void {
    for (const [key, { order }] of this.#callers) {
      if (!order.idle) continue;
      order.drop();
      this.#callers.delete(key);
      return;
    }
  }

  /** Arguments at once or later, calls of one caller in order either way unless their order does not matter. */
  #admit(received: Received): void {
    const { from } = received;
    const mayPass = this.#spec.outOfOrder || from.preparing === undefined;
    const args = mayPass ? this.#argumentsNow(received) : undefined;
    if (args !== undefined) return this.#enqueue(received, args);
    const earlier = mayPass ? Promise.resolve() : from.preparing;
    const prepared = this.#execution.argumentsInPlace(received);
    prepared.catch(reportedBelow);
    const preparing: Promise<void> = (earlier as Promise<void>).then(() =>
      prepared.then(
        (later) => this.#enqueue(received, later),
        (error) => this.#fail(received, error),
      ),
    );
    from.preparing = preparing;
    void preparing.then(() => {
      if (from.preparing === preparing) from.preparing = undefined;
    });
  }

  #argumentsNow(received: Received): Arguments | undefined {
    try {
      return this.#execution.argumentsNow(received);
    } catch {
      // The slow way meets the same error and reports it.
      return undefined;
    }
  }

  #enqueue(received: Received, args: Arguments): void {
    if (this.#isClosed) return;
    if (this.#ended !== undefined) return this.#finish(received, failedReply(received, this.#ended));
    if (!this.#slots.hasGroup(received.group)) return this.#fail(received, this.#noGroup(received.group));
    received.arguments = args;
    this.#slots.enqueue(received);
    this.#pump();
    this.#deadlocked(this.#slots.stuckOnArrival(received.key));
  }

  #pump(): void {
    for (let next = this.#slots.next(); next !== undefined; next = this.#slots.next()) this.#run(next);
  }

  #run(received: Received): void {
    const refusal = this.#refusal(received);
    if (refusal !== undefined) {
      this.#slots.ended(received);
      return this.#fail(received, refusal);
    }
    const instance = this.#instance as Instance;
    const method = instance[received.method];
    const attempt = new ActorAttempt(this.#owner, received, received.call.chain);
    received.running = attempt;
    const isShared = this.#spec.isolation === "shared";
    const code = isShared
      ? (...values: unknown[]) => this.#marked(() => method.apply(instance, values))
      : (...values: unknown[]) => method.apply(instance, values);
    const started = isShared ? this.#now() : 0;
    this.#execution.run(received, attempt, received.arguments as Arguments, code, (reply) => {
      received.running = undefined;
      this.#slots.ended(received);
      if (this.#isClosed) return this.#discard(reply);
      this.#finish(received, received.key === this.#last ? this.#lastReply(received, reply) : reply);
      if (this.#slots.running === 0) this.#idle?.();
      this.#pump();
    });
    if (isShared) this.#warnOfBlocking(received.name, this.#now() - started);
  }

  /** Others share the process: should it end in the middle of this, it is known whose code that was. */
  #marked<T>(code: () => T): T {
    const { store } = this.#parts.session.parts.home;
    if (store === undefined || this.#spec.isolation !== "shared") return code();
    const before = store.runs(this.#tag);
    try {
      return code();
    } finally {
      store.runs(before);
    }
  }

  #now(): number {
    return this.#parts.session.parts.seams.clock.now();
  }

  /** Others share the process: who keeps them waiting is named. */
  #warnOfBlocking(name: string, blockedMs: number): void {
    if (blockedMs < BLOCKED_MS) return;
    const text = `call "${name}" kept all actors of its process waiting for ${Math.round(blockedMs)} ms`;
    process.stderr.write(`${this.description}: ${text}\n`);
  }

  /** Why the call is not run. */
  #refusal({ taskId, attempt, method }: Received): Error | undefined {
    const { cancelled } = this.#parts;
    const reason = cancelled.size === 0 ? undefined : cancelled.peek(`${taskId}/${attempt}`);
    if (reason !== undefined) return reason;
    if (typeof this.#instance?.[method] === "function") return undefined;
    return new InvalidArgumentError(`actor ${this.#spec.className} has no method "${method}"`);
  }

  #finish(received: Received, reply: Reply): void {
    if (this.#isClosed) return this.#discard(reply);
    this.#open.delete(received);
    received.from.order.ended(received.call.order, reply, bytesOf(reply));
    this.#send(received, reply);
  }

  #fail(received: Received, error: unknown): void {
    this.#execution.fail(received, error, (reply) => this.#finish(received, reply));
  }

  #send(received: Received, reply: Reply): void {
    // The caller may have come back over a new channel.
    const link = received.link.channel.open ? received.link : this.#parts.session.links.find(received.link.process);
    if (!link?.channel.open) return;
    const { task, call: { attempt } } = received;
    const isIts = reply.task === task && reply.attempt === attempt;
    link.channel.send("taskDone", isIts ? reply : { ...reply, task, attempt });
  }

  // -- the end -----------------------------------------------------------------------------------------------------

  /** Said by the code of one of its calls. */
  #exitActor(call: Invocation): ActorDiedError {
    const error = this.#refuseCalls("it called exitActor()");
    if (this.#last === undefined && this.#exit === undefined) {
      this.#last = call.taskId;
      this.#parts.exiting();
    }
    return error;
  }

  #refuseCalls(why: string): ActorDiedError {
    if (this.#ended !== undefined) return this.#ended;
    const { actor: actorId, className } = this.#spec;
    const error = new ActorDiedError(`actor ${className} (${actorId}) ended: ${why}`, { actorId });
    this.#ended = error;
    for (const received of this.#slots.drain()) this.#finish(received, failedReply(received, error));
    return error;
  }

  /** Whatever came of it: that call ended the actor. */
  #lastReply(received: Received, reply: Reply): Reply {
    this.#discard(reply);
    return { ...failedReply(received, this.#ended as ActorDiedError), held: reply.held };
  }

  #discard(reply: Reply): void {
    this.#parts.session.borrowing.unsent((reply.results ?? []) as WireValue[]);
  }

  async #end(): Promise<void> {
    const { clock } = this.#parts.session.parts.seams;
    const within = (what: string, work: Promise<unknown>) => lastWork(clock, this.description, what, work);
    if (this.#slots.running > 0) await within("running calls", new Promise<void>((resolve) => (this.#idle = resolve)));
    const dispose = (this.#instance as Partial<AsyncDisposable> | undefined)?.[Symbol.asyncDispose];
    if (dispose !== undefined) await within("its clean-up", (async () => dispose.call(this.#instance as never))());
  }

  // -- errors ------------------------------------------------------------------------------------------------------

  #deadlocked(received: Received | undefined): void {
    if (received === undefined) return;
    const { className, actor: actorId } = this.#spec;
    const text = `call "${received.name}" would never run: actor ${className} (${actorId}) waits for it, further up in the ` +
      "same chain of calls, with all it may run at once. Do not wait for that call, or make the actor reentrant";
    this.#fail(received, new ActorDeadlockError(text, { actorId }));
  }

  #maybeRan(received: Received): ActorUnavailableError {
    const actorId = received.call.actor;
    const text = `call ${received.name} of actor ${actorId} ran once already and its result is no longer kept`;
    return new ActorUnavailableError(text, { actorId, maybeExecuted: true });
  }

  #noGroup(group: string): InvalidArgumentError {
    const known = this.#slots.groups.join(", ") || "none";
    return new InvalidArgumentError(`actor ${this.#spec.className} has no concurrency group "${group}" (its groups: ${known})`);
  }
}

/** What keeping it takes, apart from small change. */
function bytesOf({ results }: Reply): number {
  let bytes = 0;
  for (const { value, error } of results ?? []) bytes += (value?.length ?? 0) + (error?.length ?? 0);
  return bytes;
}

/** The rejection is handled where the call is finished, in its caller's order. */
function reportedBelow(): void {}
