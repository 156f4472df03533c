// Actors as their callers see them: creation, address, calls in order, restarts and death.
//
// The shell of core/actor-calls.ts. The agent is asked where an actor lives and tells changes; calls go straight to its worker.
// After a broken connection nothing is judged before the agent's word, or the bound on it.

import type { ActorCallRecord } from "./actor-call.ts";
import { ActorCalls } from "../../core/index.ts";
import { failureOf, HeadUnavailableError, PendingCallsLimitExceededError } from "../../errors.ts";
import type { Clock } from "../../seams.ts";
import type { ActorInfo, Failure, TaskDone } from "../../transport/index.ts";
import { deathOf, unavailable } from "./actor-failures.ts";
import type { Borrowing } from "../objects/borrowing.ts";
import { chainWithin, Limits } from "../tasks/limits.ts";
import type { Link, ProcessAddress } from "../links.ts";
import type { ObjectEntry } from "../objects/object-ref.ts";
import type { Recovery } from "../recovery/recovery.ts";
import type { OutcomeParts } from "../tasks/outcome.ts";
import { codeOf, errorFor, isError, type WireValue } from "../values/wire-value.ts";

/** A default limit on calls of one process that have not ended: "-1" is not endless (docs/architecture.md). */
export const PENDING_CALLS_MAX = 1_000_000;
/** And on the bytes of their encoded arguments. */
export const PENDING_BYTES_MAX = 256 * 1024 * 1024;
/** A question about an actor that is not there yet waits this long at the agent, then is asked again. */
const LONG_POLL_MS = 10_000;
/** Between a broken connection to an actor that is said to live and the next question about it. */
const RECHECK_MS = 50;

export interface ActorClientsParts extends OutcomeParts {
  readonly clock: Clock;
  readonly nodeId: string;
  readonly connect: (address: ProcessAddress) => Promise<Link>;
  /** Asks the agent for the actor's state, waiting there until it is neither pending nor restarting, within the bound. */
  readonly resolve: (actor: string, waitMs: number) => Promise<ActorInfo>;
  readonly recovery: Pick<Recovery, "callEnded">;
  readonly borrowing: Pick<Borrowing, "addLocal" | "dropLocal">;
  readonly errorOf: (failed: WireValue) => Promise<Error | undefined>;
}

/** What its handles say of it, wherever they come from. */
export interface ClientOptions {
  readonly maxPendingCalls?: number | undefined;
  readonly allowOutOfOrder?: boolean | undefined;
}

/** One actor at one caller process. */
export class ActorClient {
  readonly id: string;
  readonly calls = new ActorCalls<ActorCallRecord>();
  className: string;
  maxPendingCalls = -1;
  link: Link | undefined;
  failure: Failure | undefined;
  /** Readers of `ready(handle)`. */
  waiters: ((client: ActorClient) => void)[] = [];
  /** Kept alive while the constructor may run: its arguments. */
  kept: readonly ObjectEntry[] = [];
  /** Nobody has a handle to it any more. */
  isFreed = false;
  /** Who waits until the agent has taken the creation; undefined when it has, or it was made elsewhere. */
  creating: (() => void)[] | undefined;
  /** It has restarts: its constructor may run again. */
  mayRestart = false;
  /** The actor itself, kept alive while calls of this process have not ended. */
  held: ObjectEntry | undefined;
  resolving = false;
  /** Of encoded arguments of its calls that have not ended. */
  pendingBytes = 0;
  /** Set when a creation found that the actor exists already: everything goes to that client from then on. */
  existing: ActorClient | undefined;

  constructor(id: string, className: string) {
    this.id = id;
    this.className = className;
  }
}

export class ActorClients {
  readonly #parts: ActorClientsParts;
  readonly #clients = new Map<string, ActorClient>();
  readonly #limits: Limits<ActorCallRecord>;
  readonly #pending = new Map<number, { readonly client: ActorClient; readonly call: ActorCallRecord }>();

