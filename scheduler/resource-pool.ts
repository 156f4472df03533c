// What one node has and what of it is free.
//
// Available never rises above total, and falls below zero only by `forceAcquire`: a suspended task that goes on takes its CPU
// back at once, also when somebody else has it by now. The pool then grants nothing until enough has come back.

import { assert } from "./assert.ts";
import { amountOf, emptyResources, type Resources, resourcesFit } from "./resources.ts";

export class ResourcePool {
  readonly #total: Record<string, number>;
  readonly #available: Record<string, number>;

  constructor(total: Resources) {
    const copy = emptyResources();
    for (const name in total) {
      assert(Number.isInteger(total[name]) && total[name] >= 0, `total of ${name} is ${total[name]}`);
      copy[name] = total[name];
    }
    this.#total = copy;
    this.#available = emptyResources();
    Object.assign(this.#available, copy);
  }

  /** Live view: changes with the pool. */
  get total(): Resources {
    return this.#total;
  }

  /** Live view. */
  get available(): Resources {
    return this.#available;
  }

  /** Whether an empty node could hold it. */
  feasible(request: Resources): boolean {
    return resourcesFit(request, this.total);
  }

  fits(request: Resources): boolean {
    return resourcesFit(request, this.#available);
  }

  /** All of it or nothing. */
  acquire(request: Resources): boolean {
    if (!this.fits(request)) return false;
    this.#take(request);
    return true;
  }

  /** Takes it even if that overdraws the pool. */
  forceAcquire(request: Resources): void {
    this.#take(request);
  }

  release(request: Resources): void {
    for (const name in request) {
      if (request[name] === 0) continue;
      const next = amountOf(this.#available, name) + request[name];
      assert(next <= amountOf(this.total, name), `more ${name} given back than was taken`);
      this.#available[name] = next;
    }
  }

  /** There is more from now on. */
  extend(more: Resources): void {
    for (const name in more) {
      this.#total[name] = amountOf(this.#total, name) + more[name];
      this.#available[name] = amountOf(this.#available, name) + more[name];
    }
  }

  /** What `extend` brought, none of which is taken. */
  retract(less: Resources): void {
    for (const name in less) {
      assert(amountOf(this.#available, name) >= less[name], `${name} is taken and goes`);
      this.#total[name] -= less[name];
      this.#available[name] -= less[name];
      if (this.#total[name] > 0) continue;
      delete this.#total[name];
      delete this.#available[name];
    }
  }

  validate(): void {
    for (const name in this.#available) {
      assert(Number.isInteger(this.#available[name]), `available ${name} is not an integer`);
      assert(this.#available[name] <= amountOf(this.total, name), `available ${name} is above its total`);
    }
  }

  #take(request: Resources): void {
    for (const name in request) {
      if (request[name] === 0) continue;
      assert(request[name] > 0, `negative amount of ${name}`);
      this.#available[name] = amountOf(this.#available, name) - request[name];
    }
  }
}
