// Reading and waiting: get and wait over entries of this process and of others.
//
// Nothing here waits without an end it can name: a pending entry settles with a value, an error, or its owner's death; beside
// that the caller's timeout and signal hold. While a task waits it is suspended: its worker may help, and gives its CPU back.

import { GetTimeoutError, InvalidArgumentError, ObjectFetchTimeoutError, ObjectLostError } from "../../errors.ts";
import type { Clock } from "../../seams.ts";
import type { ReadableObject } from "../../store/index.ts";
import type { Borrowing } from "./borrowing.ts";
import { Bringing } from "./bringing.ts";
import type { Attempt } from "../context.ts";
import {
  entryOf, heldRef, isOpen, isRef, type ObjectEntry, type ObjectRef, type WaitForOptions, type WaitOptions,
} from "./object-ref.ts";
import type { Recovery } from "../recovery/recovery.ts";
import type { StoredObjects } from "./stored-objects.ts";
import type { LongWait, Traps } from "../reports/traps.ts";
import type { Values } from "../values/values.ts";
import type { Draft, Stored } from "../../transport/index.ts";
import type { Waiting } from "./waiting.ts";
import { hasBytes, type WireValue } from "../values/wire-value.ts";

/** Local reads in a row before the loop gets a turn: else `for (;;) await get(local)` starves timers and finalizers. */
const READS_A_TURN = 256;
/** An object that is said to be there, and is not, so often is given up. */
const LOSSES_MAX = 10;
/** A wait brings so many at once, or as many as it waits for. */
const BRINGS_AT_ONCE = 32;

export interface ReadingParts {
  readonly clock: Clock;
  readonly values: Values;
  readonly borrowing: Borrowing;
  readonly stored: StoredObjects;
  readonly waiting: Waiting;
  readonly traps: Pick<Traps, "getWaits" | "siteOfWait" | "watch">;
  /** The running task attempt. */
  readonly attempt: () => Attempt | undefined;
  readonly recovery: Pick<Recovery, "missing">;
  /** The running task waits until all of these are settled; returns what ends that, or undefined when nobody cares. */
  readonly waitingFor: (entries: readonly ObjectEntry[]) => (() => void) | undefined;
}

interface OpenRead extends LongWait {
  readonly attempt: Attempt | undefined;
}

interface Count {
  readonly count: number;
  readonly ready: number[];
  /** Those that have a value, and not here. */
  readonly far: readonly ObjectEntry[];
  readonly isReady: (entry: ObjectEntry) => boolean;
}

export class Reading {
  readonly #parts: ReadingParts;
  #readsInARow = 0;
  #stamp = 0;
  readonly #open = new Set<OpenRead>();
  readonly #bringing: Bringing;

  constructor(parts: ReadingParts) {
    this.#parts = parts;
    this.#bringing = new Bringing(parts);
  }

