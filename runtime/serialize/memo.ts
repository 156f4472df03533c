// Numbers of the objects written so far. The first few are found by comparing, which is cheaper than a map: most values are
// small.

const FEW = 12;

export class Memo {
  /** Next number. */
  size = 0;
  readonly #few: (object | undefined)[] = new Array<object | undefined>(FEW).fill(undefined);
  readonly #many = new Map<object, number>();

  /** The object's number, or -1. */
  find(value: object): number {
    const few = this.#few;
    const count = this.size < FEW ? this.size : FEW;
    for (let i = 0; i < count; i++) if (few[i] === value) return i;
    return this.size > FEW ? (this.#many.get(value) ?? -1) : -1;
  }

  add(value: object): void {
    if (this.size < FEW) this.#few[this.size] = value;
    else this.#many.set(value, this.size);
    this.size++;
  }

  /** Must be called at the end: the memo would keep the user's objects alive. */
  clear(): void {
    const count = this.size < FEW ? this.size : FEW;
    for (let i = 0; i < count; i++) this.#few[i] = undefined;
    if (this.size > FEW) this.#many.clear();
    this.size = 0;
  }
}
