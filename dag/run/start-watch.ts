// Attempts that are on their way to a worker: which of them have begun to run is asked for all of them together, now and then.

const LOOK_MS = 100;

export class StartWatch {
  /** What is to be called until it says that there is nothing more to see. */
  readonly #looks = new Set<() => boolean>();
  #timer: NodeJS.Timeout | undefined;

  add(look: () => boolean): void {
    this.#looks.add(look);
    if (this.#timer !== undefined) return;
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    this.#timer.unref();
  }

  delete(look: () => boolean): void {
    this.#looks.delete(look);
  }

  #look(): void {
    for (const look of this.#looks) if (look()) this.#looks.delete(look);
    if (this.#looks.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
