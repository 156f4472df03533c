// One process's membership in a cluster: what drivers and workers have in common.
//
// It owns objects, submits tasks and actor calls, reads and waits, borrows from others and lends to them. All of it runs on
// the user's event loop; nothing that is already resolved needs this loop to be read by others. The parts: values (encoding),
// borrowing (object table), submission (tasks), actor-client (calls), reading (get, wait), links (channels). This file joins
// them and holds no policy.

import { failureOf, NotFoundError } from "../errors.ts";
import type { CodeShipper, ShipperHooks } from "../closure/index.ts";
import type { WorkerEnvironment } from "../environment/index.ts";
import type { Seams } from "../seams.ts";
import type { ValueCodec } from "../serialize/index.ts";
import type {
  ActorInfo, AnswerName, AnswerOf, Caller, CallName, CallOf, CallStuck, Channel, ChannelHandler, Draft, Failure, Identity,
  Lifetime, Listener, MessageHandlers,
} from "../transport/index.ts";
import { ActorClients } from "./actors/actor-client.ts";
import { endActor } from "./actors/actor-end.ts";
import type { Ended, OutcomeParts, RetryOn } from "./tasks/outcome.ts";
import { type CreationOptions, type NewActor, startActor } from "./actors/actor-creation.ts";
import type { CallOptions, HandleCore } from "./actors/actor-handle.ts";
import { Arguments } from "./tasks/arguments.ts";
import { Borrowing } from "./objects/borrowing.ts";
import { Calling } from "./tasks/calling.ts";
import { CodeExchange } from "./code-exchange.ts";
import type { CancelOptions } from "./tasks/abandoned.ts";
import { type Attempt, RunningAttempts } from "./context.ts";
import { Environments } from "./environments.ts";
import type { Finalizers } from "./equipment.ts";
import { cancelChildren, cancelOwn } from "./tasks/cancelling.ts";
import type { Home } from "./home.ts";
import { Link, LinkTable, processSocket, type ProcessAddress } from "./links.ts";
import { Makers } from "./objects/makers.ts";
import { MetricsReport } from "./reports/metrics-report.ts";
import {
  type DetachOptions, heldRef, ObjectEntry, ObjectRef, objectIdOf, type WaitForOptions, type WaitOptions,
} from "./objects/object-ref.ts";
import type { Made, ObjectRefStream } from "./streams/object-ref-stream.ts";
import { Keeping } from "./objects/keeping.ts";
import { Presence } from "./objects/presence.ts";
import { processMessages } from "./process-messages.ts";
import { RawBuffers } from "./objects/raw-buffers.ts";
import { Reading } from "./objects/reading.ts";
import { Recovery } from "./recovery/recovery.ts";
import { streamMessages, Streams } from "./streams/streams.ts";
import { StuckCalls } from "./actors/stuck-calls.ts";
import { Submission } from "./tasks/submission.ts";
import { TaskHistory } from "./tasks/task-history.ts";
import type { TaskTemplate } from "./tasks/task-record.ts";
import { captureHooks, travelHooks } from "./values/travel.ts";
import { Traps } from "./reports/traps.ts";
import { explainHere } from "./reports/explain-here.ts";
import { Unfinished } from "./tasks/unfinished.ts";
import { StoredObjects, type StoredObjectsParts } from "./objects/stored-objects.ts";
import { Values, type DecodeGroup } from "./values/values.ts";
import { Waiting } from "./objects/waiting.ts";
import type { WireValue } from "./values/wire-value.ts";

/** Bounds of the session's own waits. */
const DIAL_TIMEOUT_MS = 10_000;
const CALL_TIMEOUT_MS = 30_000;
/** A fetch is a copy of an object of any size over the network; the agents bound its parts. */
const FETCH_TIMEOUT_MS = 600_000;

export interface SessionParts {
  readonly seams: Seams;
  readonly identity: Identity;
  /** Of the node's sockets; "" for a process that is on no node's machine. */
  readonly sessionDir: string;
  readonly jobId: string;
  readonly namespace: string;
  /** What this process was started in. */
  readonly environment: WorkerEnvironment | undefined;
  readonly home: Home;
  readonly caller: Caller;
  readonly codec: ValueCodec;
  readonly createShipper: (hooks: ShipperHooks) => CodeShipper;
  readonly finalizers: Finalizers;
  /** See Equipment. */
  readonly oneProcess: boolean;
  readonly openRelay: (address: ProcessAddress, handler: ChannelHandler) => Promise<Channel>;
  /** What a worker adds: templates, tasks, actor calls. */
  readonly extraMessages: MessageHandlers;
  readonly onLinkClosed?: (link: Link) => void;
}

