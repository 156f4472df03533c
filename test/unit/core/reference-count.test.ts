// References across processes: an object is freed exactly once, and never while somebody has a ref to it.
//
// The model is the truth that nobody in a real cluster sees: which process holds how many refs, and what is under way.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { addLocal, changeBorrower, dropLocal, forgetBorrower, isFree, newReferenceCount } from "../../../runtime/core/index.ts";

describe("counts", () => {
  test("are free when the last of any kind goes", () => {
    const count = newReferenceCount();
    addLocal(count);
    addLocal(count);
    expect(changeBorrower(count, "b", 2)).toBe(false);
    expect(dropLocal(count)).toBe(false);
    expect(dropLocal(count)).toBe(false);
    expect(changeBorrower(count, "b", -1)).toBe(false);
    expect(changeBorrower(count, "b", -1)).toBe(true);
    expect(isFree(count)).toBe(true);
    expect(() => dropLocal(count)).toThrow("dropped twice");
  });

  // 1. the owner's value travels to B, B hands it on to C      2. C drops it at once
  // 3. C's drop reaches the owner before B's word that C has it  4. the object is not free in between
  test("wait for a hand-over that was overtaken by its drop", () => {
    const count = newReferenceCount();
    changeBorrower(count, "b", 1);
    expect(changeBorrower(count, "c", -1)).toBe(false);
    expect(changeBorrower(count, "b", -1)).toBe(false);
    expect(changeBorrower(count, "c", 1)).toBe(true);
  });

  test("of a dead borrower go as a whole, once", () => {
    const count = newReferenceCount();
    changeBorrower(count, "b", 3);
    changeBorrower(count, "c", 1);
    expect(forgetBorrower(count, "b")).toBe(false);
    expect(forgetBorrower(count, "b")).toBe(false);
    expect(forgetBorrower(count, "c")).toBe(true);
    expect(forgetBorrower(count, "c")).toBe(false);
  });
});

const OWNER = 0;
const PROCESSES = 5;

interface Step {
  readonly act: "handOn" | "drop" | "deliverRef" | "deliverWord";
  readonly n: number;
  readonly to: number;
}

/** Processes that hand one ref around. Words to the owner keep their order a sender, and only that. */
class Cluster {
  readonly count = newReferenceCount();
  readonly held: number[] = Array.from({ length: PROCESSES }, () => 0);
  /** Hand-overs that each process knows of and has not dropped. */
  readonly #refs: { readonly to: number }[] = [];
  readonly #words: { readonly borrower: number; readonly change: number }[][] = Array.from({ length: PROCESSES }, () => []);
  freed = 0;

  constructor() {
    addLocal(this.count);
    this.held[OWNER] = 1;
  }

  step({ act, n, to }: Step): void {
    if (act === "handOn") this.#handOn(this.#holder(n), to % PROCESSES);
    else if (act === "drop") this.#drop(this.#holder(n));
    else if (act === "deliverRef") this.#deliverRef(n);
    else this.#deliverWord(n);
    const referenced = this.held.some((count) => count > 0) || this.#refs.length > 0;
    if (referenced) expect(this.freed).toBe(0);
  }

  /** Everybody lets go, everything arrives in an order of the seed's choice. */
  finish(dice: readonly number[]): void {
    let turn = 0;
    const die = () => dice[turn++ % dice.length] + turn;
    for (;;) {
      while (this.#refs.length > 0) this.#deliverRef(die());
      const holder = this.#holder(die());
      if (holder === undefined) break;
      this.#drop(holder);
      this.#deliverWord(die());
    }
    while (this.#words.some((words) => words.length > 0)) this.#deliverWord(die());
    expect(isFree(this.count)).toBe(true);
    expect(this.freed).toBe(1);
  }

  #holder(n: number): number | undefined {
    const holders = this.held.flatMap((count, process) => (count > 0 ? [process] : []));
    return holders[n % Math.max(1, holders.length)];
  }

  #handOn(from: number | undefined, to: number): void {
    if (from === undefined || to === OWNER || from === to) return;
    // Who hands a ref on says so before any drop of its own.
    this.#say(from, to, 1);
    this.#refs.push({ to });
  }

  #drop(process: number | undefined): void {
    if (process === undefined) return;
    this.held[process] -= 1;
    if (process === OWNER) this.#note(dropLocal(this.count));
    else this.#say(process, process, -1);
  }

  #deliverRef(n: number): void {
    const [ref] = this.#refs.splice(n % Math.max(1, this.#refs.length), 1);
    if (ref !== undefined) this.held[ref.to] += 1;
  }

  #deliverWord(n: number): void {
    const talking = this.#words.filter((words) => words.length > 0);
    const word = talking[n % Math.max(1, talking.length)]?.shift();
    if (word !== undefined) this.#note(changeBorrower(this.count, `p${word.borrower}`, word.change));
  }

  #say(from: number, borrower: number, change: number): void {
    if (from === OWNER) this.#note(changeBorrower(this.count, `p${borrower}`, change));
    else this.#words[from].push({ borrower, change });
  }

  #note(free: boolean): void {
    if (free) this.freed += 1;
  }
}

test("10,000 random histories of hand-overs and drops free the object exactly once, at the end", () => {
  const step: fc.Arbitrary<Step> = fc.record({
    act: fc.constantFrom<Step["act"]>("handOn", "handOn", "drop", "deliverRef", "deliverRef", "deliverWord"),
    n: fc.nat(1000),
    to: fc.nat(PROCESSES - 1),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.array(fc.nat(1000), { minLength: 1, maxLength: 20 }), (steps, dice) => {
      const cluster = new Cluster();
      for (const one of steps) cluster.step(one);
      cluster.finish(dice);
    }),
    { numRuns: 10_000 },
  );
});
