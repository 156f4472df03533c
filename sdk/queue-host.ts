// The actor behind a Queue: its items, and who waits to put or to take.
//
// A take is a loan: the items are the taker's for good when it says so, and come back to the front when it says that it could not
// use them, or when its process ends before it said anything.

import { Deque } from "../runtime/core/index.ts";
import type { ObjectRef } from "../runtime/owner/index.ts";
import { getRuntimeContext } from "./runtime-context.ts";
import { Visitors } from "./visitors.ts";
import { WaitLine } from "./wait-line.ts";

interface Item {
  readonly value: unknown;
}
interface Take {
  readonly who: string;
  readonly number: number;
  readonly count: number;
  items: unknown[];
}

/** What a put or take came to. `closed`: nothing more will. */
export interface PutOutcome {
  readonly accepted: number;
  readonly closed: boolean;
}
export interface TakeOutcome {
  readonly items: readonly unknown[];
  readonly closed: boolean;
}

export class QueueHost {
  readonly #maxSize: number;
  readonly #items = new Deque<Item>();
  readonly #putters = new WaitLine<unknown[]>();
  readonly #takers = new WaitLine<Take>();
  readonly #visitors = new Visitors<Item[]>((who, loans) => this.#left(who, loans));
  #closed = false;
  #moves = 0;

  constructor(maxSize: number) {
    this.#maxSize = maxSize;
  }

  enter([presence]: readonly [ObjectRef]): void {
    this.#visitors.enter(presence);
  }

  /** Takes in what there is room for, in order, waiting for room. */
  async put(who: string, given: readonly unknown[], waitMs: number): Promise<PutOutcome> {
    const left = [...given];
    if (!this.#closed) {
      const waiting = this.#putters.wait(left, who, waitMs, getRuntimeContext().signal);
      this.#pump();
      await waiting;
    }
    return { accepted: given.length - left.length, closed: this.#closed };
  }

  /** Lends up to `count` items, waiting for the first. */
  async take(who: string, number: number, count: number, waitMs: number): Promise<TakeOutcome> {
    const take: Take = { who, number, count, items: [] };
    if (!this.#closed || this.#items.size > 0) {
      const waiting = this.#takers.wait(take, who, waitMs, getRuntimeContext().signal);
      this.#pump();
      await waiting;
    }
    return { items: take.items, closed: this.#closed && take.items.length === 0 };
  }

  /** The end of a loan. */
  settle(who: string, number: number, isTaken: boolean): void {
    const items = this.#visitors.takeBack(who, number);
    if (items !== undefined && !isTaken) this.#putBack(items);
  }

  size(): number {
    return this.#items.size;
  }

  /** Nothing more comes in; what is there can be taken. */
  close(): void {
    this.#closed = true;
    this.#putters.leave();
    this.#pump();
  }

  #pump(): void {
    for (let moves = -1; moves !== this.#moves;) {
      moves = this.#moves;
      this.#putters.serve((left) => this.#takeIn(left));
      this.#takers.serve((take) => this.#lend(take));
    }
    if (this.#closed && this.#items.size === 0) this.#takers.leave();
  }

  #takeIn(left: unknown[]): boolean {
    while (left.length > 0 && this.#items.size < this.#maxSize) {
      this.#items.pushBack({ value: left.shift() });
      this.#moves += 1;
    }
    return left.length === 0;
  }

  #lend(take: Take): boolean {
    if (this.#items.size === 0) return false;
    // Whoever is gone gets nothing, and waits no more.
    if (!this.#visitors.has(take.who)) return true;
    const loan: Item[] = [];
    while (loan.length < take.count && this.#items.size > 0) loan.push(this.#items.popFront() as Item);
    this.#visitors.give(take.who, take.number, loan);
    take.items = loan.map(({ value }) => value);
    this.#moves += 1;
    return true;
  }

  #putBack(loan: Item[]): void {
    for (const item of loan.reverse()) this.#items.pushFront(item);
    this.#pump();
  }

  #left(who: string, loans: readonly Item[][]): void {
    this.#putters.leave(who);
    this.#takers.leave(who);
    for (const loan of [...loans].reverse()) this.#putBack(loan);
  }
}
