// Asking and answering over any channel: Call {id, attempt, body} and at most one Answer {id}.
//
// A Caller belongs to a process and outlives its channels: ids are unique in the process, every wait is bounded, and what is
// pending on a channel either fails with the channel's real failure or is sent again on the next one. A Callee runs each call
// of an origin once: a repeat gets the remembered answer, or waits for the one that is being made.

import {
  ConnectionError, DeadlineError, errorOf, failureOf, InvalidArgumentError, TaskCancelledError, type TroupeError,
} from "../errors.ts";
import type { Clock, Timer } from "../seams.ts";
import type { Place } from "./carrier.ts";
import type { Channel } from "./channel.ts";
import { describePeer } from "./frame-channel.ts";
import type { Answer, AnswerName, AnswerOf, Call, CallName, CallOf, Draft, Failure } from "./messages.ts";

/** More questions than this at once are a mistake of the asker. */
const PENDING_MAX = 65_536;
/** Answers remembered in all, the oldest forgotten first. */
const REMEMBERED_MAX = 4_096;
/** More calls in execution than this are refused. */
const RUNNING_MAX = 65_536;

export interface CallOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** Process that asked first, when the call is passed on for it. */
  readonly origin?: string;
  /** Where so many bytes of the answer go, when they come beside it. */
  readonly place?: (length: number, channel: Channel) => Place | undefined;
}

// -- asking ------------------------------------------------------------------------------------------------------------

interface Pending {
  readonly id: number;
  readonly name: CallName;
  readonly body: Draft<CallOf<CallName>>;
  readonly origin: string;
  attempt: number;
  channel: Channel;
  readonly place: CallOptions["place"];
  readonly timer: Timer;
  settle(answer: Answer | undefined, error: TroupeError | undefined): void;
}

export class Caller {
  readonly #clock: Clock;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Number of questions without an answer. */
  get pendingCount(): number {
    return this.#pending.size;
  }

  /** Asks and expects one kind of answer. Rejects with the other side's typed failure, DeadlineError or ConnectionError. */
  async call<N extends CallName, A extends AnswerName>(
    channel: Channel, name: N, body: Draft<CallOf<N>>, expected: A, options: CallOptions,
  ): Promise<AnswerOf<A>> {
    const answer = await this.ask(channel, name, body, options);
    const found = answer[expected];
    if (found === undefined) {
      const peer = describePeer(channel.peer);
      throw new ConnectionError(`${peer} answered ${name} with ${answer.body ?? "nothing"} instead of ${expected}`);
    }
    return found as AnswerOf<A>;
  }

  /** Asks where several kinds of answer are possible. */
  ask<N extends CallName>(channel: Channel, name: N, body: Draft<CallOf<N>>, options: CallOptions): Promise<Answer> {
    const peer = describePeer(channel.peer);
    const { timeoutMs, signal } = options;
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(cancelled(name, peer, signal));
      if (!channel.open) return reject(new ConnectionError(`${name} was not asked: the channel to ${peer} is closed`));
      if (this.#pending.size >= PENDING_MAX) {
        return reject(new InvalidArgumentError(`${name} was not asked: ${PENDING_MAX} questions have no answer yet`));
      }
      const id = ++this.#lastId;
      const abort = (): void => this.#settle(id, undefined, cancelled(name, peer, signal as AbortSignal));
      const timer = this.#clock.after(timeoutMs, () => {
        const text = `${peer} did not answer ${name} within ${timeoutMs} ms`;
        this.#settle(id, undefined, new DeadlineError(text, { call: name, timeoutMs }));
      });
      const pending: Pending = {
        id, name, body: body as Pending["body"], origin: options.origin ?? "", attempt: 1, channel,
        place: options.place, timer,
        settle(answer, error) {
          timer.cancel();
          signal?.removeEventListener("abort", abort);
          if (error !== undefined) reject(error);
          else resolve(answer as Answer);
        },
      };
      signal?.addEventListener("abort", abort, { once: true });
      this.#pending.set(id, pending);
      try {
        this.#send(pending);
      } catch (error) {
        this.#settle(id, undefined, error as TroupeError);
      }
    });
  }

  /** For `messages.answer`. An answer that nobody waits for came after its deadline, or twice. */
  answered(answer: Answer): void {
    this.#settle(answer.id, answer, answer.failure === undefined ? undefined : errorOf(answer.failure));
  }

  /** For `place`. What nobody waits for goes nowhere in particular. */
  placeOf({ id }: Answer, length: number, channel: Channel): Place | undefined {
    return this.#pending.get(id)?.place?.(length, channel);
  }

  /** For `onClose`: whatever waits on that channel fails with what broke it. */
  closed(channel: Channel, failure: Failure | undefined): void {
    for (const pending of [...this.#pending.values()]) {
      if (pending.channel !== channel) continue;
      const text = `${describePeer(channel.peer)} did not answer ${pending.name}: ${failure?.text ?? "it said goodbye"}`;
      this.#settle(pending.id, undefined, new ConnectionError(text, {}, failure === undefined ? undefined : errorOf(failure)));
    }
  }

  /** In place of `closed`: whatever waits on `from` is asked again on `to`, as a further attempt of the same call. */
  resend(from: Channel, to: Channel): void {
    for (const pending of [...this.#pending.values()]) {
      if (pending.channel !== from) continue;
      pending.channel = to;
      pending.attempt++;
      this.#send(pending);
    }
  }

  #send({ channel, id, attempt, origin, name, body }: Pending): void {
    channel.send("call", { id, attempt, origin, [name]: body });
  }

  #settle(id: number, answer: Answer | undefined, error: TroupeError | undefined): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    this.#pending.delete(id);
    pending.settle(answer, error);
  }
}