export class Session {
  readonly parts: SessionParts;
  readonly attempts = new RunningAttempts();
  readonly links: LinkTable;
  readonly borrowing: Borrowing;
  readonly code: CodeExchange;
  readonly stored: StoredObjects;
  readonly values: Values;
  readonly submission: Submission;
  readonly actors: ActorClients;
  readonly waiting: Waiting;
  readonly streams: Streams;
  readonly reading: Reading;
  readonly recovery = new Recovery(this);
  readonly keeping = new Keeping(this);
  readonly arguments: Arguments;
  readonly stuckCalls: StuckCalls;
  readonly #calling = new Calling(this);
  readonly rawBuffers = new RawBuffers(this);
  readonly environments: Environments;
  readonly history = new TaskHistory();
  readonly unfinished = new Unfinished(() => this.submission.size + this.actors.size);
  readonly presence: Presence;
  readonly makers: Makers;
  readonly metrics = new MetricsReport(this);
  readonly traps: Traps;
  /** Of a worker: what it knows of a call that an actor here was sent. */
  received: ((id: string) => object | undefined) | undefined;
  /** Job that this process works for; a worker adopts one. */
  jobId: string;
  namespace: string;
  #nextNumber = 1;
  #nextTemplate = 1;
  #listener: Listener | undefined;
  #ended: Failure | undefined;
  #waits = 0;
  /** Entries decoded for the attempt whose arguments are being decoded now. */
  #collector: ObjectEntry[] | undefined;

