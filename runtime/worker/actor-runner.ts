// Hosts one actor: constructs its instance and runs its calls, in order a caller, `maxConcurrency` at a time.
//
// A caller's calls start in the order of their numbers (core/call-order.ts); arguments are prepared in parallel, and a call whose
// arguments are late holds back only its own caller. A repeat of a call never runs twice while this process lives.

import { type Attempt, AttemptEnding, type Link, objectIdOf, type Session } from "../owner/index.ts";
import { CallOrder, WINDOW } from "../core/index.ts";
import { Deque } from "../core/index.ts";
import { ActorDiedError, ActorUnavailableError, errorOf, failureOf, InvalidArgumentError, type TroupeError } from "../errors.ts";
import type { ActorCall, ActorSpec, CancelTask, Channel, ConstructActor, Failure } from "../transport/index.ts";
import { Execution, failedReply, type Arguments, type Invocation, type Reply } from "./execution.ts";
import { newCaller } from "./task-runner.ts";
import type { Templates } from "./templates.ts";

interface Received extends Invocation {
  readonly call: ActorCall;
  readonly method: string;
  link: Link;
  readonly from: Caller;
}
interface Caller {
  readonly order: CallOrder<Received, Reply>;
  /** Settles when the caller's earlier calls have their arguments. */
  preparing: Promise<void> | undefined;
}
type Instance = Record<string, (...args: unknown[]) => unknown>;
interface Runnable {
  readonly received: Received;
  readonly args: Arguments;
}

export interface ActorRunnerParts {
  readonly session: Session;
  readonly templates: Templates;
  readonly agent: Channel;
  readonly pid: number;
}

export class ActorRunner {
  readonly #parts: ActorRunnerParts;
  readonly #execution: Execution;
  readonly #callers = new Map<string, Caller>();
  readonly #runnable = new Deque<Runnable>();
  #spec: ActorSpec | undefined;
  #incarnation = 0;
  /** Calls that were cancelled before they started, by task and attempt. */
  readonly #cancelled = new Map<string, TroupeError>();
  #instance: Instance | undefined;
  #running = 0;

  constructor(parts: ActorRunnerParts) {
    this.#parts = parts;
    this.#execution = new Execution(parts.session, parts.pid);
  }

  get hosted(): boolean {
    return this.#spec !== undefined;
  }