function cancelled(name: CallName, peer: string, signal: AbortSignal): TaskCancelledError {
  return new TaskCancelledError(`${name} to ${peer} was given up`, {}, signal.reason);
}

// -- answering ---------------------------------------------------------------------------------------------------------

/** The body of an answer: exactly one member. `{ done: {} }` when there is nothing to say. */
export type AnswerBody = { readonly [A in AnswerName]: { readonly [K in A]: Draft<AnswerOf<A>> } }[AnswerName];

export interface CallContext {
  readonly channel: Channel;
  /** Process that asked first. */
  readonly origin: string;
  readonly id: number;
  readonly attempt: number;
  /** What a handler sets is called once, when the bytes of its answer may change. */
  answered?: () => void;
}

export type CallHandlers = {
  readonly [N in CallName]?: (body: CallOf<N>, context: CallContext) => AnswerBody | Promise<AnswerBody>;
};

interface Running {
  /** Where the answer goes: the channel that asked last. */
  channel: Channel;
}

export class Callee {
  readonly #handlers: CallHandlers;
  readonly #running = new Map<string, Running>();
  /** Oldest first. */
  readonly #remembered = new Map<string, Draft<Answer>>();

  constructor(handlers: CallHandlers) {
    this.#handlers = handlers;
  }

  get runningCount(): number {
    return this.#running.size;
  }

  /** For `messages.call`. */
  called(call: Call, channel: Channel): void {
    const origin = call.origin || channel.peer.processId;
    const key = `${origin} ${call.id}`;
    const known = this.#remembered.get(key);
    if (known !== undefined) return channel.send("answer", known);
    const running = this.#running.get(key);
    if (running !== undefined) {
      running.channel = channel;
      return;
    }
    const name = call.body;
    const handle = name === undefined ? undefined : (this.#handlers[name] as CallHandler | undefined);
    if (name === undefined || handle === undefined) {
      return refuse(channel, call.id, `${name ?? "an unknown call"} is not answered here`);
    }
    if (this.#running.size >= RUNNING_MAX) return refuse(channel, call.id, `${RUNNING_MAX} calls are in execution here`);
    this.#run(key, call, name, handle, { channel, origin, id: call.id, attempt: call.attempt });
  }

  /** That process has ended: it will not repeat its calls. */
  forget(origin: string): void {
    for (const key of [...this.#remembered.keys()]) if (key.startsWith(`${origin} `)) this.#remembered.delete(key);
  }

  #run(key: string, call: Call, name: CallName, handle: CallHandler, context: CallContext): void {
    this.#running.set(key, { channel: context.channel });
    let result: AnswerBody | Promise<AnswerBody>;
    try {
      result = handle(call[name] as CallOf<CallName>, context);
    } catch (error) {
      return this.#answer(key, { id: call.id, failure: failureOf(error) }, context);
    }
    // Synchronous answers leave in the same turn; most of an agent's are.
    if (!(result instanceof Promise)) return this.#answer(key, { ...result, id: call.id }, context);
    result.then(
      (body) => this.#answer(key, { ...body, id: call.id }, context),
      (error: unknown) => this.#answer(key, { id: call.id, failure: failureOf(error) }, context),
    );
  }

  #answer(key: string, answer: Draft<Answer>, { answered }: CallContext): void {
    const { channel } = this.#running.get(key) as Running;
    this.#running.delete(key);
    // Chunks, code and logs are large, and reading them twice does no harm.
    if (!answer.chunk && !answer.codeItem && !answer.logPart) this.#remember(key, answer);
    try {
      channel.send("answer", answer, answered);
    } catch (error) {
      channel.send("answer", { id: answer.id, failure: failureOf(error) });
    }
  }

  #remember(key: string, answer: Draft<Answer>): void {
    this.#remembered.set(key, answer);
    if (this.#remembered.size <= REMEMBERED_MAX) return;
    const oldest = this.#remembered.keys().next().value as string;
    this.#remembered.delete(oldest);
  }
}

type CallHandler = (body: CallOf<CallName>, context: CallContext) => AnswerBody | Promise<AnswerBody>;

function refuse(channel: Channel, id: number, text: string): void {
  channel.send("answer", { id, failure: failureOf(new ConnectionError(text)) });
}
