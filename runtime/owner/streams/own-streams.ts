// Streams of this process: what its generators yield, and who takes it, here or in other processes.
//
// The shell of core/item-stream.ts. A stream has the number of its task or call, whose entry settles when the generator has
// ended. Readers wait in one row, wherever they are; whoever is first gets the next item.

import { StreamIntake, type StreamPosition } from "../../core/index.ts";
import { ConnectionError, GetTimeoutError, TaskCancelledError } from "../../errors.ts";
import type { Lifetime, SendOf, StreamItem, StreamPull } from "../../transport/index.ts";
import type { Borrowing } from "../objects/borrowing.ts";
import type { Link } from "../links.ts";
import { type ObjectEntry, ObjectRef, type WaitOptions } from "../objects/object-ref.ts";
import { ObjectRefStream, type StreamSession } from "./object-ref-stream.ts";
import type { Waiting } from "../objects/waiting.ts";
import { isError, type WireValue } from "../values/wire-value.ts";

/** Who leaves a stream waits so long for the end of its generator. */
const LEAVE_MS = 5000;

/** Told once: the item, or undefined when there is none, now and for ever. */
export type Taker = (item: ObjectEntry | undefined) => void;

/** A reader in another process. */
interface Remote {
  link: Link;
  /** Items it asked for in all, and those it was handed. */
  asked: number;
  handed: number;
  readonly waiting: Set<Taker>;
  /** Handed, and perhaps lost with a connection, by index. */
  readonly sent: Map<number, SendOf<"streamHanded">>;
}

interface OwnStream {
  readonly entry: ObjectEntry;
  readonly name: string;
  /** What its items are kept for. */
  readonly scope: Lifetime | undefined;
  readonly intake: StreamIntake<ObjectEntry>;
  readonly takers: Set<Taker>;
  /** By process and number of the reader there. */
  readonly remotes: Map<string, Remote>;
  /** No code of it runs any more. */
  over: boolean;
  leavers: (() => void)[];
}

/** Who makes the items of a stream now. */
export interface Producer {
  /** Undefined: this process. */
  readonly link: Link | undefined;
  readonly attempt: number;
}

export interface OwnStreamsParts {
  readonly borrowing: Borrowing;
  readonly waiting: Waiting;
  readonly session: StreamSession;
  /** Tells that the running attempt waits for these, if that matters to somebody; returns what says that it is over. */
  readonly waitingFor: (entries: readonly ObjectEntry[]) => (() => void) | undefined;
  readonly newEntry: () => ObjectEntry;
  readonly keepLater: (entry: ObjectEntry, scope: Lifetime) => void;
  readonly producer: (task: number) => Producer | undefined;
  /** An item lies in a store, and may be lost. */
  readonly came: (task: number, index: number, entry: ObjectEntry) => void;
  /** An item of a run that makes lost ones again; false when it is none. */
  readonly cameAgain: (task: number, index: number, value: WireValue) => boolean;
  /** For a generator that runs in this process. */
  readonly takenHere: (task: number, attempt: number, taken: number) => void;
  /** Ends the task or call: nobody reads on. */
  readonly end: (task: number, reason: Error) => void;
}

export class OwnStreams {
  readonly #parts: OwnStreamsParts;
  readonly #streams = new Map<number, OwnStream>();

  constructor(parts: OwnStreamsParts) {
    this.#parts = parts;
  }