  /** What can be read in this turn is: nothing can become of it meanwhile, so it need not be held. */
  async one(entry: ObjectEntry, options: WaitOptions | undefined): Promise<unknown> {
    options?.signal?.throwIfAborted();
    if (isOpen(entry) || ++this.#readsInARow >= READS_A_TURN) return this.#holding([entry], () => this.#later(entry, options));
    const value = this.#readNow(entry);
    if (value === undefined) return this.#holding([entry], () => this.#read(entry, options));
    return value instanceof Box ? value.value : value;
  }

  async all(entries: readonly ObjectEntry[], options: WaitOptions | undefined): Promise<unknown[]> {
    options?.signal?.throwIfAborted();
    return this.#holding(entries, () => this.#all(entries, options));
  }

  async #all(entries: readonly ObjectEntry[], options: WaitOptions | undefined): Promise<unknown[]> {
    const pending = entries.filter(isOpen);
    if (pending.length > 0 && !entries.some(isFailed)) await this.#settled(pending, options);
    const failed = entries.find(isFailed);
    if (failed !== undefined) return [await this.#read(failed, options)];
    const values: unknown[] = new Array(entries.length);
    for (let index = 0; index < entries.length; index += 1) {
      const entry = entries[index];
      values[index] = this.#readNow(entry) ?? (await this.#read(entry, options));
    }
    return values.map((value) => (value instanceof Box ? value.value : value));
  }

  /**
   * Refs that are ready (or failed) and those that are not, both in input order. Never throws for a failed object. With
   * `fetchLocal` those are ready that can be read here, and others are brought.
   */
  async wait<R extends ObjectRef>(
    refs: readonly R[],
    numReturns: number,
    options: WaitForOptions | undefined,
  ): Promise<{ ready: R[]; pending: R[] }> {
    options?.signal?.throwIfAborted();
    const fetchLocal = options?.fetchLocal ?? true;
    const isReady = fetchLocal ? (entry: ObjectEntry) => this.#bringing.isHere(entry) : isSettled;
    let ready = this.#readyAmong(refs, numReturns, isReady);
    if (ready.length < numReturns) {
      const entries = refs.map(entryOf);
      const far = fetchLocal ? entries.filter((entry) => !isOpen(entry) && !isReady(entry)) : [];
      if (options?.timeoutMs === 0) for (const entry of far.slice(0, BRINGS_AT_ONCE)) void this.#bringing.bring(entry);
      else {
        const wanted = { count: numReturns, ready, far, isReady };
        ready = await this.#holding(entries, () => this.#count(entries, wanted, options));
      }
    } else if (++this.#readsInARow >= READS_A_TURN) await this.#yieldTurn();
    return { ready: ready.map((index) => refs[index]), pending: without(refs, ready) };
  }

  /** All gets and waits that have not ended. */
  open(): Iterable<LongWait> {
    return this.#open;
  }

  /** What that attempt waits for now; without one, the main program. */
  awaited(attempt: Attempt | undefined): ObjectEntry[] {
    const reads = [...this.#open].filter((read) => read.attempt === attempt);
    return reads.flatMap(({ entries }) => entries.filter((entry) => entry.state === "pending"));
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  async #later(entry: ObjectEntry, options: WaitOptions | undefined): Promise<unknown> {
    if (isOpen(entry)) {
      this.#parts.traps.getWaits();
      await this.#settled([entry], options);
    } else await this.#yieldTurn();
    return this.#read(entry, options);
  }

  /** Handles may be released, or collected, while their values are on the way. */
  async #holding<T>(entries: readonly ObjectEntry[], work: () => Promise<T>): Promise<T> {
    const { borrowing } = this.#parts;
    for (const entry of entries) borrowing.addLocal(entry);
    try {
      return await work();
    } finally {
      for (const entry of entries) borrowing.dropLocal(entry);
    }
  }

  /** Indexes of the first refs that are ready, at most `count`; every ref is checked. One pass: waiting for many repeats it. */
  #readyAmong(refs: readonly ObjectRef[], count: number, isReady: (entry: ObjectEntry) => boolean): number[] {
    const stamp = ++this.#stamp;
    const ready: number[] = [];
    for (let index = 0; index < refs.length; index += 1) {
      const ref = refs[index];
      if (!isRef(ref)) throw new InvalidArgumentError(`wait: element ${index} is not an ObjectRef`);
      const entry = entryOf(ref);
      if (entry.stamp === stamp) throw new InvalidArgumentError(`wait: ref ${ref.id} is given twice`);
      entry.stamp = stamp;
      if (ready.length < count && isReady(entry)) ready.push(index);
    }
    return ready;
  }

  /** Resolves when all are settled, or one has failed; rejects at the timeout or abort. */
  #settled(pending: readonly ObjectEntry[], options: WaitOptions | undefined): Promise<void> {
    let left = pending.length;
    const over = this.#parts.waitingFor(pending);
    const settled = this.#await(pending, options, (entry) => --left === 0 || isFailed(entry), () => {
      const open = pending.filter(isOpen);
      const names = open.slice(0, 3).map((entry) => entry.id).join(", ");
      return new GetTimeoutError(
        `get: ${open.length} of ${pending.length} object${pending.length === 1 ? "" : "s"} ` +
          `not ready after ${options?.timeoutMs} ms ` +
          `(${names}${open.length > 3 ? ", …" : ""})`,
        { objectIds: open.map((entry) => entry.id) },
      );
    });
    return over === undefined ? settled : settled.finally(over);
  }

  /** Indexes of the first `count` entries that are ready when so many are, or at the timeout. */
  async #count(entries: readonly ObjectEntry[], { count, ready, far, isReady }: Count, options: WaitOptions | undefined) {
    let left = count - ready.length;
    let enough: () => void = () => {};
    const brought = new Set<ObjectEntry>();
    const crew = this.#bringing.crew(Math.max(BRINGS_AT_ONCE, left), (entry) => {
      brought.add(entry);
      if (--left === 0) enough();
    });
    const settled = (entry: ObjectEntry) => {
      if (isReady(entry)) return --left === 0;
      crew.bring(entry);
      return false;
    };
    try {
      await this.#await(entries.filter(isOpen), options, settled, () => undefined, (settle) => {
        enough = settle;
        for (const entry of far) crew.bring(entry);
      });
    } finally {
      crew.end();
    }
    return firstIndexes(entries, count, (entry) => brought.has(entry) || isReady(entry));
  }

  /** `done` is asked at each entry that settles. */
  #await(
    pending: readonly ObjectEntry[],
    options: WaitOptions | undefined,
    done: (entry: ObjectEntry) => boolean,
    timedOut: () => Error | undefined,
    begun?: (settle: () => void) => void,
  ): Promise<void> {
    const { borrowing, waiting } = this.#parts;
    const { clock, traps } = this.#parts;
    const isBounded = options?.timeoutMs !== undefined;
    const read: OpenRead = {
      attempt: this.#parts.attempt(), entries: pending, since: clock.now(), isBounded,
      site: isBounded ? undefined : traps.siteOfWait(),
    };
    if (!isBounded) traps.watch();
    this.#readsInARow = 0;
    return waiting.until<undefined>(options, timedOut, (settle) => {
      const onSettled = (entry: ObjectEntry) => {
        if (done(entry)) settle(undefined);
      };
      this.#open.add(read);
      for (const entry of pending) {
        (entry.waiters ??= []).push(onSettled);
        borrowing.want(entry);
      }
      begun?.(() => settle(undefined));
      return () => {
        this.#open.delete(read);
        for (const entry of pending) forget(entry, onSettled);
      };
    });
  }

  /** The value when it can be had in this turn, boxed when it is undefined; else undefined. */
  #readNow(entry: ObjectEntry): unknown {
    const value = entry.value as WireValue;
    if (entry.state !== "ready" || !value.value || !this.#parts.values.isDecodable(value.codes as never)) return undefined;
    const decoded = this.#parts.values.decode(value.value);
    return decoded === undefined || decoded instanceof Box ? new Box(decoded) : decoded;
  }

  async #read(entry: ObjectEntry, options: WaitOptions | undefined): Promise<unknown> {
    const { clock } = this.#parts;
    const until = options?.timeoutMs === undefined ? undefined : clock.now() + options.timeoutMs;
    for (let losses = 0; ; losses += 1) {
      const left = until === undefined ? options : { ...options, timeoutMs: Math.max(0, until - clock.now()) };
      // It may be lost, and there again, any number of times.
      if (isOpen(entry)) await this.#settled([entry], left);
      const found = await this.#readOnce(entry, losses, until === undefined ? options : {
        ...options, timeoutMs: Math.max(0, until - clock.now()),
      });
      if (found !== undefined) return found.value;
    }
  }

  /** Undefined when it is not where it should be, and is looked for now. */
  async #readOnce(entry: ObjectEntry, losses: number, options: WaitOptions | undefined): Promise<Box | undefined> {
    const value = entry.value as WireValue;
    const { values, borrowing, recovery } = this.#parts;
    if (!values.isDecodable(value.codes as never)) await values.revive(value.codes as never);
    if (hasBytes(value.value)) return new Box(values.decode(value.value as Uint8Array));
    const { stored } = value;
    if (!stored) {
      throw await values.failed(value) ?? new ObjectFetchTimeoutError(`object ${entry.id} has no value`, { objectId: entry.id });
    }
    try {
      return new Box(values.decodeStored(await this.#openStored(entry, stored, options)));
    } catch (error) {
      if (!(error instanceof ObjectLostError) || losses >= LOSSES_MAX) throw error;
      // Word of its owner's death may still be on its way.
      await this.#yieldTurn();
      const loss = await borrowing.lossOf(entry);
      if (loss !== undefined) throw await values.failed(loss) ?? error;
      recovery.missing(entry, stored, error.message);
      return undefined;
    }
  }

  /** What has to be brought is waited for like what has to be made. */
  #openStored(entry: ObjectEntry, place: Draft<Stored>, options: WaitOptions | undefined): Promise<ReadableObject> {
    const { stored, waiting } = this.#parts;
    const opening = stored.open(heldRef(entry), place);
    if (stored.isHere(place)) return opening;
    const timedOut = () => new GetTimeoutError(
      `get: object ${entry.id} was not brought to this node within the timeout`, { objectIds: [entry.id] },
    );
    return waiting.until<ReadableObject>(options, timedOut, (settle) => {
      let isOver = false;
      const opened = (object: ReadableObject) => (isOver ? object.release() : settle(object));
      opening.then(opened, (error: Error) => settle(error));
      return () => (isOver = true);
    });
  }

  #yieldTurn(): Promise<void> {
    this.#readsInARow = 0;
    return new Promise((resolve) => this.#parts.clock.soon(resolve));
  }
}

