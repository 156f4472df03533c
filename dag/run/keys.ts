// The cluster's key-value store as the code of tasks sees it: in graphs that are tested without a cluster, memory of this
// process takes its place.

import { AsyncLocalStorage } from "node:async_hooks";
import { isDeepStrictEqual } from "node:util";
import { kv } from "../../sdk/index.ts";

export interface Keys {
  get<T>(key: string): Promise<T | undefined>;
  set(key: string, value: unknown): Promise<void>;
  cas(key: string, expected: unknown, value: unknown): Promise<boolean>;
}

class MemoryKeys implements Keys {
  readonly #values = new Map<string, unknown>();

  async get<T>(key: string): Promise<T | undefined> {
    return structuredClone(this.#values.get(key)) as T | undefined;
  }

  async set(key: string, value: unknown): Promise<void> {
    this.#values.set(key, structuredClone(value));
  }

  async cas(key: string, expected: unknown, value: unknown): Promise<boolean> {
    if (!isDeepStrictEqual(this.#values.get(key), expected)) return false;
    await this.set(key, value);
    return true;
  }
}

const places = new AsyncLocalStorage<Keys>();
const memory = new MemoryKeys();

export function keys(): Keys {
  return places.getStore() ?? kv;
}

export function isWithoutCluster(): boolean {
  return places.getStore() !== undefined;
}

/** What `act` does asks no cluster. */
export function withoutCluster<T>(act: () => T): T {
  return places.run(memory, act);
}