  /** The stream of a task or call that is being submitted. */
  open(entry: ObjectEntry, name: string, scope?: Lifetime): ObjectRefStream {
    const { borrowing, session } = this.#parts;
    const intake = new StreamIntake<ObjectEntry>();
    const stream: OwnStream = { entry, name, scope, intake, takers: new Set(), remotes: new Map(), over: false, leavers: [] };
    this.#streams.set(entry.number, stream);
    (entry.waiters ??= []).push(() => this.#ended(stream));
    const handle = new ObjectRefStream(session, entry);
    handle.group = borrowing.shareCounted(entry, () => this.#freed(stream));
    return handle;
  }

  /** Where the next attempt begins; undefined for what is no stream. */
  position(task: number): StreamPosition | undefined {
    return this.#streams.get(task)?.intake.position;
  }

  /** From its producer. `link` is undefined for a generator of this process. */
  arrived({ task, attempt, index, value }: StreamItem, link: Link | undefined): void {
    const { borrowing, newEntry, keepLater, producer, end, came, cameAgain } = this.#parts;
    const stream = this.#streams.get(task);
    const from = producer(task);
    const isCurrent = from !== undefined && from.link === link && from.attempt === attempt;
    if (stream === undefined && isCurrent && cameAgain(task, index, value as WireValue)) return;
    const arrival = stream === undefined || !isCurrent ? "repeat" : stream.intake.arrival(index);
    if (stream === undefined || arrival !== "next") borrowing.discard([value as WireValue]);
    if (arrival === "gap") end(task, new ConnectionError(`item ${index} of a stream came before one that never did`));
    if (stream === undefined || arrival !== "next") return;
    const entry = newEntry();
    borrowing.settle(entry, value as WireValue);
    if (value?.stored) came(task, index, entry);
    if (stream.scope !== undefined) keepLater(entry, stream.scope);
    stream.intake.add(entry);
    this.#serve(stream);
  }

  /** No code of that task or call runs any more. */
  over(task: number): void {
    const stream = this.#streams.get(task);
    if (stream === undefined) return;
    stream.over = true;
    for (const told of stream.leavers.splice(0)) told();
  }

  // -- readers of this process -------------------------------------------------------------------------------------

  async next(number: number, options: WaitOptions | undefined): Promise<ObjectRef | undefined> {
    options?.signal?.throwIfAborted();
    const stream = this.#streams.get(number);
    if (stream === undefined) return undefined;
    const item = stream.takers.size === 0 ? this.#take(stream) : undefined;
    if (item !== undefined) return new ObjectRef(item);
    if (stream.intake.done) return undefined;
    const { name, entry, takers } = stream;
    const timedOut = () => new GetTimeoutError(
      `stream of "${name}": no item within ${options?.timeoutMs} ms (${entry.id})`, { objectIds: [entry.id] },
    );
    const over = this.#parts.waitingFor([entry]);
    const waits = this.#parts.waiting.until<ObjectEntry | undefined>(options, timedOut, (settle) => {
      takers.add(settle);
      return () => void takers.delete(settle);
    });
    const taken = await (over === undefined ? waits : waits.finally(over));
    return taken === undefined ? undefined : new ObjectRef(taken);
  }