/** Tells a value that is undefined from none. */
class Box {
  readonly value: unknown;
  constructor(value: unknown) {
    this.value = value;
  }
}

function isSettled(entry: ObjectEntry): boolean {
  return !isOpen(entry);
}

function firstIndexes<T>(list: readonly T[], count: number, fits: (one: T) => boolean): number[] {
  const found: number[] = [];
  for (let index = 0; index < list.length && found.length < count; index += 1) if (fits(list[index])) found.push(index);
  return found;
}

/** The list without what is at these indexes, which rise. Copied in one go: a list of a thousand grows slowly. */
function without<T>(list: readonly T[], indexes: readonly number[]): T[] {
  const rest = list.slice();
  if (indexes.length === 0) return rest;
  let to = indexes[0];
  for (let from = to + 1, next = 1; from < list.length; from += 1) {
    if (from === indexes[next]) next += 1;
    else rest[to++] = list[from];
  }
  rest.length = to;
  return rest;
}

function isFailed(entry: ObjectEntry): boolean {
  return entry.state === "failed" || entry.state === "freed";
}

function forget(entry: ObjectEntry, waiter: (entry: ObjectEntry) => void): void {
  const index = entry.waiters?.indexOf(waiter) ?? -1;
  if (index >= 0) entry.waiters?.splice(index, 1);
}