  constructor(parts: ActorClientsParts) {
    this.#parts = parts;
    const over = (call: ActorCallRecord, reason: Error) => this.cancel(call, reason, true);
    this.#limits = new Limits(parts.clock, (call) => `call "${call.template.name}"`, over);
  }

  find(number: number): { readonly client: ActorClient; readonly call: ActorCallRecord } | undefined {
    return this.#pending.get(number);
  }

  /** Its refs fail with `reason` at once. What was sent keeps its place among its caller's calls; the actor is told. */
  cancel(call: ActorCallRecord, reason: Error, recursive: boolean): void {
    const found = this.#pending.get(call.number);
    if (found === undefined || call.decided) return;
    const { client } = found;
    const failure = failureOf(reason) as Failure;
    if (call.order === 0) {
      if (client.calls.ended(call)) this.#failCall(client, call, failure);
      return this.#pump(client, call.caller);
    }
    call.decided = true;
    call.retriesLeft = 0;
    this.#settle(call, client.id, undefined, undefined, { failure }, () => ({ failure }));
    client.link?.channel.send("cancelTask", { task: call.number, attempt: call.attempt, failure, recursive });
  }

  get size(): number {
    return this.#pending.size;
  }

  pending(): Iterable<{ readonly client: ActorClient; readonly call: ActorCallRecord }> {
    return this.#pending.values();
  }

  /** True when a reply with this number is for a call and not for a task. */
  owns(number: number): boolean {
    return this.#pending.has(number);
  }

  /** Resolves when the constructor has run; rejects when the actor died first. */
  async ready(asked: ActorClient): Promise<void> {
    let client = asked.existing ?? asked;
    if (client.isFreed) this.#back(client);
    if (client.calls.state === "unplaced" && !client.resolving) void this.#resolve(client, LONG_POLL_MS);
    while (client.calls.state !== "alive" && client.calls.state !== "dead") {
      await new Promise<unknown>((resolve) => client.waiters.push(resolve));
      client = asked.existing ?? asked;
    }
    if (client.calls.state === "dead") throw await this.#parts.errorOf({ failure: deathOf(client) });
  }

  /** The actor behind a handle, when it was made, which may be another: undefined for one that is dead. */
  async identity(client: ActorClient): Promise<string | undefined> {
    const { creating } = client;
    if (creating !== undefined) await new Promise<void>((resolve) => creating.push(resolve));
    const actual = client.existing ?? client;
    return actual.calls.state === "dead" ? undefined : actual.id;
  }

  /** The agent took the creation: its outcome is asked for from now on. */
  creationAccepted(created: ActorClient, info: ActorInfo): void {
    created.resolving = false;
    this.#tellCreated(created);
    const client = info.actor === created.id ? created : this.#merge(created, info);
    this.changed(info);
    if (info.state === "PENDING") void this.#resolve(client, LONG_POLL_MS);
  }

