// Objects whose copy is gone: looked for on other nodes first, then made again by running what made them.
//
// The shell of core/lineage.ts. When a node dies its objects are looked for at once, because copies are not kept for long; tasks
// run again only when somebody asks for what they make. A task that runs again settles entries of its own, which stand in for
// those that the program has. A foreign object is asked for at its owner, who does the same.

import { Lineage, type Making } from "../../core/index.ts";
import { failureOf, ObjectFetchTimeoutError, ReconstructionFailedError } from "../../errors.ts";
import type { BoundArg, Draft, Failure, Stored } from "../../transport/index.ts";
import { warn } from "../../warnings.ts";
import type { ActorCallRecord } from "../actors/actor-call.ts";
import type { ActorClient } from "../actors/actor-client.ts";
import { freedError } from "../objects/keeping.ts";
import { lossOf } from "./loss-story.ts";
import { heldRef, isOpen, type ObjectEntry, objectIdOf } from "../objects/object-ref.ts";
import { LostItems } from "./lost-items.ts";
import { callRun, endedTask, type GivenAgain, type Run, taskRun } from "./reruns.ts";
import type { Session } from "../session.ts";
import type { TaskRecord } from "../tasks/task-record.ts";
import { isError, type WireValue } from "../values/wire-value.ts";

/** Of what tasks were given, kept so that they can run again. */
const LINEAGE_BYTES_MAX = 256 * 1024 * 1024;
/** In stores, of what tasks were given by value. */
const LINEAGE_STORED_BYTES_MAX = 1024 * 1024 * 1024;
/** Objects that one question to the agent is about. */
const SEARCH_MAX = 1000;
/** A task whose arguments are said to be there, and are not, so often is given up. */
const LOSSES_MAX = 10;

interface Loss {
  readonly value: WireValue;
  readonly reason: string;
  /** No copy was found. */
  isSearched: boolean;
}

export class Recovery {
  readonly #session: Session;
  readonly #lineage: Lineage<Run>;
  /** Of streams. */
  readonly items: LostItems;
  /** Own objects that are lost, until their value is there again. */
  readonly #losses = new Map<number, Loss>();
  /** Entries that wait for a run, or for the search before it. */
  readonly #making = new Map<number, ObjectEntry>();
  readonly #standIns = new Map<ObjectEntry, Run>();
  /** Where a foreign object was not found. */
  readonly #missed = new WeakMap<ObjectEntry, Draft<Stored>>();