  constructor(parts: SessionParts) {
    this.parts = parts;
    this.jobId = parts.jobId;
    this.namespace = parts.namespace;
    const { seams, identity, home } = parts;
    const connect = (address: ProcessAddress) => this.links.connect(address);
    const { processId, nodeId } = identity;
    this.links = new LinkTable({
      identity, transport: seams.transport, sessionDir: parts.sessionDir, dialTimeoutMs: DIAL_TIMEOUT_MS,
      messages: { ...processMessages(this), ...streamMessages(this), ...parts.extraMessages },
      relay: parts.openRelay, onTurn: (link) => link.channel.flush(),
      onClosed: (link) => this.#linkClosed(link),
    });
    this.borrowing = new Borrowing({
      clock: seams.clock, finalizers: parts.finalizers, processId, nodeId, session: this, home, connect,
      recovery: this.recovery, keeping: this.keeping,
    });
    this.makers = new Makers(this.attempts, this.borrowing);
    this.presence = new Presence(() => this.newEntry(), this.borrowing);
    this.traps = new Traps({
      clock: seams.clock,
      unfinished: () => ({ tasks: this.submission.size, calls: this.actors.size }),
      waits: () => this.reading.open(),
      explain: (id) => explainHere(this, id, []),
    });
    const outcomes = this.#outcomes();
    this.actors = new ActorClients({
      clock: seams.clock, nodeId, connect,
      resolve: (actor, waitMs) => this.resolveActor({ actor }, waitMs),
      ...outcomes,
      recovery: this.recovery, borrowing: this.borrowing, errorOf: (failed) => this.values.failed(failed),
    });
    const travel = travelHooks(this.borrowing, this.actors, this);
    const hooks = captureHooks(travel, this.borrowing);
    const fetch: StoredObjectsParts["fetch"] = (body) => this.ask("fetchObject", body, "stored", FETCH_TIMEOUT_MS);
    this.stored = new StoredObjects({ nodeId, home, fetch, holding: (work) => this.holding(work) });
    this.code = new CodeExchange({
      home, nodeId, stored: this.stored, createShipper: (data) => parts.createShipper({ ...hooks, data }),
      export: (item) => this.ask("exportCode", item, "done"),
      fetch: (which) => this.ask("fetchCode", which, "codeItem", FETCH_TIMEOUT_MS),
    });
    this.values = new Values({
      codec: parts.codec, code: this.code, home, nodeId, travel,
      owner: { process: processId, node: nodeId },
      decoded: (group) => this.#decoded(group),
    });
    this.submission = new Submission({
      clock: seams.clock, home, nodeId, connect, traps: this.traps,
      jobId: () => this.jobId, newShortId: () => this.newShortId(),
      ...outcomes,
      recovery: this.recovery,
      endHere: (task, reason, recursive) => {
        this.endAttempt(objectIdOf(processId, task.number), task.life.attempt, reason, recursive);
      },
    });
    const suspender = () => this.attempts.current();
    this.waiting = new Waiting({ clock: seams.clock, suspender, hold: (change) => this.#hold(change) });
    this.streams = new Streams(this, connect);
    this.reading = new Reading({
      clock: seams.clock, values: this.values, borrowing: this.borrowing, waiting: this.waiting, stored: this.stored,
      recovery: this.recovery, attempt: suspender, traps: this.traps,
      waitingFor: (entries) => this.waitingFor(entries),
    });
    // A setupHook runs in workers that have no job yet: it brings all it captured.
    const whole = parts.createShipper(hooks);
    this.environments = new Environments(parts.environment, whole, (piece) => this.ask("writeChunk", piece, "chunk"));
    this.arguments = new Arguments(this.values, this.borrowing, this.traps, () => this.newEntry());
    this.stuckCalls = new StuckCalls(processId, (number) => this.#submitted(number), (...told) => this.#tellStuck(...told));
  }

  /** Accepts channels of other processes of this machine at this process's own socket. The others come through its agent. */
  async listen(): Promise<void> {
    const { seams, sessionDir, identity } = this.parts;
    if (sessionDir === "") return;
    this.#listener = await seams.transport.listen(processSocket(sessionDir, identity.processId), identity, () =>
      this.links.accept(),
    );
  }

  /** Resolves when this process is in the cluster; rejects with why it can't be. Waiting for it keeps the process alive. */
  joined(): Promise<void> {
    return this.holding(this.parts.home.joined);
  }

  get ended(): boolean {
    return this.#ended !== undefined;
  }

  newNumber(count = 1): number {
    const number = this.#nextNumber;
    this.#nextNumber += count;
    return number;
  }

  /** Numbers templates and scheduling classes. */
  newShortId(): number {
    return this.#nextTemplate++;
  }

  newEntry(number = this.newNumber()): ObjectEntry {
    const { processId, nodeId } = this.parts.identity;
    return new ObjectEntry(this, processId, nodeId, number, this.parts.seams.clock.now() | 0);
  }

  // -- tasks -------------------------------------------------------------------------------------------------------

  submit(template: TaskTemplate, args: readonly unknown[]): Made {
    this.checkAlive();
    this.metrics.touch();
    return this.#calling.submit(template, args);
  }

  /** Cancels what makes an object; nothing happens when it is there, or has failed. */
  cancel({ owner, ownerNode, number }: ObjectEntry, options: CancelOptions): void {
    this.checkAlive();
    if (owner === this.parts.identity.processId) return cancelOwn(this, number, options);
    // An owner out of reach is dead or dying, and what it waits for with it.
    this.links.connect({ process: owner, node: ownerNode }).then(
      (link) => link.channel.send("cancelObject", { object: number, ...options }), () => {},
    );
  }

  /** Tells a running attempt of this process that it is over; `recursive`: and ends what it submitted. */
  endAttempt(taskId: string, number: number, reason: Error, recursive: boolean): Attempt | undefined {
    const attempt = this.attempts.find(taskId, number);
    if (attempt === undefined) return undefined;
    // First: what it waits for rejects with this, not with what becomes of its children; and they may have more of them now.
    attempt.ending.end(reason);
    if (recursive) cancelChildren(this, attempt, reason);
    return attempt;
  }

  // -- objects -----------------------------------------------------------------------------------------------------

  async put(value: unknown, scope?: Draft<Lifetime>): Promise<ObjectRef> {
    this.checkAlive();
    const entry = this.newEntry();
    this.makers.put(entry);
    const encoded = this.values.encode(value, "value");
    this.borrowing.contain(entry, encoded.contained);
    const placed = encoded.value instanceof Promise ? await this.holding(encoded.value) : encoded.value;
    const kept = scope && await this.keeping.keep(heldRef(entry), placed, encoded.contained, scope);
    this.borrowing.settle(entry, kept ?? placed);
    return new ObjectRef(entry);
  }

  detach(ref: ObjectRef, options: DetachOptions): Promise<void> {
    this.checkAlive();
    return this.keeping.detach(this.borrowing.share(ref), options);
  }

  getOne(entry: ObjectEntry, options: WaitOptions | undefined): Promise<unknown> {
    const { fenced } = this.attempts;
    return fenced === undefined ? this.reading.one(entry, options) : Promise.reject(fenced);
  }

  getAll(entries: readonly ObjectEntry[], options: WaitOptions | undefined): Promise<unknown[]> {
    return this.reading.all(entries, options);
  }

  waitFor<R extends ObjectRef>(
    refs: readonly R[], numReturns: number, options: WaitForOptions | undefined,
  ): Promise<{ ready: R[]; pending: R[] }> {
    return this.reading.wait(refs, numReturns, options);
  }

  releaseHandle(handle: ObjectRef | ObjectRefStream): void {
    this.borrowing.releaseHandle(handle);
  }

  async nextItem(stream: ObjectEntry, options: WaitOptions | undefined): Promise<ObjectRef | undefined> {
    this.checkAlive();
    return this.streams.next(stream, options);
  }

  async leaveStream(stream: ObjectEntry): Promise<void> {
    if (!this.ended) await this.streams.leave(stream);
  }

  // -- actors ------------------------------------------------------------------------------------------------------

  /** Starts a creation; the handle is there at once. */
  createActor(spec: NewActor, args: readonly unknown[], methods: Set<string>, options: CreationOptions): object {
    this.checkAlive();
    return startActor(this, spec, args, methods, options);
  }

  callActor(core: HandleCore, method: string, args: readonly unknown[], options: CallOptions): Made {
    this.checkAlive();
    this.metrics.touch();
    return this.#calling.call(core, method, args, options);
  }

  releaseActorHandle(core: HandleCore): void {
    if (core.entry !== undefined) this.borrowing.releaseHandle(core as never);
  }

  /** Asks the agent, once it is there; every question is bounded. */
  ask<N extends CallName, A extends AnswerName>(
    name: N,
    body: Draft<CallOf<N>>,
    expected: A,
    timeoutMs = CALL_TIMEOUT_MS,
  ): Promise<AnswerOf<A>> {
    if (this.#ended !== undefined) return Promise.reject(this.#endedError());
    const { caller, home } = this.parts;
    const call = () => caller.call(home.agent, name, body, expected, { timeoutMs });
    return this.holding(home.ready ? call() : home.joined.then(call));
  }

  /** What the cluster knows of an actor, by id or by name. */
  resolveActor(which: { actor?: string; name?: string; namespace?: string }, waitMs = 0): Promise<ActorInfo> {
    return this.ask("resolveActor", { ...which, waitMs }, "actor", waitMs + CALL_TIMEOUT_MS);
  }

  /** Resolves when its constructor has run. */
  async actorReady({ client, entry }: HandleCore): Promise<void> {
    this.checkAlive();
    if (entry !== undefined) this.borrowing.addLocal(entry);
    try {
      await this.actors.ready(client);
    } finally {
      if (entry !== undefined) this.borrowing.dropLocal(entry);
    }
  }

  async killActor({ client }: HandleCore, noRestart: boolean): Promise<void> {
    this.checkAlive();
    const actor = await this.holding(this.actors.identity(client));
    if (actor === undefined) return;
    const { process } = await this.ask("killActor", { actor, noRestart, reason: "it was killed" }, "done");
    // Nobody reads what it owned any more, although the word of its end is still on its way.
    if (process !== "") this.processDied(process, `actor ${actor}, which it ran, was killed`);
    // Its process may not know yet, and would take calls that are made from here now.
    this.actors.changed(await this.resolveActor({ actor }));
  }

  // -- life --------------------------------------------------------------------------------------------------------

  /** A process somewhere ended. */
  processDied(process: string, text: string): void {
    this.borrowing.processDied(process, text);
    this.streams.processDied(process, text);
  }

  /** Ends the session: everything pending fails with `error`, refs and handles of it are dead from now on. */
  async close(error: Error): Promise<void> {
    if (this.#ended !== undefined) return;
    this.metrics.close();
    this.#ended = failureOf(error) as Failure;
    this.traps.close();
    this.submission.close(this.#ended);
    this.actors.close(this.#ended);
    this.borrowing.close(this.#ended);
    this.streams.close();
    this.links.close();
    await this.#listener?.close();
    this.parts.home.closed(error);
  }

  /** Throws when the session has ended, or the actor whose code runs. */
  checkAlive(): void {
    if (this.#ended !== undefined) throw this.#endedError();
    const { fenced } = this.attempts;
    if (fenced !== undefined) throw fenced;
  }

  /** Runs `decode`, and tells which refs it brought into this process. */
  collecting<T>(decode: () => T): { readonly result: T; readonly entries: ObjectEntry[] } {
    const entries: ObjectEntry[] = [];
    this.#collector = entries;
    try {
      return { result: decode(), entries };
    } finally {
      this.#collector = undefined;
    }
  }

  /** The process stays alive while this is awaited. */
  holding<T>(wait: Promise<T>): Promise<T> {
    this.#hold(1);
    return wait.finally(() => this.#hold(-1));
  }

  /** The process stays alive while something is awaited, and only then. */
  #hold(change: 1 | -1): void {
    this.#waits += change;
    if (this.#waits === 0) this.parts.home.hold(false);
    else if (this.#waits === 1 && change === 1) this.parts.home.hold(true);
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #outcomes(): OutcomeParts {
    return {
      history: this.history,
      settle: (entry, value) => this.recovery.settle(entry, value),
      discard: (values) => this.borrowing.discard(values),
      ended: () => this.unfinished.ended(),
      position: (number) => this.streams.position(number),
      retriable: (retryOn, error) => this.#retriable(retryOn, error),
      stillHeld: (done, link) => {
        for (const held of done.held) this.borrowing.handOverById(held, link);
      },
      released: (ended) => this.#released(ended),
    };
  }

  waitingFor(entries: readonly ObjectEntry[]): (() => void) | undefined {
    const attempt = this.attempts.current();
    return attempt === undefined || attempt.chain.actors.length === 0 ? undefined : this.stuckCalls.waiting(attempt, entries);
  }

  #submitted(number: number): { attempt: Attempt | undefined; actor: string | undefined } | undefined {
    const found = this.actors.find(number);
    if (found !== undefined) return { attempt: this.attempts.ofCaller(found.call.caller), actor: found.client.id };
    const task = this.submission.find(number);
    return task && { attempt: task.parent, actor: undefined };
  }

  /** Who is out of reach is dead or dying, and waits for nothing. */
  #tellStuck(to: ProcessAddress, message: CallStuck): void {
    if (to.process === this.parts.identity.processId) return this.stuckCalls.told(message);
    this.links.connect(to).then((link) => link.channel.send("callStuck", message), () => {});
  }

  #retriable(retryOn: RetryOn, error: WireValue): boolean | Promise<boolean> {
    if (retryOn === undefined) return false;
    const codes = error.codes as never;
    if (this.values.isDecodable(codes)) return retryOn(this.values.errorIn(error));
    // A class that can't be brought here is none that the option names.
    return this.values.revive(codes).then(
      () => retryOn(this.values.errorIn(error)),
      () => false,
    );
  }

  #decoded(group: DecodeGroup): void {
    if (this.#collector !== undefined)
      for (const entry of group.entries) if (entry !== undefined) this.#collector.push(entry);
    this.borrowing.groupHandles(group.entries, group.refs);
  }

  #released({ number, kept }: Ended): void {
    for (const entry of kept) this.borrowing.dropLocal(entry);
    this.streams.own.over(number);
  }

  /** The last handle of an actor that this process created is gone. */
  actorFreed(number: number): void {
    const actor = objectIdOf(this.parts.identity.processId, number);
    if (this.#ended !== undefined) return;
    this.actors.freed(actor);
    endActor(this, actor);
  }

  #linkClosed(link: Link): void {
    this.submission.linkClosed(link);
    this.actors.linkClosed(link);
    this.streams.linkClosed(link);
    this.attempts.readerGone(link.process);
    this.parts.onLinkClosed?.(link);
  }

  #endedError(): Error {
    return new NotFoundError(`the session this belongs to has ended: ${this.#ended?.text ?? ""}`);
  }
}