  /** getIfExists found a living actor: what waits for the one that was never made goes to it, in order. */
  #merge(created: ActorClient, info: ActorInfo): ActorClient {
    const { maxPendingCalls, calls } = created;
    const existing = this.known(info.actor, info.className, { maxPendingCalls, allowOutOfOrder: calls.outOfOrder });
    this.#clients.delete(created.id);
    created.existing = existing;
    for (const call of created.calls.died()) {
      this.#pending.delete(call.number);
      this.#take(existing, call, undefined);
    }
    this.#letGo(created);
    existing.waiters.push(...created.waiters);
    created.waiters = [];
    return existing;
  }

  /** The client of an actor this process creates itself; nothing is asked before the agent took the creation. */
  created(id: string, className: string, options: ClientOptions): ActorClient {
    const client = this.known(id, className, options);
    client.resolving = true;
    client.creating = [];
    return client;
  }

  /** The client of an actor that another process created, resolved on first use. */
  known(id: string, className: string, options: ClientOptions): ActorClient {
    let client = this.#clients.get(id);
    if (client === undefined) {
      client = new ActorClient(id, className);
      client.maxPendingCalls = options.maxPendingCalls ?? -1;
      client.calls.outOfOrder = options.allowOutOfOrder ?? false;
      this.#clients.set(id, client);
    }
    return client;
  }

  /** `counted`: the handle's own entry, kept until the call has ended. */
  call(to: ActorClient, call: ActorCallRecord, counted: ObjectEntry | undefined): void {
    const client = to.existing ?? to;
    this.#admit(client, call);
    this.#take(client, call, counted);
  }

  #take(client: ActorClient, call: ActorCallRecord, counted: ObjectEntry | undefined): void {
    if (client.isFreed) this.#back(client);
    this.#pending.set(call.number, { client, call });
    client.pendingBytes += call.args.length;
    if (counted !== undefined && client.held === undefined && client.calls.state !== "dead") {
      client.held = counted;
      this.#parts.borrowing.addLocal(counted);
    }
    if (call.limit !== undefined) this.#limits.watch(call);
    if (!this.#pending.has(call.number)) return;
    if (client.calls.state === "dead") return this.#failCall(client, call, deathOf(client));
    if (client.calls.refuses(call)) return this.#failCall(client, call, unavailable(client, false));
    if (client.calls.sendNow(call)) return this.#send(client, call);
    if (client.calls.state === "unplaced" && !client.resolving) void this.#resolve(client, LONG_POLL_MS);
  }

  argumentReady(call: ActorCallRecord): void {
    call.unresolved -= 1;
    if (call.unresolved > 0) return;
    call.ready = true;
    const found = this.#pending.get(call.number);
    if (found !== undefined) this.#pump(found.client, call.caller);
  }

  argumentFailed(call: ActorCallRecord, error: WireValue): void {
    const found = this.#pending.get(call.number);
    if (found === undefined || !found.client.calls.ended(call)) return;
    this.#end(call, found.client, undefined, undefined, error, () => error);
    this.#pump(found.client, call.caller);
  }

  /** What the agent knows of an actor: the answer to a creation or a question, or a change. */
  changed(info: ActorInfo): void {
    const client = this.#clients.get(info.actor);
    if (client === undefined || client.calls.state === "dead" || info.incarnation < client.calls.incarnation) return;
    if (info.className !== "") client.className = info.className;
    if (info.state === "DEAD") return this.died(client, info.failure as Failure | undefined);
    if (info.state === "ALIVE") return void this.#connect(client, info);
    if (info.state === "RESTARTING") this.#restarting(client, info);
  }

  died(client: ActorClient, failure: Failure | undefined): void {
    client.failure = failure;
    this.#tellCreated(client);
    for (const call of client.calls.died()) this.#failCall(client, call, deathOf(client));
    this.#letGo(client);
    this.#releaseKept(client);
    this.#tellWaiters(client);
    // Its handles have it still; who meets another one asks the agent.
    this.#clients.delete(client.id);
  }

  callDone(done: TaskDone, link: Link): void {
    const found = this.#pending.get(done.task);
    if (found === undefined || found.call.attempt !== done.attempt || found.client.link !== link) {
      return this.#parts.discard(done.results);
    }
    const { client, call } = found;
    this.#parts.stillHeld(done, link);
    if (done.skipped) return this.#notThere(client);
    const error = done.results[0] !== undefined && isError(done.results[0]) ? done.results[0] : undefined;
    const retriable = error !== undefined && call.retriesLeft !== 0 && this.#parts.retriable(call.retryOn, error);
    if (typeof retriable === "boolean") this.#outcome(client, call, done, link, error, retriable);
    else void retriable.then((again) => this.#outcome(client, call, done, link, error, again));
  }

  #outcome(
    client: ActorClient, call: ActorCallRecord, done: TaskDone, link: Link, error: WireValue | undefined, again: boolean,
  ): void {
    if (again) {
      this.#parts.discard(done.results);
      if (!client.calls.ended(call)) return;
      if (call.retriesLeft > 0) call.retriesLeft -= 1;
      call.attempt += 1;
      if (client.calls.sendNow(call)) this.#send(client, call);
      return;
    }
    if (!client.calls.ended(call)) return this.#parts.discard(done.results);
    this.#end(call, client, done, link, error, (index) => (error ? errorFor(index, error) : done.results[index]));
  }

  linkClosed(link: Link): void {
    for (const client of this.#clients.values()) {
      if (client.link !== link) continue;
      client.link = undefined;
      client.calls.lost();
      void this.#resolve(client, 0);
    }
  }

  /** Its process lives and has it no more: its agent knows what became of it, or will in a moment. */
  #notThere(client: ActorClient): void {
    if (client.calls.state !== "alive") return;
    client.link = undefined;
    client.calls.lost();
    this.#recheck(client);
  }

  #recheck(client: ActorClient): void {
    this.#parts.clock.after(RECHECK_MS, () => void this.#resolve(client, 0), true);
  }

  /** Its last handle is gone, and no call of it is under way. */
  freed(actor: string): void {
    const client = this.#clients.get(actor);
    if (client === undefined || client.calls.size > 0) return;
    this.#clients.delete(actor);
    client.isFreed = true;
    this.#releaseKept(client);
  }

  /** It is called through a handle that does not count: what has become of it since nobody was told is asked. */
  #back(client: ActorClient): void {
    client.isFreed = false;
    if (client.calls.state === "dead") return;
    this.#clients.set(client.id, client);
    client.link = undefined;
    client.calls.lost();
    void this.#resolve(client, 0);
  }

  /** Its constructor has run, or never will: nothing keeps its arguments any longer, unless it may run again. */
  constructed(client: ActorClient): void {
    if (!client.mayRestart) this.#releaseKept(client);
  }

  #releaseKept(client: ActorClient): void {
    const { kept } = client;
    client.kept = [];
    for (const entry of kept) this.#parts.borrowing.dropLocal(entry);
  }

  /** Actors of that node are restarting elsewhere or dead: the head knows which. */
  nodeDied(node: string): void {
    for (const client of this.#clients.values()) if (client.link?.node === node) client.link.channel.close("the node died");
  }

  /** The session ends. */
  close(failure: Failure): void {
    for (const client of this.#clients.values()) if (client.calls.state !== "dead") this.died(client, failure);
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #admit({ maxPendingCalls, calls, pendingBytes, className, id }: ActorClient, { args }: ActorCallRecord): void {
    const limit = maxPendingCalls < 0 ? PENDING_CALLS_MAX : maxPendingCalls;
    const isWithin = maxPendingCalls >= 0 || pendingBytes === 0 || pendingBytes + args.length <= PENDING_BYTES_MAX;
    if (calls.size < limit && isWithin) return;
    const limits = isWithin ? `${limit}` : `${PENDING_BYTES_MAX} bytes of arguments, unless maxPendingCalls says how many calls`;
    throw new PendingCallsLimitExceededError(
      `actor ${className} (${id}) has ${calls.size} calls pending from this process; the limit is ${limits}`, { actorId: id },
    );
  }

  async #connect(client: ActorClient, info: ActorInfo): Promise<void> {
    try {
      const link = await this.#parts.connect({ process: info.worker, node: info.node });
      if (client.calls.state === "dead" || info.incarnation < client.calls.incarnation) return;
      client.link = link;
      // It may live again before anybody heard that it had ended: why it did is told with its new life.
      if (info.incarnation > client.calls.incarnation) client.failure ??= info.failure as Failure | undefined;
      // The same incarnation over a new connection: what was not answered goes again; the receiver runs nothing twice.
      if (info.incarnation === client.calls.incarnation) for (const call of client.calls.unanswered()) this.#send(client, call);
      const { callers, failed } = client.calls.alive(info.incarnation);
      for (const call of failed) this.#failCall(client, call, unavailable(client, true));
      client.failure = undefined;
      for (const caller of callers) this.#pump(client, caller);
      this.#tellWaiters(client);
    } catch {
      // Its worker is gone or out of reach: the agent will say which.
      client.calls.lost();
      this.#recheck(client);
    }
  }

  #restarting(client: ActorClient, info: ActorInfo): void {
    const failed = client.calls.restarting(info.incarnation);
    if (failed === undefined) return;
    client.link = undefined;
    client.failure = info.failure as Failure | undefined;
    for (const call of failed) this.#failCall(client, call, unavailable(client, call.order > 0));
    void this.#resolve(client, LONG_POLL_MS);
  }

  /** One question at a time; asked again while the actor is neither alive nor dead. */
  async #resolve(client: ActorClient, waitMs: number): Promise<void> {
    if (client.resolving || client.calls.state === "dead") return;
    client.resolving = true;
    try {
      const info = await this.#parts.resolve(client.id, waitMs);
      client.resolving = false;
      this.changed(info);
      if (info.state === "PENDING") void this.#resolve(client, LONG_POLL_MS);
    } catch (error) {
      client.resolving = false;
      if (error instanceof HeadUnavailableError) this.#unknown(client, error);
      else this.died(client, failureOf(error) as Failure);
    }
  }

  /** Without a head for too long: whether it lives is told when there is one again. */
  #unknown(client: ActorClient, error: HeadUnavailableError): void {
    const failure = failureOf(Object.assign(error, { actorId: client.id })) as Failure;
    for (const call of client.calls.unsent()) this.#failCall(client, call, failure);
    this.#recheck(client);
  }

  #pump(client: ActorClient, caller: number): void {
    for (const call of client.calls.sendable(caller)) this.#send(client, call);
  }

  #send(client: ActorClient, call: ActorCallRecord): void {
    const link = client.link as Link;
    const { template } = call;
    if (link.introduce(template.id)) link.channel.send("template", template);
    link.channel.send("actorCall", {
      template: template.id,
      task: call.number,
      attempt: call.attempt,
      actor: client.id,
      caller: call.stream,
      order: call.order,
      args: call.args,
      bound: call.bound,
      chain: chainWithin(call, this.#parts.clock),
      acked: client.calls.acknowledged(call.caller),
      incarnation: client.calls.incarnation,
      codes: call.codes,
      stream: template.streamAhead > 0 ? this.#parts.position(call.number) : undefined,
      lastHeartbeat: call.heartbeat?.detail,
    });
  }

  #failCall(client: ActorClient, call: ActorCallRecord, failure: Failure): void {
    this.#end(call, client, undefined, undefined, { failure }, () => ({ failure }));
  }

  #end(
    call: ActorCallRecord, client: ActorClient, done: TaskDone | undefined, link: Link | undefined,
    error: WireValue | undefined, valueOf: (index: number) => WireValue,
  ): void {
    this.#pending.delete(call.number);
    client.pendingBytes -= call.args.length;
    this.#parts.ended();
    if (call.decided) this.#parts.discard(done?.results ?? []);
    else this.#settle(call, client.id, done, link, error, valueOf);
    if (!call.decided && error === undefined) this.#parts.recovery.callEnded(client, call);
    this.#parts.released(call);
    if (client.calls.size === 0) this.#letGo(client);
  }

  /** None of its calls is under way. */
  #letGo(client: ActorClient): void {
    const { held } = client;
    client.held = undefined;
    if (held !== undefined) this.#parts.borrowing.dropLocal(held);
  }

  #settle(
    call: ActorCallRecord, actor: string, done: TaskDone | undefined, link: Link | undefined, error: WireValue | undefined,
    valueOf: (index: number) => WireValue,
  ): void {
    const { history, clock } = this.#parts;
    const { number, template, attempt, submittedAt } = call;
    const code = error === undefined ? "" : codeOf(error);
    if (call.limit !== undefined) this.#limits.release(call);
    history.add(number, template.name, attempt, submittedAt, clock.now(), done, link, actor, code);
    call.results.forEach((entry, index) => this.#parts.settle(entry, valueOf(index)));
  }

  #tellCreated(client: ActorClient): void {
    const waiting = client.creating ?? [];
    client.creating = undefined;
    for (const told of waiting) told();
  }

  #tellWaiters(client: ActorClient): void {
    const { waiters } = client;
    client.waiters = [];
    for (const waiter of waiters) waiter(client);
  }
}
