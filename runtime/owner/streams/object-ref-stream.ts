// A typed handle to what a generator yields in the cluster: refs, one after the other, as it makes them.
//
// Counted from the start, like an actor's: when its last handle anywhere is gone, nobody can read on and the generator ends.

import { ObjectFreedError } from "../../errors.ts";
import { checkWait } from "../../option-checks.ts";
import { HANDLE_BRAND } from "../actors/actor-handle.ts";
import type { HandleGroup } from "../objects/handle-registry.ts";
import type { ObjectEntry, ObjectRef, WaitOptions } from "../objects/object-ref.ts";

export const STREAM_BRAND = Symbol.for("troupe.stream");

/** What a stream needs of its session. */
export interface StreamSession {
  /** Undefined: there is no further item, now and for ever. */
  nextItem(stream: ObjectEntry, options: WaitOptions | undefined): Promise<ObjectRef | undefined>;
  leaveStream(stream: ObjectEntry): Promise<void>;
  releaseHandle(stream: { readonly entry: ObjectEntry; group: HandleGroup | undefined }): void;
}

/**
 * What `.remote()` of a generator function returns: `for await (const ref of stream)`. Leaving the loop ends the generator
 * through its `finally`. It can be sent anywhere, like a ref; whoever reads takes the next item, so each goes to one reader.
 */
export class ObjectRefStream<T = unknown> implements AsyncIterableIterator<ObjectRef<T>, undefined, WaitOptions | undefined> {
  /** A stream is not awaitable: read it with `for await`. */
  declare readonly then?: never;
  /** @internal */
  readonly entry: ObjectEntry;
  /** @internal */
  group: HandleGroup | undefined;
  /** @internal */
  released = false;
  readonly #session: StreamSession;

  /** @internal Streams are made by `.remote()` and decoding. */
  constructor(session: StreamSession, entry: ObjectEntry) {
    this.#session = session;
    this.entry = entry;
  }

  /** Stable id: equal ids name the same stream. */
  get id(): string {
    return this.entry.id;
  }

  /**
   * The next ref. An error of the generator, or of the system, is the last one: its `get` fails. A timeout (GetTimeoutError) or
   * a signal gives up this wait only.
   */
  async next(options?: WaitOptions): Promise<IteratorResult<ObjectRef<T>, undefined>> {
    this.#check();
    const item = await this.#session.nextItem(this.entry, checkWait("next", options));
    return item === undefined ? { done: true, value: undefined } : { done: false, value: item as ObjectRef<T> };
  }

  /** Ends the stream for all who read it; resolves when the generator has ended too, or after 5 s. */
  async return(): Promise<IteratorReturnResult<undefined>> {
    if (!this.released) await this.#session.leaveStream(this.entry);
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Gives this handle up now instead of at the next garbage collection; the last one ends the generator. Idempotent. */
  release(): void {
    if (this.released) return;
    this.released = true;
    this.#session.releaseHandle(this);
  }

  [Symbol.dispose](): void {
    this.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
    this.release();
  }

  toString(): string {
    return `ObjectRefStream(${this.id})`;
  }

  toJSON(): string {
    return this.toString();
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }

  #check(): void {
    if (!this.released) return;
    throw new ObjectFreedError(`${this.toString()}: this handle was released and can't be used any more`, {
      objectId: this.id, freedBy: "release",
    });
  }
}
Object.defineProperty(ObjectRefStream.prototype, STREAM_BRAND, { value: true });
// It travels as handles do.
Object.defineProperty(ObjectRefStream.prototype, HANDLE_BRAND, { value: true });

/** What `.remote()` gives: one ref, several as `numReturns` says, or the stream of a generator. */
export type Made = ObjectRef | ObjectRef[] | ObjectRefStream;

export function isStream(value: unknown): value is ObjectRefStream {
  return typeof value === "object" && value !== null && STREAM_BRAND in value;
}
