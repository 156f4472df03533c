// A stream of items, between the generator that yields them and whoever takes them: in order, each once, never more than a limit
// ahead.
//
// Pure. The intake is at the stream's owner and outlives the attempts of the task: items are numbered from 0 in each, and one
// that is there already is not taken in again. The outlet is at the producer, new in each attempt; it begins where the intake
// stands, lets the generator run through what is known, and then `limit` items ahead of what was taken. A run that makes lost
// items again sends those alone, and is over with the last of them.

import { Deque } from "./deque.ts";

/** Where the intake stands. */
export interface StreamPosition {
  readonly received: number;
  readonly taken: number;
  /** Of a run for these alone; none: the stream goes on. */
  readonly missing: readonly number[];
}

export class StreamOutlet {
  readonly #limit: number;
  /** The owner has the items before this one. */
  readonly #known: number;
  readonly #missing: Set<number> | undefined;
  #yielded = 0;
  #taken: number;

  constructor(limit: number, { received, taken, missing }: StreamPosition) {
    this.#limit = limit;
    this.#known = received;
    this.#taken = taken;
    this.#missing = missing.length > 0 ? new Set(missing) : undefined;
  }

  /** The generator is not resumed before one more is taken. */
  get isFull(): boolean {
    return this.#missing === undefined && this.#yielded - this.#taken >= this.#limit;
  }

  /** Nothing more is wanted of the generator. */
  get isOver(): boolean {
    return this.#missing?.size === 0;
  }

  /** The number of the item that the generator has just yielded; undefined when the owner has it from an earlier attempt. */
  yielded(): number | undefined {
    const index = this.#yielded++;
    if (this.#missing !== undefined) return this.#missing.delete(index) ? index : undefined;
    return index < this.#known ? undefined : index;
  }

  /** So many are taken in all: word that comes late, or twice, changes nothing. */
  taken(count: number): void {
    if (count > this.#taken) this.#taken = count;
  }
}

/** next: take it in. repeat: it is here already, or nobody wants it: free it. gap: one before it is missing. */
export type ItemArrival = "next" | "repeat" | "gap";

export class StreamIntake<I> {
  readonly #items = new Deque<I>();
  #received = 0;
  #taken = 0;
  #ended = false;

  get position(): StreamPosition {
    return { received: this.#received, taken: this.#taken, missing: [] };
  }

  /** No item comes any more. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Nothing is left to take, now and for ever. */
  get done(): boolean {
    return this.#ended && this.#items.size === 0;
  }

  arrival(index: number): ItemArrival {
    if (this.#ended || index < this.#received) return "repeat";
    return index === this.#received ? "next" : "gap";
  }

  /** The item that is next. */
  add(item: I): void {
    this.#received += 1;
    this.#items.pushBack(item);
  }

  take(): I | undefined {
    const item = this.#items.popFront();
    if (item !== undefined) this.#taken += 1;
    return item;
  }

  /** The generator has ended; `last` stands for its error. */
  end(last?: I): void {
    if (this.#ended) return;
    this.#ended = true;
    if (last !== undefined) this.#items.pushBack(last);
  }

  /** The same at once: what is not taken is given back, nobody gets it. Nothing happens when all are taken and it has ended. */
  cut(last?: I): I[] {
    const dropped = this.#items.drain();
    this.end(last);
    return dropped;
  }
}
