// Prepares the arguments of a call: one encoded array, refs at its top level bound to their values, large parts in the store.
//
// Arguments are a snapshot: when `prepare` returns, the user may change what was passed. Entries that the call needs are kept
// (counted) until its reply was handled, so neither a ref nor what is inside it can be freed under a running task.

import type { BoundArg, Code } from "../../transport/index.ts";
import type { Borrowing } from "../objects/borrowing.ts";
import { entryOf, isOpen, isRef, type ObjectEntry } from "../objects/object-ref.ts";
import type { Traps } from "../reports/traps.ts";
import { INLINE_TOTAL_BYTES, type Values } from "../values/values.ts";
import { isError, type WireValue } from "../values/wire-value.ts";
import { failureOf } from "../../errors.ts";

/** An argument of a call too large for one message goes to the store alone from this size on. */
const OWN_OBJECT_BYTES = 16 * 1024;

export interface PreparedArguments {
  readonly bytes: Uint8Array;
  readonly codes: Code[];
  readonly bound: BoundArg[];
  readonly kept: ObjectEntry[];
  /** Bytes of all that goes along in the message. */
  inline: number;
  /** Bound arguments whose value is not known yet. */
  readonly unresolved: readonly { readonly bound: BoundArg; readonly entry: ObjectEntry }[];
}

export type AwaitedArguments = Pick<PreparedArguments, "unresolved" | "kept" | "inline">;

const NONE: never[] = [];
/** Stands in the encoded array where a bound argument goes. */
const HOLE = undefined;

type MutableBound = { -readonly [K in keyof BoundArg]: BoundArg[K] };

export class Arguments {
  readonly #values: Values;
  readonly #borrowing: Borrowing;
  readonly #traps: Pick<Traps, "sends">;
  readonly #newEntry: () => ObjectEntry;
  /** Objects made of what was given by value. */
  readonly #byValue = new WeakSet<ObjectEntry>();

  constructor(values: Values, borrowing: Borrowing, traps: Pick<Traps, "sends">, newEntry: () => ObjectEntry) {
    this.#values = values;
    this.#borrowing = borrowing;
    this.#traps = traps;
    this.#newEntry = newEntry;
  }

  /** Throws at the door what cannot travel; then nothing was kept. */
  prepare(args: readonly unknown[]): PreparedArguments {
    let rest = args;
    let bound: BoundArg[] = NONE;
    const kept: ObjectEntry[] = [];
    for (let index = 0; index < args.length; index += 1) {
      const argument = args[index];
      if (typeof argument !== "object" || argument === null || !isRef(argument)) continue;
      if (bound.length === 0) {
        bound = [];
        rest = args.slice();
      }
      const entry = entryOf(argument);
      (rest as unknown[])[index] = HOLE;
      bound.push(this.#bind(index, entry));
      kept.push(entry);
    }
    const encoded = this.#values.small(rest, true) ?? this.#large(rest.slice(), bound === NONE ? (bound = []) : bound, kept);
    const inline = bound === NONE ? encoded.bytes.length : this.#withinMessage(encoded.bytes.length, bound, kept);
    for (const entry of kept) this.#borrowing.addLocal(entry);
    for (const entry of encoded.contained) {
      this.#borrowing.addLocal(entry);
      kept.push(entry);
    }
    return { bytes: encoded.bytes, codes: encoded.codes, bound, kept, inline, unresolved: unresolvedOf(bound, kept) };
  }

  /** Calls `ready` once for each unresolved argument that gets a value, or `failed` once. */
  await(prepared: AwaitedArguments, told: { ready(): void; failed(error: WireValue): void }): void {
    let over = false;
    for (const { bound, entry } of prepared.unresolved) {
      const settled = () => {
        if (over) return;
        const value = entry.value as WireValue;
        if (isError(value)) {
          over = true;
          return told.failed(value);
        }
        const size = value.value?.length ?? 0;
        if (prepared.inline + size > INLINE_TOTAL_BYTES && size > 0) return this.#storeLate(prepared, entry, settledBy);
        prepared.inline += size;
        (bound as MutableBound).value = value as BoundArg["value"];
        told.ready();
      };
      const settledBy = (copy: ObjectEntry) => {
        if (over) return;
        const value = copy.value as WireValue;
        if (!isError(value)) {
          Object.assign(bound, { value, object: copy.number, owner: copy.owner, ownerNode: copy.ownerNode });
          return told.ready();
        }
        over = true;
        told.failed(value);
      };
      if (!isOpen(entry)) settled();
      else {
        (entry.waiters ??= []).push(settled);
        this.#borrowing.want(entry);
      }
    }
  }

  /** Nobody else has it: it lasts as long as the call, or what may repeat that, holds it. */
  isByValue(entry: ObjectEntry): boolean {
    return this.#byValue.has(entry);
  }

  #bind(index: number, entry: ObjectEntry): BoundArg {
    const value = entry.state === "ready" ? (entry.value as BoundArg["value"]) : undefined;
    return { index, value, owner: entry.owner, ownerNode: entry.ownerNode, object: entry.number };
  }

