// What is running now: the task attempt (or actor call) whose code made the call that we are in.
//
// With one live attempt it is a plain variable. Only while a process has several does AsyncLocalStorage tell them apart: it makes
// every await three times dearer on Node 20, so it is on just then.

import { AsyncLocalStorage } from "node:async_hooks";
import { TaskCancelledError } from "../errors.ts";
import type { Chain, Strategy } from "../transport/index.ts";
import type { ProcessAddress } from "./links.ts";

/**
 * The end of an attempt that came before the end of its code: it was cancelled, or its time is over. The code sees its signal
 * abort, and what it waits for rejects.
 */
export class AttemptEnding {
  /** Why; undefined while it has not come. */
  reason: Error | undefined;
  /** Made only for code that looks at its signal: it costs a microsecond. */
  #controller: AbortController | undefined;
  #waits: Set<(reason: Error) => void> | undefined;

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.reason !== undefined) this.#controller.abort(this.reason);
    }
    return this.#controller.signal;
  }

  /** What every use of the runtime throws from now on: its actor has ended in a process that goes on. */
  fenced: Error | undefined;

  /** As `end`, and for good. */
  fence(error: Error): void {
    this.fenced = error;
    this.end(error);
  }

  /** Only the first counts. */
  end(reason: Error): void {
    if (this.reason !== undefined) return;
    this.reason = reason;
    const waits = [...(this.#waits ?? [])];
    this.#waits = undefined;
    this.#controller?.abort(reason);
    for (const wait of waits) wait(reason);
  }

  /** Tells a wait of that attempt; returns what forgets it. */
  onEnd(wait: (reason: Error) => void): () => void {
    this.#waits ??= new Set();
    this.#waits.add(wait);
    return () => void this.#waits?.delete(wait);
  }
}

/** One running attempt in this process. */
export interface Attempt {
  /** Unique in this process: identifies the caller to actors. */
  readonly caller: number;
  readonly taskId: string;
  readonly name: string;
  readonly attempt: number;
  readonly actorId: string | undefined;
  readonly jobId: string;
  readonly resources: Readonly<Record<string, number>>;
  /** How it was placed. */
  readonly strategy: Strategy | undefined;
  /** Of what it submits. Of an actor's call, the last of the actors is its own. */
  readonly chain: Chain;
  /** Who submitted it, as which of its tasks or calls. */
  readonly submitter: ProcessAddress & { readonly number: number };
  readonly ending: AttemptEnding;
  /** Time of the clock by which it must have ended, and all that it submits. */
  readonly deadline: number | undefined;
  readonly restarted: boolean;
  /** Of the same task, a later attempt's is larger; of the same actor, a later life's. */
  readonly fencingToken: number;
  /** The detail of the last heartbeat, of this attempt or an earlier one; encoded. */
  lastHeartbeat: Uint8Array | undefined;
  /** Of a generator: so many of its items were taken in all. */
  taken?: (count: number) => void;
  suspend(): void;
  resume(): void;
  /** Of an actor's call: the actor takes no more calls and ends. */
  readonly exitActor?: (() => Error) | undefined;
}

export class RunningAttempts {
  readonly #storage = new AsyncLocalStorage<Attempt>();
  #only: Attempt | undefined;
  readonly #live = new Set<Attempt>();
  #attributes = false;
  /** How many have ended, ever. */
  over = 0;
  /** Numbers of the GPUs that this process has now. */
  gpuIds: readonly number[] = [];

  /** The attempt whose code runs; undefined in a driver's main program and in the runtime itself. */
  current(): Attempt | undefined {
    if (this.#attributes) return this.#storage.getStore();
    return this.#live.size > 1 ? (this.#storage.getStore() ?? this.#only) : this.#only;
  }

  /** From now on code is known to its attempt also when that is over: of which actor is what goes wrong late? */
  attribute(): void {
    this.#attributes = true;
    this.#only = undefined;
  }

  /** The actor whose code runs, in a process that several actors share. */
  get sharer(): string | undefined {
    return this.#attributes ? this.#storage.getStore()?.actorId : undefined;
  }

  /** Why the code that runs may not use the runtime any more. */
  get fenced(): Error | undefined {
    return this.#attributes ? this.#storage.getStore()?.ending.fenced : undefined;
  }

  /** Runs user code as `attempt`. The caller says when it is over. */
  run<T>(attempt: Attempt, code: () => T): T {
    this.#live.add(attempt);
    if (this.#live.size === 1 && !this.#attributes) {
      this.#only = attempt;
      return code();
    }
    return this.#storage.run(attempt, code);
  }

  live(): Iterable<Attempt> {
    return this.#live;
  }

  /** The running attempt with this number as a caller. */
  ofCaller(caller: number): Attempt | undefined {
    for (const one of this.#live) if (one.caller === caller) return one;
    return undefined;
  }

  /** The running attempt of a task or call. */
  find(taskId: string, number: number): Attempt | undefined {
    for (const one of this.#live) if (one.taskId === taskId && one.attempt === number) return one;
    return undefined;
  }

  /** That process is out of reach: generators whose items it was to get end. */
  readerGone(process: string): void {
    for (const one of [...this.#live]) {
      if (one.taken === undefined || !one.taskId.startsWith(`${process}.`)) continue;
      one.ending.end(new TaskCancelledError(`the stream of "${one.name}" ended: process ${process}, which reads it, is gone`));
    }
  }

  ended(attempt: Attempt): void {
    this.over += 1;
    this.#live.delete(attempt);
    if (this.#only === attempt) this.#only = undefined;
    if (this.#live.size === 0 && !this.#attributes) this.#storage.disable();
  }
}
