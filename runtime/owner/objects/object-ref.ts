// A typed handle to a value that may not exist yet, and the entry behind it.
//
// An entry is *private* at first: only its handles and the pending task reach it, so dropping them all frees it without any
// registry. It becomes *shared* when its id is first encoded for another process, or when it belongs to another process: from
// then on it is in its process's object table and every handle is counted (borrowing.ts).

import { ObjectFreedError, RefUsedAsValueError } from "../../errors.ts";
import { checkWait } from "../../option-checks.ts";
import type { ObjectState } from "../../core/index.ts";
import type { ReferenceCount } from "../../core/index.ts";
import type { CancelOptions } from "../tasks/abandoned.ts";
import { callSite } from "./call-site.ts";
import type { HeldRef } from "../../transport/index.ts";
import type { WireValue } from "../values/wire-value.ts";
import type { HandleGroup } from "./handle-registry.ts";

export const REF_BRAND = Symbol.for("troupe.ref");

export interface WaitOptions {
  /** Milliseconds; GetTimeoutError after that. Default: no limit. */
  readonly timeoutMs?: number | undefined;
  /** Rejects with `signal.reason` when it aborts. */
  readonly signal?: AbortSignal | undefined;
}

/** Of a wait for several. */
export interface WaitForOptions extends WaitOptions {
  /** False: it is enough that an object is there, on whichever node. Default true: it is brought to this one. */
  readonly fetchLocal?: boolean | undefined;
}

/** What a ref needs of the session it belongs to. */
export interface RefSession {
  readonly ended: boolean;
  /** Throws when it has ended. */
  checkAlive(): void;
  getOne(entry: ObjectEntry, options: WaitOptions | undefined): Promise<unknown>;
  getAll(entries: readonly ObjectEntry[], options: WaitOptions | undefined): Promise<unknown[]>;
  waitFor<R extends ObjectRef>(
    refs: readonly R[], numReturns: number, options: WaitForOptions | undefined,
  ): Promise<{ ready: R[]; pending: R[] }>;
  releaseHandle(ref: ObjectRef): void;
  cancel(entry: ObjectEntry, options: CancelOptions): void;
  detach(ref: ObjectRef, options: DetachOptions): Promise<void>;
}

export interface DetachOptions {
  /** Unique in its namespace; `getObject(name)` finds it. */
  readonly name?: string | undefined;
  /** Of the name. Default: the driver's, where it was given one. */
  readonly namespace?: string | undefined;
  /** Milliseconds after which it is freed, by the clock of the node that has it. Default: never. */
  readonly ttlMs?: number | undefined;
  /** Nodes that have a copy, as far as there are so many. Default 1. */
  readonly replicas?: number | undefined;
}

/** Options of users, checked at the door, which is the SDK's. */
let checkDetach = (options: DetachOptions): DetachOptions => options;

export function setDetachCheck(check: typeof checkDetach): void {
  checkDetach = check;
}

export class ObjectEntry {
  readonly session: RefSession;
  /** Process that owns the object and its node: together with `number` the object's identity. */
  readonly owner: string;
  readonly ownerNode: string;
  readonly number: number;
  /** Milliseconds of the clock, whole: for the state API. */
  readonly madeAt: number;
  state: ObjectState = "pending";
  /** Set once the state is ready or failed. */
  value: WireValue | undefined;
  /** Who is told when the state leaves pending; each once. */
  waiters: ((entry: ObjectEntry) => void)[] | undefined;
  readonly count: ReferenceCount = { local: 1, borrowers: undefined };
  /** In the object table; every handle counts. */
  shared = false;
  /** Hand-overs this process has received for a foreign object: what its Drop takes back. */
  received = 0;
  /** The owner was asked to tell the value. */
  subscribed = false;
  /** Refs inside the stored value, held while it lives. */
  contained: readonly ObjectEntry[] | undefined;
  /** The line of code that made it, where that is asked for. */
  readonly site = callSite();
  /** Mark of the last `wait` that saw it: finds duplicates without a set. */
  stamp = 0;

