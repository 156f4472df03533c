// Workers that are gone, until it is known what became of their tasks.
//
// Three things are waited for, each for a bounded time: the end of the channel, so that everything the worker sent has been read
// and no finished task is charged; the agent's word on the cause; and of a worker on another machine, whose claim page can't be
// seen from here, which tasks had started.

import type { Clock, Timer } from "../../seams.ts";
import type { DeathCause, ProcessDied } from "../../transport/index.ts";

/** How long what is known of a death waits for the rest. */
const DEATH_WAIT_MS = 1000;

export interface Departed {
  readonly cause: DeathCause | undefined;
  /** Tags of started tasks (claim pages), when the agent has told them. */
  readonly claims: ReadonlySet<number> | undefined;
}

interface Waiting {
  cause: DeathCause | undefined;
  claims: ReadonlySet<number> | undefined;
  linkClosed: boolean;
  readonly timer: Timer;
}

export interface DeparturesParts {
  readonly clock: Clock;
  /** Whether this process holds leases of that worker. */
  readonly concerns: (process: string) => boolean;
  /** Whether its claims can't be seen from here. */
  readonly isRemote: (process: string) => boolean;
  readonly judge: (process: string, departed: Departed) => void;
}

export class Departures {
  readonly #parts: DeparturesParts;
  readonly #waiting = new Map<string, Waiting>();

  constructor(parts: DeparturesParts) {
    this.#parts = parts;
  }

  /** The agent's word. */
  died({ process, cause, origin, claims }: ProcessDied): void {
    const waiting = this.#of(process);
    if (waiting === undefined) return;
    waiting.cause = cause ?? undefined;
    if (origin !== "") waiting.claims = tagsIn(claims);
    this.#judgeWhenKnown(process, waiting);
  }

  linkClosed(process: string): void {
    const waiting = this.#of(process);
    if (waiting === undefined) return;
    waiting.linkClosed = true;
    this.#judgeWhenKnown(process, waiting);
  }

  judgeNow(process: string, departed: Departed): void {
    this.#waiting.get(process)?.timer.cancel();
    this.#waiting.delete(process);
    this.#parts.judge(process, departed);
  }

  close(): void {
    for (const { timer } of this.#waiting.values()) timer.cancel();
    this.#waiting.clear();
  }

  #of(process: string): Waiting | undefined {
    const known = this.#waiting.get(process);
    if (known !== undefined || !this.#parts.concerns(process)) return known;
    const { clock } = this.#parts;
    // What has arrived in the meantime is read before a verdict without the rest.
    const timer = clock.after(DEATH_WAIT_MS, () => clock.soon(() => this.#waitedEnough(process)), true);
    const waiting: Waiting = { cause: undefined, claims: undefined, linkClosed: false, timer };
    this.#waiting.set(process, waiting);
    return waiting;
  }

  #judgeWhenKnown(process: string, waiting: Waiting): void {
    if (!waiting.linkClosed || waiting.cause === undefined) return;
    if (waiting.claims !== undefined || !this.#parts.isRemote(process)) this.judgeNow(process, waiting);
  }

  #waitedEnough(process: string): void {
    const waiting = this.#waiting.get(process);
    if (waiting !== undefined) this.judgeNow(process, waiting);
  }
}

function tagsIn(claims: Uint8Array): Set<number> {
  const view = new DataView(claims.buffer, claims.byteOffset, claims.byteLength);
  return new Set(Array.from({ length: claims.byteLength >> 2 }, (_, index) => view.getUint32(index * 4, true)));
}
