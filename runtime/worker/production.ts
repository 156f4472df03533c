// A generator at work: what it yields goes to the owner item by item, never further ahead of who takes them than agreed.
//
// While it is as far ahead as it may be its attempt is suspended, after a moment: its CPU goes to others. When nobody reads on,
// or the attempt is over for another reason, the generator is ended where it stands, through its `finally`.

import { StreamOutlet, type StreamPosition } from "../core/index.ts";
import type { Attempt, WireValue } from "../owner/index.ts";
import { InvalidArgumentError } from "../errors.ts";
import type { Clock } from "../seams.ts";

/** Whoever reads fast takes an item in that time: then the CPU is not given back in between. */
const PATIENCE_MS = 2;
/** Yields in a row, or milliseconds, before the loop gets a turn: what was yielded leaves then, and what was taken is heard. */
const YIELDS_A_TURN = 64;
const TURN_MS = 1;
/** A generator that yields so often in its `finally` is left to itself. */
const RETURNS_MAX = 64;

type AnyGenerator = Iterator<unknown> | AsyncIterator<unknown>;

export interface ProductionParts {
  readonly clock: Clock;
  readonly attempt: Attempt;
  readonly limit: number;
  readonly position: StreamPosition;
  /** Runs user code as the attempt. */
  readonly run: <T>(code: () => T) => T;
  readonly encode: (item: unknown) => WireValue | Promise<WireValue>;
  readonly send: (index: number, value: WireValue) => void;
}

export class Production {
  readonly #parts: ProductionParts;
  readonly #outlet: StreamOutlet;
  /** Ends the wait for room. */
  #goOn: (() => void) | undefined;
  #inARow = 0;
  /** Clock time of the last turn. */
  #turnAt = -Infinity;

  constructor(parts: ProductionParts) {
    this.#parts = parts;
    this.#outlet = new StreamOutlet(parts.limit, parts.position);
    parts.attempt.taken = (count) => {
      this.#outlet.taken(count);
      if (!this.#outlet.isFull) this.#goOn?.();
    };
  }

  /** Resolves when the generator has ended; rejects with what it threw, or with the reason why it was ended. */
  async drive(start: () => unknown): Promise<void> {
    const { attempt: { ending, name }, run } = this.#parts;
    const generator = run(start) as AnyGenerator | undefined;
    if (typeof generator?.next !== "function") {
      throw new InvalidArgumentError(`"${name}" was called as a generator and returned no iterator`);
    }
    try {
      while (ending.reason === undefined) {
        const step = await run(() => generator.next());
        if (step.done === true) return;
        await this.#yielded(step.value);
        if (this.#outlet.isOver) return;
      }
    } finally {
      await this.#end(generator);
    }
    throw ending.reason;
  }

  async #yielded(given: unknown): Promise<void> {
    const index = this.#outlet.yielded();
    if (index !== undefined) {
      const item = given instanceof Promise ? await given : given;
      const value = this.#parts.encode(item);
      this.#parts.send(index, value instanceof Promise ? await value : value);
    }
    if (this.#outlet.isFull) return this.#room();
    const { clock } = this.#parts;
    this.#inARow += 1;
    if (this.#inARow < YIELDS_A_TURN && clock.now() - this.#turnAt < TURN_MS) return;
    await new Promise<void>((resolve) => clock.soon(resolve));
    this.#turned();
  }

  #turned(): void {
    this.#inARow = 0;
    this.#turnAt = this.#parts.clock.now();
  }

  /** Resolves when one more may be yielded, or the attempt is over. */
  #room(): Promise<void> {
    const { clock, attempt } = this.#parts;
    return new Promise((resolve) => {
      if (attempt.ending.reason !== undefined) return resolve();
      let suspended = false;
      const timer = clock.after(PATIENCE_MS, () => {
        suspended = true;
        attempt.suspend();
      });
      const goOn = () => {
        this.#goOn = undefined;
        this.#turned();
        timer.cancel();
        forget();
        if (suspended) attempt.resume();
        resolve();
      };
      const forget = attempt.ending.onEnd(goOn);
      this.#goOn = goOn;
    });
  }

  /** Nothing happens to one that has ended by itself. */
  async #end(generator: AnyGenerator): Promise<void> {
    const { run } = this.#parts;
    for (let count = 0; count < RETURNS_MAX; count += 1) {
      const step = await run(() => generator.return?.());
      if (step === undefined || step.done === true) return;
    }
  }
}
