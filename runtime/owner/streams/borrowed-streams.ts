// Streams of other processes that are read here: each `next` asks the owner for one item more, and waits for it.
//
// What is asked for is a standing order, said again after a broken connection; the owner numbers what it hands out, so nothing is
// lost or taken in twice.

import { Deque } from "../../core/index.ts";
import { failureOf, GetTimeoutError, OwnerDiedError } from "../../errors.ts";
import type { Failure, StreamHanded } from "../../transport/index.ts";
import type { Borrowing } from "../objects/borrowing.ts";
import type { Link, ProcessAddress } from "../links.ts";
import { type ObjectEntry, ObjectRef, type WaitOptions } from "../objects/object-ref.ts";
import type { Taker } from "./own-streams.ts";
import type { Waiting } from "../objects/waiting.ts";
import type { WireValue } from "../values/wire-value.ts";

/** Who leaves a stream waits so long for the owner's word, which waits for the generator. */
const LEAVE_MS = 6000;

interface BorrowedStream {
  readonly entry: ObjectEntry;
  readonly reader: number;
  wanted: number;
  got: number;
  done: boolean;
  leaving: boolean;
  /** Items whose `next` was given up meanwhile. */
  readonly ready: Deque<ObjectEntry>;
  readonly takers: Set<Taker>;
  leavers: (() => void)[];
}

export interface BorrowedStreamsParts {
  readonly borrowing: Borrowing;
  readonly waiting: Waiting;
  readonly newEntry: () => ObjectEntry;
  readonly connect: (address: ProcessAddress) => Promise<Link>;
}

export class BorrowedStreams {
  readonly #parts: BorrowedStreamsParts;
  /** By number of the reader. */
  readonly #streams = new Map<number, BorrowedStream>();
  readonly #byEntry = new Map<ObjectEntry, BorrowedStream>();
  #nextReader = 1;

  constructor(parts: BorrowedStreamsParts) {
    this.#parts = parts;
  }

  async next(entry: ObjectEntry, options: WaitOptions | undefined): Promise<ObjectRef | undefined> {
    options?.signal?.throwIfAborted();
    const stream = this.#of(entry);
    const ready = stream.ready.popFront();
    if (ready !== undefined) return this.#refTo(ready);
    if (stream.done) return undefined;
    const timedOut = () => new GetTimeoutError(
      `stream ${entry.id}: no item within ${options?.timeoutMs} ms`, { objectIds: [entry.id] },
    );
    const { takers } = stream;
    const item = await this.#parts.waiting.until<ObjectEntry | undefined>(options, timedOut, (settle) => {
      takers.add(settle);
      // One that was given up has left its item to who comes next.
      if (stream.wanted - stream.got < takers.size) {
        stream.wanted += 1;
        void this.#pull(stream);
      }
      return () => void takers.delete(settle);
    });
    return item === undefined ? undefined : this.#refTo(item);
  }

  async leave(entry: ObjectEntry): Promise<void> {
    const stream = this.#of(entry);
    stream.leaving = true;
    for (const item of stream.ready.drain()) this.#parts.borrowing.dropLocal(item);
    if (stream.done) return;
    await this.#parts.waiting.until<undefined>({ timeoutMs: LEAVE_MS }, () => undefined, (settle) => {
      stream.leavers.push(() => settle(undefined));
      void this.#pull(stream);
      return () => {};
    });
    this.#end(stream);
  }

  handed({ reader, index, item, value, done }: StreamHanded): void {
    const stream = this.#streams.get(reader);
    if (stream !== undefined && done) return this.#end(stream);
    if (stream === undefined || index !== stream.got) return;
    stream.got += 1;
    const { borrowing } = this.#parts;
    const { owner, ownerNode } = stream.entry;
    const entry = borrowing.received(owner, ownerNode, item);
    entry.received += 1;
    // A lost one is asked for when it is read.
    if (value) borrowing.settle(entry, value as WireValue);
    this.#give(stream, entry);
  }

  /** What is open with its owner is said again, to it or to nobody. */
  linkClosed(link: Link): void {
    for (const stream of this.#streams.values()) {
      if (stream.entry.owner === link.process && isOpen(stream)) void this.#pull(stream);
    }
  }

  processDied(process: string, text: string): void {
    for (const stream of this.#streams.values()) if (stream.entry.owner === process) this.#ownerDied(stream, text);
  }

  /** The session ends. */
  close(): void {
    for (const stream of this.#streams.values()) this.#end(stream);
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #of(entry: ObjectEntry): BorrowedStream {
    let stream = this.#byEntry.get(entry);
    if (stream !== undefined) return stream;
    const made = {
      entry, reader: this.#nextReader++, wanted: 0, got: 0, done: false, leaving: false, ready: new Deque<ObjectEntry>(),
      takers: new Set<Taker>(), leavers: [],
    };
    stream = made;
    this.#streams.set(made.reader, made);
    this.#byEntry.set(entry, made);
    this.#parts.borrowing.whenFreed(entry, () => this.#freed(made));
    return stream;
  }

  /** Its last handle here is gone. */
  #freed(stream: BorrowedStream): void {
    this.#streams.delete(stream.reader);
    this.#byEntry.delete(stream.entry);
    for (const item of stream.ready.drain()) this.#parts.borrowing.dropLocal(item);
  }

  async #pull(stream: BorrowedStream): Promise<void> {
    const { entry, reader } = stream;
    try {
      const link = await this.#parts.connect({ process: entry.owner, node: entry.ownerNode });
      const { wanted, got, leaving: leaves } = stream;
      if (isOpen(stream)) link.channel.send("streamPull", { object: entry.number, reader, wanted, got, leaves });
    } catch (error) {
      this.#ownerDied(stream, `it can't be reached: ${(error as Error).message}`);
    }
  }

  #give(stream: BorrowedStream, item: ObjectEntry): void {
    for (const taker of stream.takers) {
      stream.takers.delete(taker);
      return taker(item);
    }
    if (stream.leaving) this.#parts.borrowing.dropLocal(item);
    else stream.ready.pushBack(item);
  }

  #ownerDied(stream: BorrowedStream, text: string): void {
    if (stream.done) return;
    const { entry, leaving } = stream;
    const error = new OwnerDiedError(`stream ${entry.id} is lost: its owner, process ${entry.owner}, is gone (${text})`, {
      objectId: entry.id,
    });
    if (!leaving) {
      const last = this.#parts.newEntry();
      this.#parts.borrowing.settle(last, { failure: failureOf(error) as Failure });
      this.#give(stream, last);
    }
    this.#end(stream);
  }

  #end(stream: BorrowedStream): void {
    stream.done = true;
    for (const taker of [...stream.takers]) taker(undefined);
    for (const told of stream.leavers.splice(0)) told();
  }

  #refTo(item: ObjectEntry): ObjectRef {
    const ref = new ObjectRef(item);
    if (item.shared) this.#parts.borrowing.groupHandles([item], [ref]);
    return ref;
  }
}

/** Something is expected of its owner. */
function isOpen({ done, wanted, got, leaving }: BorrowedStream): boolean {
  return !done && (leaving || wanted > got);
}