  /** Nobody gets what was not taken. Resolves when its generator has ended, or after a while. */
  async leave(number: number): Promise<void> {
    const stream = this.#streams.get(number);
    if (stream === undefined) return;
    this.#cut(stream);
    this.#serve(stream);
    this.#end(stream, "its reader left");
    if (stream.over) return;
    await this.#parts.waiting.until<undefined>({ timeoutMs: LEAVE_MS }, () => undefined, (settle) => {
      stream.leavers.push(() => settle(undefined));
      return () => {};
    });
  }

  // -- readers of other processes ----------------------------------------------------------------------------------

  pull({ object, reader, wanted, got, leaves }: StreamPull, link: Link): void {
    const done = { object, reader, done: true };
    const stream = this.#streams.get(object);
    if (stream === undefined) return link.channel.send("streamHanded", done);
    if (leaves) {
      const told = () => void (link.channel.open && link.channel.send("streamHanded", done));
      return void this.leave(object).then(told, told);
    }
    const remote = this.#remote(stream, reader, link);
    for (const index of remote.sent.keys()) if (index < got) remote.sent.delete(index);
    for (; remote.asked < wanted; remote.asked += 1) this.#await(stream, remote, reader);
    this.#serve(stream);
  }

  /** What its readers wait for they will ask for again. */
  linkClosed(link: Link): void {
    for (const { remotes, takers } of this.#streams.values()) {
      for (const remote of remotes.values()) {
        if (remote.link !== link) continue;
        for (const taker of remote.waiting) takers.delete(taker);
        remote.waiting.clear();
        remote.asked = remote.handed;
      }
    }
  }

  processDied(process: string): void {
    for (const { remotes } of this.#streams.values()) {
      for (const key of [...remotes.keys()]) if (key.startsWith(process)) remotes.delete(key);
    }
  }

  #remote({ remotes }: OwnStream, reader: number, link: Link): Remote {
    const key = `${link.process}/${reader}`;
    let remote = remotes.get(key);
    if (remote === undefined) {
      remote = { link, asked: 0, handed: 0, waiting: new Set(), sent: new Map() };
      remotes.set(key, remote);
    } else if (remote.link !== link) {
      remote.link = link;
      for (const message of remote.sent.values()) link.channel.send("streamHanded", message);
    }
    return remote;
  }

  #await(stream: OwnStream, remote: Remote, reader: number): void {
    const object = stream.entry.number;
    const taker: Taker = (item) => {
      remote.waiting.delete(taker);
      const { channel } = remote.link;
      if (item === undefined) return channel.send("streamHanded", { object, reader, done: true });
      const value = this.#parts.borrowing.give(item, remote.link);
      const message = { object, reader, index: remote.handed++, item: item.number, value };
      remote.sent.set(message.index, message);
      channel.send("streamHanded", message);
    };
    remote.waiting.add(taker);
    stream.takers.add(taker);
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #serve(stream: OwnStream): void {
    const { takers, intake } = stream;
    for (const taker of takers) {
      const item = this.#take(stream);
      if (item === undefined && !intake.done) return;
      takers.delete(taker);
      taker(item);
    }
  }

  /** Its producer is told at once: it waits for this when it is as far ahead as it may be. */
  #take({ entry, intake }: OwnStream): ObjectEntry | undefined {
    const item = intake.take();
    if (item === undefined || intake.ended) return item;
    const task = entry.number;
    const from = this.#parts.producer(task);
    if (from === undefined) return item;
    const { taken } = intake.position;
    const { attempt, link } = from;
    if (link === undefined) this.#parts.takenHere(task, attempt, taken);
    else if (link.channel.open) link.channel.send("streamTaken", { task, attempt, taken });
    return item;
  }

  /** The entry of the task has settled. A cancelled stream has its reason next, any other error comes last. */
  #ended(stream: OwnStream): void {
    const { entry, intake } = stream;
    const value = entry.value as WireValue;
    if (intake.ended) return;
    const last = isError(value) ? this.#errorItem(entry, value) : undefined;
    if (value.failure?.code === "TASK_CANCELLED") this.#cut(stream, last);
    else intake.end(last);
    this.#serve(stream);
  }

  #errorItem({ contained }: ObjectEntry, value: WireValue): ObjectEntry {
    const { borrowing, newEntry } = this.#parts;
    const item = newEntry();
    borrowing.contain(item, contained ?? []);
    borrowing.settle(item, value);
    return item;
  }

  #cut(stream: OwnStream, last?: ObjectEntry): void {
    for (const entry of stream.intake.cut(last)) this.#parts.borrowing.dropLocal(entry);
  }

  #end({ entry, name }: OwnStream, why: string): void {
    if (entry.state !== "pending") return;
    const error = new TaskCancelledError(`the stream of "${name}" ended: ${why}`, { taskId: entry.id, forced: false });
    this.#parts.end(entry.number, error);
  }

  /** Its last handle anywhere is gone. */
  #freed(stream: OwnStream): void {
    this.#streams.delete(stream.entry.number);
    this.#cut(stream);
    const error = new TaskCancelledError(`the stream of "${stream.name}" ended: its last handle is gone`, {
      taskId: stream.entry.id, forced: false,
    });
    this.#parts.end(stream.entry.number, error);
  }
}
