// Workers that are gone, until their tasks are judged: when the channel has delivered everything it carried and the agent has
// told the cause of death, or the bound on that has passed. So a finished task is never charged, and a lost one says why.

import type { Clock, Timer } from "../seams.ts";
import type { DeathCause } from "../transport/index.ts";

/** How long a broken channel waits for the agent's word on why. */
const DEATH_CAUSE_WAIT_MS = 1000;

interface Departed {
  cause: DeathCause | undefined;
  linkClosed: boolean;
  timer: Timer | undefined;
}

export class Departures {
  readonly #clock: Clock;
  /** Whether this process holds leases of that worker. */
  readonly #concerns: (process: string) => boolean;
  readonly #judge: (process: string, cause: DeathCause | undefined) => void;
  readonly #departed = new Map<string, Departed>();

  constructor(
    clock: Clock, concerns: (process: string) => boolean, judge: (process: string, cause: DeathCause | undefined) => void,
  ) {
    this.#clock = clock;
    this.#concerns = concerns;
    this.#judge = judge;
  }

  /** The agent's word. */
  died(process: string, cause: DeathCause | undefined): void {
    const departed = this.#of(process);
    if (departed === undefined) return;
    departed.cause = cause;
    if (departed.linkClosed) this.judgeNow(process, cause);
  }

  linkClosed(process: string): void {
    const departed = this.#of(process);
    if (departed === undefined) return;
    departed.linkClosed = true;
    if (departed.cause !== undefined) return this.judgeNow(process, departed.cause);
    departed.timer ??= this.#clock.after(DEATH_CAUSE_WAIT_MS, () => this.judgeNow(process, departed.cause), true);
  }

  judgeNow(process: string, cause: DeathCause | undefined): void {
    this.#departed.get(process)?.timer?.cancel();
    this.#departed.delete(process);
    this.#judge(process, cause);
  }

  close(): void {
    for (const departed of this.#departed.values()) departed.timer?.cancel();
  }

  #of(process: string): Departed | undefined {
    const known = this.#departed.get(process);
    if (known !== undefined || !this.#concerns(process)) return known;
    const departed: Departed = { cause: undefined, linkClosed: false, timer: undefined };
    this.#departed.set(process, departed);
    return departed;
  }
}
