// Runs one call of user code: decodes its arguments, calls it as an attempt, encodes what comes back.
//
// The same for tasks, actor methods and constructors. The fast way is synchronous from the message to the reply; only what
// has to be fetched, revived or awaited leaves it.

import type { Attempt, Link, ObjectEntry, Session, WireValue } from "../owner/index.ts";
import { heldRef, INLINE_TOTAL_BYTES } from "../owner/index.ts";
import { failureOf, InvalidArgumentError, ObjectLostError, SerializationError, TroupeError } from "../errors.ts";
import type { StreamPosition } from "../core/index.ts";
import type { ReadableObject } from "../store/index.ts";
import { encodeThrown } from "../serialize/index.ts";
import type { BoundArg, Code, HeldRef, Lifetime, SendOf, Strategy, Template } from "../transport/index.ts";
import { Production } from "./production.ts";

export interface Invocation {
  readonly name: string;
  readonly task: number;
  readonly attempt: number;
  readonly args: Uint8Array;
  readonly bound: readonly BoundArg[];
  readonly codes: readonly Code[];
  readonly numReturns: number;
  /** What results are kept for before they are told. */
  readonly scope: Lifetime | undefined;
  /** Of a generator. */
  readonly stream: Streaming | undefined;
  readonly caller: { readonly process: string; readonly node: string };
  /** Id for messages to people. */
  readonly taskId: string;
  /** What it holds while it runs, fixed point. */
  readonly resources: Readonly<Record<string, number>>;
  readonly strategy: Strategy | undefined;
  /** Detail of the last heartbeat of an earlier attempt; empty without one. */
  readonly lastHeartbeat: Uint8Array;
}

export interface Streaming {
  /** Items that may be yielded and not taken. */
  readonly limit: number;
  readonly position: StreamPosition;
  readonly send: (item: SendOf<"streamItem">) => void;
}

/** What becomes of a call whose code has returned. */
interface Outcome {
  readonly finish: (reply: FreshReply) => void;
  readonly failed: (error: unknown) => void;
  readonly keeping: () => void;
}

type EncodedValue = ReturnType<Session["values"]["encode"]>;
export type Reply = SendOf<"taskDone">;
/** One that nobody else has yet: its last fields are filled in when the code has ended. */
type FreshReply = { -readonly [F in keyof Reply]: Reply[F] };

/** Decoded arguments, and the refs that came with them. */
export interface Arguments {
  readonly values: unknown[];
  readonly entries: readonly ObjectEntry[];
}

/** An argument that is said to be there, and is not, so often is given up. */
const LOSSES_MAX = 10;
const NO_HELD: HeldRef[] = [];

/** A bound argument, and its object when it lies in a store. */
interface Brought {
  readonly bound: BoundArg;
  readonly object: ReadableObject | undefined;
}

/** Bound arguments, by their indexes, that are not where they were said to lie. */
export class LostArguments extends Error {
  readonly indexes: readonly number[];

  constructor(indexes: readonly number[], cause: unknown) {
    super("arguments are lost", { cause });
    this.indexes = indexes;
  }
}

export class Execution {
  readonly #session: Session;
  readonly #pid: number;
  /** Milliseconds since 1970 of the clock's zero. */
  readonly #epoch: number;

  constructor(session: Session, pid: number) {
    this.#session = session;
    this.#pid = pid;
    const { clock } = session.parts.seams;
    this.#epoch = clock.wallNow() - clock.now();
  }

  /** The arguments when nothing has to be fetched or revived; else undefined. */
  argumentsNow(call: Invocation): Arguments | undefined {
    const { values } = this.#session;
    if (!values.isDecodable(call.codes)) return undefined;
    for (const { value } of call.bound) {
      if (!values.isDecodable(value?.codes)) return undefined;
    }
    const opened: (ReadableObject | undefined)[] = [];
    for (const { value } of call.bound) {
      const object = value?.stored && this.#session.stored.now(value.stored, true);
      if (value?.stored && object === undefined) {
        for (const other of opened) other?.release();
        return undefined;
      }
      opened.push(object ?? undefined);
    }
    return this.#decode(call, opened);
  }

  /** Rejects with LostArguments when those are not where they should be. */
  argumentsLater(call: Invocation): Promise<Arguments> {
    return this.#arguments(call, (bound) => this.#bringHere(bound));
  }

  /** Those that are lost are waited for: nobody else can run the call. */
  argumentsInPlace(call: Invocation): Promise<Arguments> {
    return this.#arguments(call, (bound) => this.#bringBack(bound));
  }

