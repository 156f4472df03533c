// What ends a task or call before its code does: its deadline, or a signal of whoever submitted it.

import { TaskCancelledError, TaskTimeoutError } from "../../errors.ts";
import type { Clock, Timer } from "../../seams.ts";
import type { Chain } from "../../transport/index.ts";
import type { Attempt } from "../context.ts";

/** Of one submission. */
export interface Limit {
  /** Time of the clock by which it must have ended. */
  readonly deadline: number | undefined;
  readonly signal: AbortSignal | undefined;
}

/** None when nothing limits it: the caller's own deadline holds for what it submits. */
export function limitOf(
  given: { readonly timeoutMs?: number | undefined; readonly signal?: AbortSignal | undefined }, caller: Attempt | undefined,
  clock: Clock,
): Limit | undefined {
  const { timeoutMs, signal } = given;
  const inherited = caller?.deadline;
  if (timeoutMs === undefined && signal === undefined && inherited === undefined) return undefined;
  const own = timeoutMs === undefined ? undefined : clock.now() + timeoutMs;
  const deadline = own === undefined || inherited === undefined ? (own ?? inherited) : Math.min(own, inherited);
  return { deadline, signal };
}

/** Of what a main program submits. */
export const NO_CHAIN: Chain = { depth: 0, remainingMs: 0, actors: [], calls: [] };

/** What the call has left is said when it is sent: clocks of processes are not compared. */
export function chainWithin({ chain, limit }: { readonly chain: Chain; readonly limit: Limit | undefined }, clock: Clock): Chain {
  if (limit?.deadline === undefined) return chain;
  return { ...chain, remainingMs: Math.max(1, Math.ceil(limit.deadline - clock.now())) };
}

export interface Limited {
  readonly number: number;
  readonly limit: Limit | undefined;
}

export class Limits<T extends Limited> {
  readonly #clock: Clock;
  readonly #end: (item: T, error: Error) => void;
  readonly #describe: (item: T) => string;
  readonly #timers = new Map<number, Timer>();
  /** One listener a signal, however many submissions it ends. */
  readonly #signals = new Map<AbortSignal, { readonly items: Set<T>; readonly listener: () => void }>();

  constructor(clock: Clock, describe: (item: T) => string, end: (item: T, error: Error) => void) {
    this.#clock = clock;
    this.#describe = describe;
    this.#end = end;
  }

  watch(item: T): void {
    const { deadline, signal } = item.limit as Limit;
    if (deadline !== undefined) this.#startTimer(item, deadline);
    if (signal === undefined) return;
    if (signal.aborted) return this.#end(item, this.#aborted(item, signal));
    let known = this.#signals.get(signal);
    if (known === undefined) {
      known = { items: new Set(), listener: () => this.#fired(signal) };
      this.#signals.set(signal, known);
      signal.addEventListener("abort", known.listener);
    }
    known.items.add(item);
  }

  /** It has ended. */
  release(item: T): void {
    this.#timers.get(item.number)?.cancel();
    this.#timers.delete(item.number);
    const signal = item.limit?.signal;
    const known = signal === undefined ? undefined : this.#signals.get(signal);
    if (signal === undefined || known === undefined) return;
    known.items.delete(item);
    if (known.items.size > 0) return;
    signal.removeEventListener("abort", known.listener);
    this.#signals.delete(signal);
  }

  #startTimer(item: T, deadline: number): void {
    const allowed = Math.max(0, deadline - this.#clock.now());
    const timer = this.#clock.after(allowed, () => {
      const text = `${this.#describe(item)} did not end within ${Math.round(allowed)} ms`;
      this.#end(item, new TaskTimeoutError(text, { timeoutMs: Math.round(allowed) }));
    }, true);
    this.#timers.set(item.number, timer);
  }

  #fired(signal: AbortSignal): void {
    for (const item of [...(this.#signals.get(signal)?.items ?? [])]) this.#end(item, this.#aborted(item, signal));
  }

  #aborted(item: T, signal: AbortSignal): TaskCancelledError {
    return new TaskCancelledError(`${this.#describe(item)} was cancelled: its signal aborted`, {}, signal.reason);
  }
}
