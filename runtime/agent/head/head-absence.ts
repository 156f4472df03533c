// The time in which there is no head: tries to join the next one, and says when that took too long for whom.

import { failureOf, HeadUnavailableError, InvalidArgumentError } from "../../errors.ts";
import type { Clock, Timer } from "../../seams.ts";

/** Questions wait so long for a head: less than those who ask wait for their agent. */
export const HEAD_WAIT_MS = 20_000;
export const HEAD_WAIT_MAX_MS = 24_000;
/** A node without a head ends after so long. */
export const HEAD_ABSENT_MS = 60_000;
const TRY_AGAIN_MS = 20;
const TRY_AGAIN_MAX_MS = 500;

export interface HeadAbsenceParts {
  readonly clock: Clock;
  readonly waitMs: number;
  readonly rejoin: () => Promise<void>;
  readonly lost: (reason: string) => void;
}

interface Waiter {
  resolve(): void;
  reject(error: Error): void;
  readonly timer: Timer;
}

export class HeadAbsence {
  readonly #parts: HeadAbsenceParts;
  readonly #waiters = new Set<Waiter>();
  #since: number | undefined;
  #why = "";
  #giveUp: Timer | undefined;
  #again: Timer | undefined;
  #pauseMs = TRY_AGAIN_MS;

  constructor(parts: HeadAbsenceParts) {
    this.#parts = parts;
  }

  /** `pendingFail`: what was asked of the head that is gone has waited long enough for the next one. */
  begin(why: string, pendingFail: () => void): void {
    const { clock, waitMs } = this.#parts;
    this.#why = why;
    this.#giveUp?.cancel();
    this.#giveUp = clock.after(waitMs, pendingFail);
    if (this.#since !== undefined) return;
    this.#since = clock.now();
    this.#pauseMs = TRY_AGAIN_MS;
    this.#try();
  }

  /** There is a head. */
  ended(): void {
    this.#since = undefined;
    this.#giveUp?.cancel();
    for (const { timer, resolve } of this.#take()) {
      timer.cancel();
      resolve();
    }
  }

  /** Resolves when there is a head; rejects when there was none for too long. */
  over(): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        resolve, reject,
        timer: this.#parts.clock.after(this.#parts.waitMs, () => {
          this.#waiters.delete(waiter);
          reject(new HeadUnavailableError(this.#why));
        }),
      };
      this.#waiters.add(waiter);
    });
  }

  close(): void {
    this.#giveUp?.cancel();
    this.#again?.cancel();
    for (const { timer, reject } of this.#take()) {
      timer.cancel();
      reject(new HeadUnavailableError("this node ends"));
    }
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #try(): void {
    this.#parts.rejoin().catch((error: unknown) => {
      const { clock, lost } = this.#parts;
      const { text } = failureOf(error);
      if (isForNode(error)) return lost(`${this.#why}; ${text}`);
      const isLong = clock.now() - (this.#since ?? 0) > HEAD_ABSENT_MS;
      if (isLong) return lost(`${this.#why}; there was none for ${HEAD_ABSENT_MS} ms: ${text}`);
      this.#again = clock.after(this.#pauseMs, () => this.#try());
      this.#pauseMs = Math.min(TRY_AGAIN_MAX_MS, 2 * this.#pauseMs);
    });
  }

  #take(): Waiter[] {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    return waiters;
  }
}

/** Another attempt can't help: this node is out of reach, or was refused. A head that is too old is not the last one. */
function isForNode(error: unknown): boolean {
  const { refused, outOfReach } = error as { refused?: unknown; outOfReach?: unknown };
  return !(error instanceof HeadUnavailableError) && (refused === true || outOfReach === true);
}

/** TROUPE_HEAD_WAIT_MS. */
export function headWaitOf(setting: string | undefined): number {
  if (setting === undefined) return HEAD_WAIT_MS;
  const ms = Number(setting);
  if (/^\d+$/.test(setting) && ms > 0 && ms <= HEAD_WAIT_MAX_MS) return ms;
  throw new InvalidArgumentError(
    `TROUPE_HEAD_WAIT_MS must be from 1 to ${HEAD_WAIT_MAX_MS} whole milliseconds, not ${JSON.stringify(setting)}`,
  );
}
