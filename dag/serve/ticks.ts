// Which times of which graphs have had their run: claimed before the run is made, so that whoever serves them, and however
// often it is begun anew, makes one run a time.

import { kv } from "../../sdk/index.ts";

export interface Ticks {
  /** False when the time was claimed before. */
  claim(dagId: string, at: Date): Promise<boolean>;
  ended(dagId: string, at: Date, state: string): Promise<void>;
  /** The newest time that was claimed. */
  last(dagId: string): Promise<Date | undefined>;
  /** Times that were claimed, and whose runs did not end. */
  open(dagId: string): Promise<Date[]>;
  /** Whether somebody has paused the graph, in this life or one before. */
  isPaused(dagId: string): Promise<boolean>;
  pause(dagId: string, paused: boolean): Promise<void>;
}

interface Tick {
  readonly state: string;
}

const keyOf = (dagId: string, at?: Date): string => `dag/tick/${dagId}/${at?.toISOString() ?? ""}`;
const lastKeyOf = (dagId: string): string => `dag/last/${dagId}`;
const pausedKeyOf = (dagId: string): string => `dag/paused/${dagId}`;
const LAST_TRIES = 100;

/** In the cluster's key-value store. */
export const clusterTicks: Ticks = {
  async claim(dagId, at) {
    if (!(await kv.cas(keyOf(dagId, at), undefined, { state: "running" } satisfies Tick))) return false;
    for (let tries = 0; tries < LAST_TRIES; tries += 1) {
      const last = await kv.get<Date>(lastKeyOf(dagId));
      if (last !== undefined && last >= at) break;
      if (await kv.cas(lastKeyOf(dagId), last, at)) break;
    }
    return true;
  },
  async ended(dagId, at, state) {
    await kv.set(keyOf(dagId, at), { state } satisfies Tick);
  },
  last: (dagId) => kv.get<Date>(lastKeyOf(dagId)),
  async open(dagId) {
    const found: Date[] = [];
    for await (const [key, { state }] of kv.scan<Tick>(keyOf(dagId))) {
      if (state === "running") found.push(new Date(key.slice(keyOf(dagId).length)));
    }
    return found;
  },
  isPaused: async (dagId) => (await kv.get(pausedKeyOf(dagId))) === true,
  pause: (dagId, paused) => (paused ? kv.set(pausedKeyOf(dagId), true) : kv.delete(pausedKeyOf(dagId))),
};

/** In this process, for tests. */
export class MemoryTicks implements Ticks {
  readonly #states = new Map<string, { readonly at: Date; state: string }>();
  readonly #paused = new Set<string>();

  async claim(dagId: string, at: Date): Promise<boolean> {
    if (this.#states.has(keyOf(dagId, at))) return false;
    this.#states.set(keyOf(dagId, at), { at, state: "running" });
    return true;
  }

  async ended(dagId: string, at: Date, state: string): Promise<void> {
    this.#states.set(keyOf(dagId, at), { at, state });
  }

  async isPaused(dagId: string): Promise<boolean> {
    return this.#paused.has(dagId);
  }

  async pause(dagId: string, paused: boolean): Promise<void> {
    if (paused) this.#paused.add(dagId);
    else this.#paused.delete(dagId);
  }

  async last(dagId: string): Promise<Date | undefined> {
    return this.#of(dagId).reduce<Date | undefined>((last, { at }) => (last === undefined || at > last ? at : last), undefined);
  }

  async open(dagId: string): Promise<Date[]> {
    return this.#of(dagId).filter(({ state }) => state === "running").map(({ at }) => at);
  }

  #of(dagId: string): { readonly at: Date; readonly state: string }[] {
    return [...this.#states].filter(([key]) => key.startsWith(keyOf(dagId))).map(([, tick]) => tick);
  }
}
