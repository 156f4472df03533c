// A queue with two ends: amortised constant time at both, and memory is given back as it empties.

export class Deque<T> {
  #front: T[] = [];
  #back: T[] = [];
  #head = 0;
  /** Items to be left out. */
  readonly #removed = new Set<T>();

  get size(): number {
    return this.#front.length + this.#back.length - this.#head - this.#removed.size;
  }

  pushBack(item: T): void {
    this.#back.push(item);
  }

  pushFront(item: T): void {
    this.#front.push(item);
  }

  front(): T | undefined {
    if (this.#removed.size > 0) this.#leaveOut();
    return this.#front.length > 0 ? this.#front[this.#front.length - 1] : this.#back[this.#head];
  }

  popFront(): T | undefined {
    if (this.#removed.size > 0) this.#leaveOut();
    return this.#takeFront();
  }

  popBack(): T | undefined {
    for (;;) {
      const item = this.#back.length > this.#head ? this.#back.pop() : this.#front.shift();
      if (item === undefined || !this.#removed.delete(item)) return item;
    }
  }

  #takeFront(): T | undefined {
    if (this.#front.length > 0) return this.#front.pop();
    if (this.#head >= this.#back.length) return undefined;
    const item = this.#back[this.#head];
    this.#head += 1;
    if (this.#head === this.#back.length) {
      // What was taken out must not be held here.
      this.#back.length = 0;
      this.#head = 0;
    } else if (this.#head >= 1024 && this.#head * 2 > this.#back.length) {
      this.#back = this.#back.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** Takes out an item that is in it, wherever it is: in constant time, it is left out when its turn comes. */
  remove(item: T): void {
    this.#removed.add(item);
    // What was taken out must not be held for long.
    if (this.size === 0) this.drain();
  }

  drain(): T[] {
    const items: T[] = [];
    for (let item = this.popFront(); item !== undefined; item = this.popFront()) items.push(item);
    return items;
  }

  #leaveOut(): void {
    for (;;) {
      const item = this.#front.length > 0 ? this.#front[this.#front.length - 1] : this.#back[this.#head];
      if (item === undefined || !this.#removed.delete(item)) return;
      this.#takeFront();
    }
  }
}
