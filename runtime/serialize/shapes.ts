// Key lists of plain objects that came before in the same value: rows of a table write their keys once.
//
// The next shape is guessed from the last one, so regular data costs one comparison of key pointers an object. Small values
// learn nothing: their first objects are written with their keys.

const LEARN_AFTER = 8;
const KEYS_MAX = 64;
const SHAPES_MAX = 256;

export class ShapeTable {
  #objects = 0;
  #shapes: (readonly string[])[] = [];
  /** The shape that followed each shape the last time. */
  #next: number[] = [];
  #last = 0;
  #byFirstKey: Map<string, number[]> | undefined;

  clear(): void {
    this.#objects = 0;
    if (this.#shapes.length === 0) return;
    this.#shapes = [];
    this.#next = [];
    this.#last = 0;
    this.#byFirstKey = undefined;
  }

  /** The number of this list of keys, or -1. */
  find(keys: readonly string[]): number {
    this.#objects++;
    if (this.#shapes.length === 0 || keys.length === 0) return -1;
    const guess = this.#next[this.#last];
    if (this.#matches(guess, keys)) return (this.#last = guess);
    for (const candidate of this.#byFirstKey?.get(keys[0]) ?? []) {
      if (!this.#matches(candidate, keys)) continue;
      this.#next[this.#last] = candidate;
      return (this.#last = candidate);
    }
    return -1;
  }

  /** True when the list got the next number: then the writer must define it. */
  learn(keys: readonly string[]): boolean {
    const { length } = this.#shapes;
    if (this.#objects <= LEARN_AFTER || keys.length === 0 || keys.length > KEYS_MAX || length >= SHAPES_MAX) return false;
    this.#shapes.push(keys);
    this.#next.push(length);
    this.#byFirstKey ??= new Map();
    const same = this.#byFirstKey.get(keys[0]);
    if (same === undefined) this.#byFirstKey.set(keys[0], [length]);
    else same.push(length);
    this.#next[this.#last] = length;
    this.#last = length;
    return true;
  }

  #matches(number: number, keys: readonly string[]): boolean {
    const shape = this.#shapes[number];
    if (shape.length !== keys.length) return false;
    for (let i = 0; i < keys.length; i++) if (shape[i] !== keys[i]) return false;
    return true;
  }
}