  /** Values beyond what a message holds are bound as copies in the store. The bytes of those that stay. */
  #withinMessage(args: number, bound: BoundArg[], kept: ObjectEntry[]): number {
    let inline = args;
    for (let at = 0; at < bound.length; at += 1) {
      const { value, index } = bound[at];
      const size = value?.value?.length ?? 0;
      if (size === 0 || inline + size <= INLINE_TOTAL_BYTES) {
        inline += size;
        continue;
      }
      const original = kept[at];
      // What is inside it lives as long as the original does.
      kept.push(original);
      kept[at] = this.#copyInStore(original.value as WireValue);
      bound[at] = this.#bind(index, kept[at]);
    }
    return inline;
  }

  #storeLate({ kept }: AwaitedArguments, entry: ObjectEntry, settled: (copy: ObjectEntry) => void): void {
    const copy = this.#copyInStore(entry.value as WireValue);
    this.#borrowing.addLocal(copy);
    kept.push(copy);
    if (copy.state === "pending") (copy.waiters ??= []).push(settled);
    else settled(copy);
  }

  #copyInStore(value: WireValue): ObjectEntry {
    const copy = this.#newEntry();
    this.#byValue.add(copy);
    this.#settleWith(copy, this.#values.stored(value));
    return copy;
  }

  #settleWith(entry: ObjectEntry, placed: WireValue | Promise<WireValue>): void {
    if (!(placed instanceof Promise)) return this.#borrowing.settle(entry, placed);
    placed.then(
      (value) => this.#borrowing.settle(entry, value),
      (error: unknown) => this.#borrowing.settle(entry, { failure: failureOf(error) as never }),
    );
  }

  /** Parts that are too large for a message become objects of their own, bound like refs. */
  #large(
    rest: unknown[],
    bound: BoundArg[],
    kept: ObjectEntry[],
  ): { bytes: Uint8Array; codes: Code[]; contained: readonly ObjectEntry[] } {
    let inline = 0;
    for (let index = 0; index < rest.length; index += 1) {
      const planned = this.#values.plan(rest[index], `args[${index}]`);
      const { size } = planned.encoded;
      if (size < OWN_OBJECT_BYTES && inline + size <= INLINE_TOTAL_BYTES) {
        inline += size;
        continue;
      }
      this.#traps.sends(rest[index], size, index);
      const entry = this.#newEntry();
      this.#byValue.add(entry);
      this.#borrowing.contain(entry, planned.contained);
      this.#settleWith(entry, this.#values.placeSnapshot(planned));
      rest[index] = HOLE;
      bound.push(this.#bind(index, entry));
      kept.push(entry);
    }
    const planned = this.#values.plan(rest, "args");
    return { bytes: planned.encoded.toBytes(), codes: planned.codes, contained: planned.contained };
  }
}

function unresolvedOf(bound: readonly BoundArg[], kept: readonly ObjectEntry[]): PreparedArguments["unresolved"] {
  if (bound.length === 0) return NONE;
  const unresolved: { bound: BoundArg; entry: ObjectEntry }[] = [];
  bound.forEach((one, index) => {
    if (one.value === undefined) unresolved.push({ bound: one, entry: kept[index] });
  });
  return unresolved;
}

