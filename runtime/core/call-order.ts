// The receiver's side of one caller's calls to one actor incarnation: start them in order, run none twice.
//
// Pure. Calls are numbered from 1 a (caller, incarnation). A call that comes early waits for the ones before it; a repeat of one
// that runs is joined, of one that ended gets the first result again while it is kept. Results are kept until the caller
// acknowledges them, at most WINDOW of them and KEPT_BYTES; a repeat from before that is known to have run and is never run
// again. A stream whose caller was forgotten here goes on after what it says is acknowledged.

export const WINDOW = 4096;
/** Of results that one caller, and all callers of an actor, have not acknowledged. */
export const KEPT_BYTES = { caller: 8 * 1024 * 1024, actor: 64 * 1024 * 1024 };

/** Shared by all callers of an actor. */
export interface KeptBytes {
  bytes: number;
}

export type Arrival<R> =
  | { readonly kind: "start" }
  /** Wait: a call before it has not arrived. */
  | { readonly kind: "early" }
  /** It runs now; its result will be sent when it ends. */
  | { readonly kind: "running" }
  | { readonly kind: "repeat"; readonly result: R }
  /** It ran once and its result is gone. */
  | { readonly kind: "forgotten" };

export class CallOrder<C, R> {
  #started: number;
  readonly #early = new Map<number, C>();
  readonly #running = new Set<number>();
  /** In the order in which they ended. */
  readonly #results = new Map<number, { readonly result: R; readonly bytes: number }>();
  readonly #kept: KeptBytes;
  #bytes = 0;

  constructor(acknowledged = 0, kept: KeptBytes = { bytes: 0 }) {
    this.#started = acknowledged;
    this.#kept = kept;
  }

  /** Nothing waits or runs: it may be forgotten. */
  get idle(): boolean {
    return this.#early.size === 0 && this.#running.size === 0;
  }

  /** Tells what to do with call `order`. After "start" the caller also asks `nextEarly`. */
  arrived(order: number, call: C): Arrival<R> {
    if (order <= this.#started) {
      if (this.#running.has(order)) return { kind: "running" };
      const kept = this.#results.get(order);
      return kept === undefined ? { kind: "forgotten" } : { kind: "repeat", result: kept.result };
    }
    if (order > this.#started + 1) {
      if (this.#early.size < WINDOW) this.#early.set(order, call);
      return { kind: "early" };
    }
    this.#start(order);
    return { kind: "start" };
  }

  /** The call that waited for the one just started, which starts now. */
  nextEarly(): C | undefined {
    const order = this.#started + 1;
    const call = this.#early.get(order);
    if (call === undefined) return undefined;
    this.#early.delete(order);
    this.#start(order);
    return call;
  }

  /** `bytes`: what keeping the result takes. The oldest are forgotten when it is too much. */
  ended(order: number, result: R, bytes = 0): void {
    if (!this.#running.delete(order)) return;
    this.#results.set(order, { result, bytes });
    this.#count(bytes);
    while (this.#keepsTooMuch) this.#forget(this.#results.keys().next().value as number);
  }

  acknowledged(order: number): void {
    for (const kept of this.#results.keys()) {
      if (kept > order) break;
      this.#forget(kept);
    }
  }

  /** The caller is gone: nothing is kept for it. */
  drop(): void {
    for (const kept of [...this.#results.keys()]) this.#forget(kept);
  }

  get #keepsTooMuch(): boolean {
    if (this.#results.size > WINDOW) return true;
    return this.#results.size > 0 && (this.#bytes > KEPT_BYTES.caller || this.#kept.bytes > KEPT_BYTES.actor);
  }

  #forget(order: number): void {
    this.#count(-(this.#results.get(order)?.bytes ?? 0));
    this.#results.delete(order);
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.#kept.bytes += bytes;
  }

  #start(order: number): void {
    this.#started = order;
    this.#running.add(order);
  }
}
