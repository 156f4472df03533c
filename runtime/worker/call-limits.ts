// Functions of which a worker runs only so many calls (`maxCalls`): it ends then, and takes along what they leaked.

export class CallLimits {
  readonly #calls = new Map<string, number>();
  #reached = false;

  /** The worker has run one of them as often as it may. */
  get reached(): boolean {
    return this.#reached;
  }

  /** A call has ended. `most` is 0 for a function without a limit. */
  ended(functionId: string, most: number): void {
    if (most === 0) return;
    const calls = (this.#calls.get(functionId) ?? 0) + 1;
    this.#calls.set(functionId, calls);
    if (calls >= most) this.#reached = true;
  }
}