  constructor(session: Session) {
    this.#session = session;
    this.#lineage = new Lineage<Run>({
      maxBytes: LINEAGE_BYTES_MAX, maxStoredBytes: LINEAGE_STORED_BYTES_MAX,
      taskForgotten: ({ byValue }) => byValue.forEach((entry) => session.borrowing.dropLocal(entry)),
      objectForgotten: (object) => this.items.forgotten(object),
    });
    this.items = new LostItems(session, this.#lineage, {
      made: (number, run, value) => this.#madeAgain(number, run, value),
      failed: (number, run, value) => this.#notMade(number, run, value),
      wanted: (number) => this.#wantedAgain(number),
    });
  }

  // -- what ends ---------------------------------------------------------------------------------------------------

  taskEnded(task: TaskRecord): void {
    if (this.#concerns(task)) this.#ended(task, taskRun(this.#session, task), task.life.retriesLeft);
  }

  callEnded(client: ActorClient, call: ActorCallRecord): void {
    if (this.#concerns(call)) this.#ended(call, callRun(this.#session, client, call), call.retriesLeft);
  }

  /** Gives an entry of a task or call its outcome. */
  settle(entry: ObjectEntry, value: WireValue): void {
    const { borrowing } = this.#session;
    if (this.items.ended(entry, value)) return;
    const run = this.#standIns.get(entry);
    if (run === undefined) return borrowing.settle(entry, value);
    this.#standIns.delete(entry);
    if (isError(value)) {
      this.#lineage.failed(run.number);
      return this.#notMade(entry.number, run, value);
    }
    entry.value = value;
    this.#madeAgain(entry.number, run, value);
  }

  /** Room in the store is short. */
  pressed(): void {
    this.#lineage.letGo();
  }

  /** Nobody holds this object of this process any more. */
  released(number: number): void {
    this.#losses.delete(number);
    this.#lineage.released(number);
  }

  // -- what is lost ------------------------------------------------------------------------------------------------

  nodeDied(node: string, reason: string): void {
    this.#loseAll(this.#session.borrowing.holdings.on(node), `node ${node} died: ${reason}`);
  }

  /** A reader could not read it where it is said to lie. */
  missing(entry: ObjectEntry, place: Draft<Stored>, reason: string): void {
    if (entry.state !== "ready" || !isSame(entry.value?.stored, place)) return;
    const isOwn = entry.owner === this.#session.parts.identity.processId;
    if (isOwn) this.#loseAll([entry, ...this.#beside(entry, place.node)], reason);
    else if (this.#session.borrowing.lost(entry)) this.#missed.set(entry, place);
  }

  /** A worker did not find arguments of a task where they were said to lie: it waits for them anew. */
  argumentsLost(task: TaskRecord, indexes: readonly number[]): void {
    const { submission } = this.#session;
    const lost = indexes.filter((index) => index < task.bound.length).map((index) => {
      const { owner, object } = task.bound[index];
      const entry = task.kept.find((one) => one.number === object && one.owner === owner) as ObjectEntry;
      return { bound: task.bound[index], entry };
    });
    task.unresolved = lost.length;
    task.losses += 1;
    if (task.losses > LOSSES_MAX) {
      const error = new ObjectFetchTimeoutError(`arguments of task "${task.template.name}" were not found ${task.losses} times`);
      return submission.argumentFailed(task, { failure: failureOf(error) as Failure });
    }
    for (const { bound: { value }, entry } of lost) {
      const stored = value?.stored;
      if (stored) this.missing(entry, stored, `it was not found on node ${stored.node}`);
    }
    const inline = task.bound.reduce((sum, { value }) => sum + (value?.value?.length ?? 0), task.args.length);
    this.#session.arguments.await({ unresolved: lost, kept: task.kept, inline }, {
      ready: () => submission.argumentReady(task),
      failed: (error) => submission.argumentFailed(task, error),
    });
  }

  /** The value of an argument that was not found where it was said to lie, when it is known where it is now. */
  async again({ owner, ownerNode, object, value }: BoundArg, reason: string): Promise<WireValue> {
    const { borrowing, waiting } = this.#session;
    const isOwn = owner === this.#session.parts.identity.processId;
    const entry = isOwn ? borrowing.own(object) : borrowing.received(owner, ownerNode, object);
    const objectId = objectIdOf(owner, object);
    if (entry === undefined) throw freedError(objectId);
    if (isOwn) borrowing.addLocal(entry);
    try {
      if (entry.state === "pending" && !entry.subscribed) borrowing.settle(entry, { ...value, contained: [] });
      this.missing(entry, value?.stored as Stored, reason);
      await waiting.settled(entry, (one) => borrowing.want(one));
      return entry.value as WireValue;
    } finally {
      borrowing.dropLocal(entry);
    }
  }

  /** Somebody asks for an entry that is lost. */
  seek(entry: ObjectEntry): void {
    const { borrowing, parts } = this.#session;
    if (!borrowing.sought(entry)) return;
    if (entry.owner !== parts.identity.processId) return this.#askOwner(entry);
    this.#making.set(entry.number, entry);
    if (this.#losses.get(entry.number)?.isSearched ?? true) this.#make(entry);
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  /** Of a stream the items do, one by one. */
  #concerns({ number, results, template }: TaskRecord | ActorCallRecord): boolean {
    return template.streamAhead === 0 && (results.some(isStored) || this.#lineage.isRunning(number));
  }

  #ended(record: TaskRecord | ActorCallRecord, run: Run, retriesLeft: number): void {
    const results = record.results.filter(isStored).map(({ number }) => number);
    if (!this.#lineage.isRunning(run.number)) for (const entry of run.byValue) this.#session.borrowing.addLocal(entry);
    this.#lineage.ended(endedTask(this.#session, run, results, retriesLeft));
  }

  /** Whoever wants it. */
  #openEntry(number: number): ObjectEntry | undefined {
    const entry = this.#making.get(number) ?? this.#session.borrowing.own(number);
    this.#making.delete(number);
    return entry !== undefined && isOpen(entry) ? entry : undefined;
  }

  #madeAgain(number: number, run: Run, value: WireValue): void {
    const { borrowing, keeping } = this.#session;
    const entry = this.#openEntry(number);
    if (entry === undefined) return borrowing.discard([value]);
    const before = this.#losses.get(number)?.value;
    if (before !== undefined && isOther(before, value)) warnOnce(run.name, entry.id);
    this.#losses.delete(number);
    borrowing.settle(entry, value);
    if (before?.lifetime && !value.lifetime) keeping.keepAgain(entry);
  }

  #notMade(number: number, run: Run, value: WireValue): void {
    const entry = this.#openEntry(number);
    if (entry !== undefined) void this.#failed(entry, run, value);
  }

  #wantedAgain(number: number): void {
    const entry = this.#making.get(number);
    if (entry !== undefined) this.#make(entry);
  }

  #loseAll(entries: readonly ObjectEntry[], reason: string): void {
    const lost = entries.filter((entry) => this.#lose(entry, reason));
    for (let from = 0; from < lost.length; from += SEARCH_MAX) void this.#search(lost.slice(from, from + SEARCH_MAX));
  }

  /** What the task that made it left at the same place is likely to be gone as well: one run makes all of it again. */
  #beside(entry: ObjectEntry, node: string | null | undefined): ObjectEntry[] {
    const others = [...this.#lineage.madeWith(entry.number)].map((number) => this.#session.borrowing.own(number));
    return others.filter((one): one is ObjectEntry => (
      one !== undefined && one !== entry && one.state === "ready" && one.value?.stored?.node === node
    ));
  }

  #lose(entry: ObjectEntry, reason: string): boolean {
    const value = entry.value as WireValue;
    if (!this.#session.borrowing.lost(entry)) return false;
    this.#losses.set(entry.number, { value, reason, isSearched: false });
    return true;
  }

  async #search(entries: readonly ObjectEntry[]): Promise<void> {
    const losses = entries.map(({ number }) => this.#losses.get(number) as Loss);
    let found: readonly (WireValue | undefined)[] = [];
    try {
      found = await this.#places(entries, losses);
    } catch {
      // Nobody can be asked: then nothing was found.
    }
    const wanted = entries.filter((entry, index) => this.#isWantedNow(entry, losses[index], found[index]));
    // By now it is known of all of them that they are lost.
    for (const entry of wanted) this.#make(entry);
  }

  /**
   * Where they are now. Those that agents keep have copies elsewhere only if those were asked for, and the agents know whether
   * they were freed.
   */
  async #places(entries: readonly ObjectEntry[], losses: readonly Loss[]): Promise<readonly (WireValue | undefined)[]> {
    const { keeping, parts } = this.#session;
    const isKept = ({ value }: Loss) => Boolean(value.lifetime);
    const { processId: owner, nodeId: ownerNode } = parts.identity;
    const others = losses.filter((loss) => !isKept(loss)).map(({ value }) => value.stored as Stored);
    const [kept, { places }] = await Promise.all([
      keeping.find(entries.filter((_entry, index) => isKept(losses[index])).map(heldRef)),
      others.length === 0 ? { places: [] } : this.#session.ask("findObjects", { places: others, owner, ownerNode }, "places"),
    ]);
    const [nextKept, nextOther] = [kept.values(), places.values()];
    return losses.map((loss): WireValue | undefined => (
      isKept(loss) ? (nextKept.next().value as WireValue | undefined) : { stored: nextOther.next().value as Stored }
    ));
  }

  /** After the search. True when it was not found, and somebody waits for it. */
  #isWantedNow(entry: ObjectEntry, loss: Loss, found: WireValue | undefined): boolean {
    const { borrowing } = this.#session;
    const stored = found?.stored?.node ? found.stored : undefined;
    if (!isOpen(entry) || this.#losses.get(entry.number) !== loss) {
      if (stored !== undefined) borrowing.discard([{ stored }]);
    } else if (found !== undefined && isError(found)) this.#isOver(entry, found);
    else if (stored === undefined) {
      loss.isSearched = true;
      this.#lineage.lost(entry.number);
      return entry.state === "pending";
    } else {
      this.#losses.delete(entry.number);
      this.#making.delete(entry.number);
      // What is inside it is held still.
      borrowing.settle(entry, { ...loss.value, contained: [], stored });
    }
    return false;
  }

  #make(entry: ObjectEntry): void {
    const making = this.#lineage.wanted(entry.number);
    if (making.kind === "lost") return this.#giveUp(entry, making);
    for (const { spec, retriesLeft } of making.tasks) this.#runAgain(spec, retriesLeft);
  }

  #giveUp(entry: ObjectEntry, making: Extract<Making<Run>, { kind: "lost" }>): void {
    const loss = this.#losses.get(entry.number);
    const error = lossOf(entry, making, loss?.reason ?? "it was given up before", Boolean(loss?.value.lifetime));
    this.#isOver(entry, { failure: failureOf(error) as Failure });
  }

  /** For good. */
  #isOver(entry: ObjectEntry, failure: WireValue): void {
    this.#making.delete(entry.number);
    this.#losses.delete(entry.number);
    this.#session.borrowing.settle(entry, failure);
  }

  #runAgain(run: Run, retriesLeft: number): void {
    run.attempt += 1;
    if (run.isStream) return this.items.runAgain(run, this.#given(run), retriesLeft);
    const results: ObjectEntry[] = [];
    for (let index = 0; index < run.count; index += 1) {
      const standIn = this.#session.newEntry(run.number + index);
      this.#standIns.set(standIn, run);
      results.push(standIn);
    }
    run.start(this.#given(run), { results, attempt: run.attempt, retriesLeft });
  }

  /** Its arguments, as they are now; those that are lost are made again when they are awaited. */
  #given(run: Run): GivenAgain {
    const kept: ObjectEntry[] = [];
    const unresolved: { bound: GivenAgain["bound"][number]; entry: ObjectEntry }[] = [];
    const bound = run.given.map(({ index, owner, ownerNode, object, value }): BoundArg => {
      const one = { index, owner, ownerNode, object, value: value as BoundArg["value"] };
      if (value !== undefined) return one;
      const entry = this.#entryOf({ owner, ownerNode, object });
      kept.push(entry);
      if (entry.state === "ready") return { ...one, value: entry.value as BoundArg["value"] };
      unresolved.push({ bound: one, entry });
      return one;
    });
    const { processId } = this.#session.parts.identity;
    for (const held of run.inside) {
      const { borrowing } = this.#session;
      const isGone = held.owner === processId && borrowing.own(held.object) === undefined;
      if (!isGone || this.#lineage.isMakeable(held.object)) kept.push(this.#entryOf(held));
    }
    const inline = bound.reduce((sum, { value }) => sum + (value?.value?.length ?? 0), run.args.bytes.length);
    return { args: run.args, bound, kept, unresolved, inline };
  }

  /** Counted for a run. */
  #entryOf(held: Run["inside"][number]): ObjectEntry {
    const { borrowing, parts } = this.#session;
    if (held.owner !== parts.identity.processId) return borrowing.borrowAgain(held);
    let entry = borrowing.own(held.object);
    if (entry === undefined) {
      // It may have been collected a moment ago, and nobody was told.
      if (!this.#lineage.isMaking(held.object)) this.#lineage.released(held.object);
      entry = borrowing.revived(held.object);
    }
    borrowing.addLocal(entry);
    return entry;
  }

  async #failed(entry: ObjectEntry, run: Run, value: WireValue): Promise<void> {
    const { values, borrowing } = this.#session;
    const objectId = entry.id;
    const reason = this.#losses.get(entry.number)?.reason ?? "it was given up before";
    this.#losses.delete(entry.number);
    const text = `object ${objectId} is lost (${reason}), and "${run.name}", run again to make it, failed`;
    let failure: unknown;
    try {
      failure = failureOf(new ReconstructionFailedError(text, { objectId }, await values.failed(value)));
    } catch (error) {
      // The error can't be brought here, or not be told: its own words are lost.
      failure = failureOf(new ReconstructionFailedError(text, { objectId }, error));
    }
    borrowing.settle(entry, { failure: failure as Failure });
  }

  #askOwner(entry: ObjectEntry): void {
    const { links, borrowing } = this.#session;
    const place = this.#missed.get(entry);
    links.connect({ process: entry.owner, node: entry.ownerNode }).then(
      (link) => link.channel.send("lostObject", { object: entry.number, place }),
      () => borrowing.lossOf(entry),
    );
  }
}

/** As far as samples of both tell. Refs inside a value are new each time. */
function isOther(before: WireValue, after: WireValue): boolean {
  const [one, other] = [before.stored, after.stored];
  if (before.contained?.length || !one?.sum || (other && !other.sum)) return false;
  return one.size !== other?.size || one.sum !== other?.sum;
}

const warned = new Set<string>();

function warnOnce(name: string, objectId: string): void {
  if (warned.has(name)) return;
  warned.add(name);
  const text = `"${name}" was run again to make object ${objectId}, which was lost, and made another value than before. ` +
    "Who has read the first one has that still; let what may run again give the same result for the same arguments.";
  warn("TROUPE_OTHER_RESULT", text);
}

function isStored(entry: ObjectEntry): boolean {
  return entry.state !== "freed" && Boolean(entry.value?.stored);
}

function isSame(one: Draft<Stored> | null | undefined, other: Draft<Stored>): boolean {
  return one?.node === other.node && one?.slot === other.slot && one?.generation === other.generation;
}
