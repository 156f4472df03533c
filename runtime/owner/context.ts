// What is running now: the task attempt (or actor call) whose code made the call that we are in.
//
// With one live attempt it is a plain variable. Only while a process has several does AsyncLocalStorage tell them apart: it makes
// every await three times dearer on Node 20, so it is on just then.

import { AsyncLocalStorage } from "node:async_hooks";
import type { Chain } from "../transport/index.ts";

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
  readonly chain: Chain;
  readonly signal: AbortSignal;
  readonly restarted: boolean;
  suspend(): void;
  resume(): void;
}

export class RunningAttempts {
  readonly #storage = new AsyncLocalStorage<Attempt>();
  #only: Attempt | undefined;
  #live = 0;

  /** The attempt whose code runs; undefined in a driver's main program and in the runtime itself. */
  current(): Attempt | undefined {
    return this.#live > 1 ? (this.#storage.getStore() ?? this.#only) : this.#only;
  }

  /** Runs user code as `attempt`. The caller says when it is over. */
  run<T>(attempt: Attempt, code: () => T): T {
    this.#live += 1;
    if (this.#live === 1) {
      this.#only = attempt;
      return code();
    }
    return this.#storage.run(attempt, code);
  }

  ended(attempt: Attempt): void {
    this.#live -= 1;
    if (this.#only === attempt) this.#only = undefined;
    if (this.#live === 0) this.#storage.disable();
  }
}
