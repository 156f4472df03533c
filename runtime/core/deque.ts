// A queue with two ends: amortised constant time at both, and memory is given back as it empties.

export class Deque<T> {
  #front: T[] = [];
  #back: T[] = [];
  #head = 0;

  get size(): number {
    return this.#front.length + this.#back.length - this.#head;
  }

  pushBack(item: T): void {
    this.#back.push(item);
  }

  pushFront(item: T): void {
    this.#front.push(item);
  }

  front(): T | undefined {
    return this.#front.length > 0 ? this.#front[this.#front.length - 1] : this.#back[this.#head];
  }

  popFront(): T | undefined {
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

  popBack(): T | undefined {
    if (this.#back.length > this.#head) return this.#back.pop();
    return this.#front.shift();
  }

  remove(item: T): boolean {
    const inFront = this.#front.indexOf(item);
    if (inFront >= 0) {
      this.#front.splice(inFront, 1);
      return true;
    }
    const inBack = this.#back.indexOf(item, this.#head);
    if (inBack < 0) return false;
    this.#back.splice(inBack, 1);
    return true;
  }

  drain(): T[] {
    const items: T[] = [];
    for (let item = this.popFront(); item !== undefined; item = this.popFront()) items.push(item);
    return items;
  }
}