  async #arguments(call: Invocation, bring: (bound: BoundArg) => Promise<Brought>): Promise<Arguments> {
    await this.#session.values.revive(call.codes);
    const found = await Promise.allSettled(call.bound.map(bring));
    const isLost = (one: PromiseSettledResult<Brought>) => one.status === "rejected" && one.reason instanceof ObjectLostError;
    const lost = found.flatMap((one, index) => (isLost(one) ? [index] : []));
    const failed = found.find((one) => one.status === "rejected");
    const brought = found.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    if (failed !== undefined) {
      for (const { object } of brought) object?.release();
      throw lost.length > 0 ? new LostArguments(lost, failed.reason) : failed.reason;
    }
    return this.#decode({ ...call, bound: brought.map(({ bound }) => bound) }, brought.map(({ object }) => object));
  }

  /**
   * Calls `code` as `attempt` and gives the reply to `done`, in the same turn when the code is synchronous. Where results are
   * kept before they are told, `keeping` is called once the code has ended and only that is left.
   */
  run(
    call: Invocation,
    attempt: Attempt,
    args: Arguments,
    code: (...args: unknown[]) => unknown,
    done: (reply: Reply) => void,
    keeping: () => void = () => {},
  ): void {
    const { attempts, parts } = this.#session;
    const { clock } = parts.seams;
    const started = clock.now();
    let ended: number | undefined;
    const end = () => {
      attempts.ended(attempt);
      ended = clock.now();
    };
    const finish = (reply: FreshReply) => {
      if (ended === undefined) end();
      reply.started = Math.round((this.#epoch + started) * 1000);
      reply.micros = Math.round(((ended as number) - started) * 1000);
      reply.held = held(args.entries);
      done(reply);
    };
    const failed = (error: unknown) => this.fail(call, error, finish);
    const outcome: Outcome = {
      finish, failed,
      keeping: () => {
        end();
        keeping();
      },
    };
    if (call.stream !== undefined) {
      const driven = this.#production(call, call.stream, attempt).drive(() => code(...args.values));
      return void driven.then(() => this.#returned(call, undefined, outcome), failed);
    }
    let result: unknown;
    try {
      result = attempts.run(attempt, () => code(...args.values));
    } catch (error) {
      return failed(error);
    }
    if (!isPromise(result)) return this.#returned(call, result, outcome);
    result.then((value) => this.#returned(call, value, outcome), failed);
  }

  /** Replies for a call whose code threw, or that failed before its code, once readers can fetch the class of the error. */
  fail(call: Invocation, error: unknown, done: (reply: FreshReply) => void): void {
    const { values, parts } = this.#session;
    const context = { taskName: call.name, taskId: call.taskId, workerPid: this.#pid, nodeId: parts.identity.nodeId };
    const { value, contained } = values.encodeError((hooks) => encodeThrown(error, hooks, context));
    const replied = (result: WireValue) => done(this.#replyOf(call, [result]));
    const encoded = { ...value, contained: this.#handOver(call, contained) };
    const publishing = values.unpublished(value.codes);
    if (publishing === undefined) return replied(encoded);
    publishing.then(() => replied(encoded), (failure: unknown) => replied({ failure: failureOf(failure) }));
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #production(call: Invocation, { limit, position, send }: Streaming, attempt: Attempt): Production {
    const { attempts, parts } = this.#session;
    const { task, attempt: number } = call;
    return new Production({
      clock: parts.seams.clock, attempt, limit, position,
      run: (code) => attempts.run(attempt, code),
      encode: (item) => this.#result(call, this.#encoded(call, item)),
      send: (index, value) => send({ task, attempt: number, index, value }),
    });
  }

  /** `opened`: the objects of bound arguments that lie in the store. */
  #decode(call: Invocation, opened: readonly (ReadableObject | undefined)[]): Arguments {
    const { values } = this.#session;
    const { result, entries } = this.#session.collecting(() => {
      const decoded = values.decode(call.args) as unknown[];
      call.bound.forEach(({ index, value }, at) => {
        const object = opened[at];
        decoded[index] = object ? values.decodeStored(object) : values.decode((value as WireValue).value as Uint8Array);
      });
      return decoded;
    });
    return { values: result, entries };
  }

  async #bringHere(bound: BoundArg): Promise<Brought> {
    const { values, stored } = this.#session;
    const { value } = bound;
    await values.revive(value?.codes ?? []);
    return { bound, object: value?.stored ? await stored.open(bound, value.stored, true, "argument") : undefined };
  }

  /** One that is lost is looked for, or made again, as it is for any reader. */
  async #bringBack(bound: BoundArg): Promise<Brought> {
    const { values, recovery } = this.#session;
    let { value } = bound;
    for (let losses = 0; ; losses += 1) {
      try {
        return await this.#bringHere({ ...bound, value });
      } catch (error) {
        if (!(error instanceof ObjectLostError) || losses >= LOSSES_MAX) throw error;
        value = (await recovery.again({ ...bound, value }, error.message)) as BoundArg["value"];
        const failure = value && values.errorIn(value);
        if (failure !== undefined) throw failure;
      }
    }
  }

  #returned(call: Invocation, result: unknown, { finish, failed, keeping }: Outcome): void {
    let encoded: EncodedValue[];
    let results: (WireValue | Promise<WireValue>)[];
    try {
      encoded = this.#returns(call, result).map((value) => this.#encoded(call, value));
      results = this.#results(call, encoded);
    } catch (error) {
      return failed(error);
    }
    const replied = (values: WireValue[]) => {
      if (call.scope === undefined || call.stream !== undefined) return finish(this.#replyOf(call, values));
      keeping();
      this.#kept(call, values, encoded, call.scope).then((kept) => finish(this.#replyOf(call, kept)), failed);
    };
    if (!results.some(isPromise)) return replied(results as WireValue[]);
    Promise.all(results).then(replied, failed);
  }

  #replyOf({ task, attempt }: Invocation, results: WireValue[]): FreshReply {
    return { task, attempt, pid: this.#pid, results, started: 0, micros: 0, held: NO_HELD };
  }

  #returns(call: Invocation, result: unknown): unknown[] {
    if (call.stream !== undefined || call.numReturns === 0) return [undefined];
    if (call.numReturns === 1) return [result];
    if (!Array.isArray(result) || result.length < call.numReturns) {
      const found = Array.isArray(result) ? `an array of ${result.length}` : typeof result;
      throw new InvalidArgumentError(`task "${call.name}" has numReturns ${call.numReturns} but returned ${found}`);
    }
    return result.slice(0, call.numReturns);
  }

  #results(call: Invocation, values: readonly EncodedValue[]): (WireValue | Promise<WireValue>)[] {
    let inline = 0;
    return values.map((value) => {
      const result = this.#result(call, value);
      const size = result instanceof Promise ? 0 : (result.value?.length ?? 0);
      inline += size;
      if (size === 0 || inline <= INLINE_TOTAL_BYTES) return result;
      inline -= size;
      return this.#inStore(call, result as WireValue);
    });
  }

  /** Beyond what a message holds. */
  #inStore(call: Invocation, value: WireValue): WireValue | Promise<WireValue> {
    const { contained } = value;
    const stored = this.#session.values.stored(value, call.caller);
    return stored instanceof Promise ? stored.then((one) => ({ ...one, contained })) : { ...stored, contained };
  }

  #result(call: Invocation, { value, contained }: EncodedValue): WireValue | Promise<WireValue> {
    if (contained.length === 0) return value;
    const held = this.#handOver(call, contained);
    return value instanceof Promise ? value.then((one) => ({ ...one, contained: held })) : { ...value, contained: held };
  }

  /** Items of a stream are kept by its owner. */
  #kept(
    { caller, task }: Invocation, values: WireValue[], encoded: readonly EncodedValue[], scope: Lifetime,
  ): Promise<WireValue[]> {
    return Promise.all(values.map((value, index) => {
      const object = { owner: caller.process, ownerNode: caller.node, object: task + index };
      return this.#session.keeping.keep(object, value, encoded[index].contained, scope);
    }));
  }

  #encoded(call: Invocation, value: unknown): EncodedValue {
    try {
      return this.#session.values.encode(value, "result", call.caller);
    } catch (error) {
      if (!(error instanceof SerializationError)) throw error;
      const text = `what "${call.name}" returned can't travel: ${error.message}`;
      throw new SerializationError(text, { path: error.path }, error.cause);
    }
  }

  /** Counts refs inside a result for the caller, before this process can drop its own references. */
  #handOver({ caller }: Invocation, contained: readonly ObjectEntry[]): HeldRef[] {
    for (const entry of contained) this.#session.borrowing.handOver(entry, caller);
    return contained.map(heldRef);
  }
}

/** Refs of the arguments that user code may still hold: the caller counts this process for them. */
function held(entries: readonly ObjectEntry[]): HeldRef[] {
  if (entries.length === 0) return NO_HELD;
  const still: HeldRef[] = [];
  for (const entry of entries) {
    if (entry.count.local === 0) continue;
    entry.received += 1;
    still.push(heldRef(entry));
  }
  return still;
}

function isPromise(value: unknown): value is Promise<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}

/** A failure of the system, not of user code, as a reply. */
export function failedReply(call: Invocation, error: TroupeError): Reply {
  return { task: call.task, attempt: call.attempt, results: [{ failure: failureOf(error) }] };
}

/** How a pushed call streams, when its template says that it is a generator. */
export function streamOf(
  { streamAhead }: Template, { stream }: { readonly stream: StreamPosition | undefined }, { channel }: Link,
): Streaming | undefined {
  if (streamAhead === 0) return undefined;
  const position = stream ?? { received: 0, taken: 0, missing: [] };
  return { limit: streamAhead, position, send: (item) => void (channel.open && channel.send("streamItem", item)) };
}
