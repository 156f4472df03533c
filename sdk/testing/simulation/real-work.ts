// Finds what a simulation must not do: timers, files, sockets of the real world, which no seed can repeat.

import { AsyncLocalStorage, createHook } from "node:async_hooks";
import { InvalidArgumentError } from "../../../runtime/errors.ts";

/** Kinds of asynchronous resources that are of the language alone. */
const OF_THE_LANGUAGE = new Set(["PROMISE", "TickObject", "Microtask", "AsyncGenerator", "bound-anonymous-fn"]);

export class RealWork {
  readonly #inside = new AsyncLocalStorage<RealWork>();
  readonly #found = new Set<string>();
  readonly #hook = createHook({
    init: (_id, kind) => {
      if (!OF_THE_LANGUAGE.has(kind) && this.#inside.getStore() === this) this.#found.add(kind);
    },
  });

  constructor() {
    this.#hook.enable();
  }

  /** What this starts belongs to the simulation, also what it does later. */
  inside<T>(code: () => T): T {
    return this.#inside.run(this, code);
  }

  close(): void {
    this.#hook.disable();
  }

  refuse(): void {
    if (this.#found.size === 0) return;
    const kinds = [...this.#found].sort().join(", ");
    throw new InvalidArgumentError(`code inside the simulation did real work, which no seed can repeat: ${kinds}`);
  }
}
