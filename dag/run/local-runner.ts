// Runs tasks in this process: functions are called directly. For tests.

import { InvalidArgumentError } from "../../sdk/index.ts";
import type { Draft } from "../graph/draft.ts";
import { attempt, type Order, retriable } from "./attempt.ts";
import { type Clock, VirtualClock } from "./clock.ts";
import { evaluate } from "./inputs.ts";
import { withoutCluster } from "./keys.ts";
import type { Note } from "./telling.ts";
import { type Attempt, type Ended, lengthOfValue, type Runner } from "./runner.ts";

/** Results are their own handles, in a box: undefined is a result too. */
interface Box {
  readonly value: unknown;
}

const valueOf = (handle: unknown): unknown => (handle as Box).value;

export class LocalRunner implements Runner {
  readonly isLocal = true;
  readonly #clock: Clock;
  #running = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    if (clock instanceof VirtualClock) clock.waitFor(this);
  }

  /** Whether code of a task is at work. */
  get busy(): boolean {
    return this.#running > 0;
  }

  start(draft: Draft, order: Order): Attempt {
    const abort = new AbortController();
    let hear: ((note: Note) => void) | undefined;
    return {
      ended: this.#run(draft, order, abort, (note) => hear?.(note)),
      stop: (reason) => abort.abort(new Error(reason)),
      hear: (listener) => { hear = listener; },
    };
  }

  async #run(draft: Draft, order: Order, abort: AbortController, note: (note: Note) => void): Promise<Ended> {
    const { retryOn, timeoutMs } = draft.options;
    const place = { signal: abort.signal, now: () => this.#clock.now(), valueOf, note };
    this.#running += 1;
    let timer: NodeJS.Timeout | undefined;
    try {
      const run = withoutCluster(() => attempt(draft.fn ?? (() => undefined), draft.kind, retryOn, order, place));
      const late = timeoutMs === undefined ? [] : [new Promise<never>((_, reject) => {
        timer = setTimeout(() => {
          const late = new Error(`task ${order.task.id} took longer than ${timeoutMs} ms`);
          reject(late);
          abort.abort(late);
        }, timeoutMs);
      })];
      const [report, value] = await Promise.race([run, ...late]);
      return { report, handle: { value } satisfies Box };
    } catch (error) {
      return { report: { outcome: "error", error, final: !retriable(error, retryOn), told: [] } };
    } finally {
      clearTimeout(timer);
      this.#running -= 1;
    }
  }

  async length(input: unknown): Promise<number> {
    return lengthOfValue(await evaluate(input, valueOf));
  }

  async judge(until: (value: never) => unknown, input: unknown): Promise<boolean> {
    return Boolean(await until((await evaluate(input, valueOf)) as never));
  }

  fetch(input: unknown): Promise<unknown> {
    return evaluate(input, valueOf);
  }

  async hold(input: unknown): Promise<unknown> {
    return { value: await evaluate(input, valueOf) } satisfies Box;
  }

  describe(): undefined {}

  async keep(): Promise<void> {}

  async find(records: readonly unknown[]): Promise<undefined[]> {
    return records.map(() => undefined);
  }

  async load(): Promise<never> {
    throw new InvalidArgumentError("runs in this process have no checkpoints");
  }

  release(): void {}
}
