// An attempt whose result is kept in a store: it is durable before the task is done, and used again for the same key.

import type { DagTaskOptions } from "../graph/options.ts";
import type { Store } from "../stores/store.ts";
import type { Order } from "./attempt.ts";
import { readCache, type SafeResult, storeOf, writeCache, writeCheckpoint } from "./checkpoint.ts";

export interface Keeping {
  /** As it is drawn in the graph, whichever instance of it runs. */
  readonly taskId: string;
  readonly store: Store;
  readonly cacheKey: string | ((...args: never[]) => string | undefined) | undefined;
}
type Code = (...args: never[]) => unknown;

/** Undefined for tasks whose results are not kept. */
export function keepingOf(
  taskId: string, { checkpoint, cacheKey }: Pick<DagTaskOptions, "checkpoint" | "cacheKey">,
): Keeping | undefined {
  if ((checkpoint === undefined || checkpoint === false) && cacheKey === undefined) return undefined;
  return { taskId, store: storeOf(checkpoint || true), cacheKey };
}

export class KeptAttempt {
  readonly #keeping: Keeping;
  readonly #order: Order;
  #key: string | undefined;
  #found: SafeResult | undefined;
  /** What a key made of the arguments says holds for every instance; a text can't tell one instance from another. */
  readonly #cachedAs: string;
  /** The task's own, unless the result is there already. */
  readonly code: Code;

  constructor(keeping: Keeping, fn: Code, order: Order) {
    this.#keeping = keeping;
    this.#order = order;
    this.#cachedAs = typeof keeping.cacheKey === "function" ? keeping.taskId : order.task.id;
    this.code = async (...args) => {
      const { cacheKey } = keeping;
      this.#key = typeof cacheKey === "function" ? cacheKey(...args) : cacheKey;
      const known = this.#key === undefined ? undefined : await readCache(this.#cachedAs, this.#key);
      this.#found = known?.result;
      return known === undefined ? fn(...args) : known.value;
    };
  }

  async keep(value: unknown): Promise<SafeResult & { readonly cached?: true }> {
    if (this.#found !== undefined) return { ...this.#found, cached: true };
    const { run, task } = this.#order;
    const result = await writeCheckpoint(this.#keeping.store, `${run.dagId}/${run.id}/${task.id}`, value);
    if (this.#key !== undefined) await writeCache(this.#cachedAs, this.#key, result);
    return result;
  }
}