  /** Constructs the actor and tells the agent; a repeat is answered again and constructs nothing. */
  construct(message: ConstructActor): void {
    const spec = message.spec as ActorSpec;
    if (this.#spec !== undefined) {
      if (this.#instance !== undefined) this.#constructed({});
      return;
    }
    this.#spec = spec;
    this.#incarnation = message.incarnation;
    const call: Invocation = {
      name: `${spec.className}.constructor`,
      task: 0,
      attempt: message.incarnation,
      args: spec.args,
      bound: spec.bound,
      codes: spec.codes,
      numReturns: 0,
      resources: spec.lifetime,
      caller: { process: spec.owner, node: spec.ownerNode },
      taskId: spec.actor,
    };
    const code = { id: spec.functionId, name: spec.className };
    Promise.all([this.#parts.session.code.revive(code), this.#execution.argumentsLater(call)]).then(
      ([type, args]) => {
        const construct = (...values: unknown[]) => {
          this.#instance = new (type as new (...args: unknown[]) => never)(...values);
        };
        this.#execution.run(call, this.#attempt(call, 0), args, construct, (reply) => this.#constructed(reply));
      },
      (error) => this.#execution.fail(call, error, (reply) => this.#constructed(reply)),
    );
  }

  call(call: ActorCall, link: Link): void {
    const template = this.#parts.templates.find(link, call.template);
    const lives = call.actor === this.#spec?.actor && call.incarnation === this.#incarnation;
    // A call to an earlier life says nothing about the caller's calls to this one.
    const from = lives ? this.#caller(link.process, call.caller, call.acked) : newStream(0);
    const received: Received = {
      call,
      link,
      from,
      resources: (this.#spec as ActorSpec | undefined)?.lifetime ?? {},
      method: template.method,
      name: template.name,
      numReturns: template.numReturns,
      task: call.task,
      attempt: call.attempt,
      args: call.args,
      bound: call.bound,
      codes: call.codes,
      caller: { process: link.process, node: link.node },
      taskId: objectIdOf(link.process, call.task),
    };
    if (!lives) return this.#refuse(received);
    from.order.acknowledged(call.acked);
    const arrival = from.order.arrived(call.order, received);
    if (arrival.kind === "repeat") this.#send(received, arrival.result);
    else if (arrival.kind === "forgotten") this.#send(received, failedReply(received, this.#maybeRan(received)));
    else if (arrival.kind === "start") {
      this.#admit(received);
      for (let next = from.order.nextEarly(); next !== undefined; next = from.order.nextEarly()) this.#admit(next);
    }
  }

  /** Runs the instance's own clean-up; the caller bounds it. */
  async dispose(): Promise<void> {
    const dispose = (this.#instance as Partial<AsyncDisposable> | undefined)?.[Symbol.asyncDispose];
    if (dispose !== undefined) await dispose.call(this.#instance as never);
  }

  /** A call that has not started fails in its turn, so that the order of its caller's calls stands; one that runs is told. */
  cancel({ task, attempt, failure, recursive }: CancelTask, link: Link): void {
    const taskId = objectIdOf(link.process, task);
    const reason = errorOf(failure as Failure);
    if (this.#parts.session.endAttempt(taskId, attempt, reason, recursive) !== undefined) return;
    this.#cancelled.set(`${taskId}/${attempt}`, reason);
    // Of calls that ended as their cancellation was on its way: nobody asks for them.
    if (this.#cancelled.size > WINDOW) this.#cancelled.delete(this.#cancelled.keys().next().value as string);
  }

  callerGone(process: string): void {
    for (const key of [...this.#callers.keys()]) if (key.startsWith(process)) this.#callers.delete(key);
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #constructed(reply: Reply): void {
    const first = reply.results?.[0];
    const error = this.#instance === undefined && first !== undefined ? this.#parts.session.values.errorIn(first) : undefined;
    this.#parts.agent.send("actorConstructed", {
      actor: (this.#spec as ActorSpec).actor,
      incarnation: this.#incarnation,
      failure: error && failureOf(error),
      text: error?.message,
    });
    this.#parts.agent.flush();
  }

  #caller(process: string, caller: number, acknowledged: number): Caller {
    const key = `${process}/${caller}`;
    const found = this.#callers.get(key);
    if (found !== undefined) return found;
    const known = newStream(acknowledged);
    if (this.#callers.size >= WINDOW) this.#forgetCaller();
    this.#callers.set(key, known);
    return known;
  }

  /**
   * Callers are short-lived attempts: the oldest ones are long done when so many have come after them, but for those that
   * still run.
   */
  #forgetCaller(): void {
    for (const [key, { order }] of this.#callers) if (order.idle) return void this.#callers.delete(key);
  }

  /** Arguments at once or later, calls of one caller in order either way. */
  #admit(received: Received): void {
    const { from } = received;
    const args = from.preparing === undefined ? this.#argumentsNow(received) : undefined;
    if (args !== undefined) return this.#enqueue({ received, args });
    const earlier = from.preparing ?? Promise.resolve();
    const prepared = this.#execution.argumentsLater(received);
    prepared.catch(reportedBelow);
    const preparing: Promise<void> = earlier.then(() =>
      prepared.then(
        (later) => this.#enqueue({ received, args: later }),
        (error) => this.#execution.fail(received, error, (reply) => this.#finish(received, reply)),
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

  #enqueue(runnable: Runnable): void {
    this.#runnable.pushBack(runnable);
    this.#pump();
  }

  #pump(): void {
    const slots = Math.max(1, this.#spec?.maxConcurrency ?? 1);
    while (this.#running < slots) {
      const next = this.#runnable.popFront();
      if (next === undefined) return;
      this.#run(next);
    }
  }

  #run({ received, args }: Runnable): void {
    const cancelled = this.#cancelled.size === 0 ? undefined : this.#takeCancelled(received);
    if (cancelled !== undefined) return this.#finish(received, failedReply(received, cancelled));
    const instance = this.#instance as Instance;
    const method = instance[received.method];
    if (typeof method !== "function") {
      const className = this.#spec?.className;
      const error = new InvalidArgumentError(`actor ${className} has no method "${received.method}"`);
      return this.#execution.fail(received, error, (reply) => this.#finish(received, reply));
    }
    this.#running += 1;
    const attempt = this.#attempt(received, received.call.chain?.depth ?? 0, received.call.chain?.remainingMs);
    this.#execution.run(received, attempt, args, (...values: unknown[]) => method.apply(instance, values), (reply) => {
      this.#running -= 1;
      this.#finish(received, reply);
      this.#pump();
    });
  }

  #takeCancelled({ taskId, attempt }: Received): TroupeError | undefined {
    const key = `${taskId}/${attempt}`;
    const reason = this.#cancelled.get(key);
    this.#cancelled.delete(key);
    return reason;
  }

  #finish(received: Received, reply: Reply): void {
    received.from.order.ended(received.call.order, reply);
    this.#send(received, reply);
  }

  #send(received: Received, reply: Reply): void {
    // The caller may have come back over a new channel.
    const link = received.link.channel.open ? received.link : this.#parts.session.links.find(received.link.process);
    if (link?.channel.open) link.channel.send("taskDone", { ...reply, task: received.task, attempt: received.call.attempt });
  }

  #refuse(received: Received): void {
    const actorId = received.call.actor;
    const error =
      this.#spec?.actor === actorId
        ? new ActorUnavailableError(
            `actor ${this.#spec.className} (${actorId}) was restarted; this call was for an earlier life`,
            { actorId },
          )
        : new ActorDiedError(`actor ${actorId} does not live in process ${this.#parts.session.parts.identity.processId}`, {
            actorId,
          });
    this.#send(received, failedReply(received, error));
  }

  #maybeRan(received: Received): ActorUnavailableError {
    const actorId = received.call.actor;
    const text = `call ${received.name} of actor ${actorId} ran once already and its result is no longer kept`;
    return new ActorUnavailableError(text, { actorId, maybeExecuted: true });
  }

  #attempt(call: Invocation, depth: number, remainingMs = 0): Attempt {
    const spec = this.#spec as ActorSpec;
    return {
      caller: newCaller(),
      taskId: call.taskId,
      name: call.name,
      attempt: call.attempt,
      actorId: spec.actor,
      jobId: spec.jobId,
      resources: call.resources,
      chain: { depth, remainingMs: 0, actors: [spec.actor] },
      ending: new AttemptEnding(),
      deadline: remainingMs === 0 ? undefined : this.#parts.session.parts.seams.clock.now() + remainingMs,
      restarted: this.#incarnation > 0,
      suspend: doNothing,
      resume: doNothing,
    };
  }
}

function newStream(acknowledged: number): Caller {
  return { order: new CallOrder(acknowledged), preparing: undefined };
}

/** An actor keeps what it holds for life: waiting gives nothing back. */
function doNothing(): void {}
/** The rejection is handled where the call is finished, in its caller's order. */
function reportedBelow(): void {}