  constructor(session: RefSession, owner: string, ownerNode: string, number: number, madeAt: number) {
    this.session = session;
    this.owner = owner;
    this.ownerNode = ownerNode;
    this.number = number;
    this.madeAt = madeAt;
  }

  get id(): string {
    return objectIdOf(this.owner, this.number);
  }
}

/** Its value is not there, and may come. */
export function isOpen(entry: ObjectEntry): boolean {
  return entry.state === "pending" || entry.state === "lost";
}

export function objectIdOf(owner: string, number: number): string {
  return `${owner}.${number.toString(36)}`;
}

/**
 * Handle to the result of a task or a call, or to a stored value. Not a promise: `await get(ref)` reads it. It can be sent
 * anywhere: as an argument (top level: replaced by its value; inside a container: stays a ref), in results, to other jobs'
 * actors.
 */
export class ObjectRef<T = unknown> {
  /** A ref is not awaitable: use `await get(ref)`. */
  declare readonly then?: never;
  /** Carries the type only. */
  declare readonly type?: T;
  /** @internal */
  readonly entry: ObjectEntry;
  /** @internal The registration this handle belongs to, when it is counted. */
  group: HandleGroup | undefined;
  /** @internal */
  released = false;

  /** @internal Refs are made by `.remote()`, `put` and decoding. */
  constructor(entry: ObjectEntry) {
    this.entry = entry;
  }

  /** Stable id: equal ids name the same object. */
  get id(): string {
    return this.entry.id;
  }

  /** The same as `get(ref)`. */
  value(options?: WaitOptions): Promise<T> {
    try {
      return this.entry.session.getOne(entryOf(this), checkWait("get", options)) as Promise<T>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * The object lives on when its creator is gone, with what is inside it, until it is freed (`free([ref])`) or its time is over.
   * Waits for its value. Resolves when it is safe; a repeat adds a name or copies, or sets another time.
   *
   * @throws what the task failed with; NameTakenError when another object has the name; InvalidArgumentError.
   */
  async detach(options: DetachOptions = {}): Promise<void> {
    entryOf(this);
    return this.entry.session.detach(this, checkDetach(options));
  }

  /** Gives this handle up now instead of at the next garbage collection. Idempotent; the ref can't be used afterwards. */
  release(): void {
    if (this.released) return;
    this.released = true;
    this.entry.session.releaseHandle(this);
  }

  [Symbol.dispose](): void {
    this.release();
  }

  [Symbol.toPrimitive](hint: "string" | "number" | "default"): string {
    if (hint === "string") return this.toString();
    throw new RefUsedAsValueError(`ObjectRef ${this.id} was used as a ${hint === "number" ? "number" : "value"}: await get(ref)`);
  }

  toString(): string {
    return `ObjectRef(${this.id})`;
  }

  toJSON(): string {
    return this.toString();
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return `ObjectRef(${this.id}, ${this.entry.state})`;
  }
}
Object.defineProperty(ObjectRef.prototype, REF_BRAND, { value: true });

export function isRef(value: unknown): value is ObjectRef {
  return typeof value === "object" && value !== null && REF_BRAND in value;
}

/** The entry of a handle that may still be used. */
export function entryOf(ref: { readonly entry: ObjectEntry; readonly id: string; readonly released: boolean }): ObjectEntry {
  if (ref.released) {
    throw new ObjectFreedError(`${String(ref)}: this handle was released and can't be used any more`, {
      objectId: ref.id, freedBy: "release",
    });
  }
  const { entry } = ref;
  // What failed, with the session or before, says why.
  if (entry.session.ended && entry.state !== "failed") entry.session.checkAlive();
  return entry;
}

/** How an object is named in messages. */
export function heldRef(entry: ObjectEntry): HeldRef {
  return { owner: entry.owner, ownerNode: entry.ownerNode, object: entry.number };
}
