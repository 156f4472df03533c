// Which times of which graphs have had their run. A time is claimed with the making of its run, in one step, so whoever serves
// graphs, however many they are and however often they begin anew, there is one run a time.

import { kv } from "../../sdk/index.ts";
import { tickKey } from "../journal/records.ts";

export interface Ticks {
  /** False when the time was claimed before. Only where runs are not kept; where they are, their journal claims it. */
  claim(dagId: string, at: Date): Promise<boolean>;
  /** A time was claimed: here, or by another who serves the graph. */
  passed(dagId: string, at: Date): Promise<void>;
  /** The newest time that was claimed. */
  last(dagId: string): Promise<Date | undefined>;
  /** Whether somebody has paused the graph, in this life or one before. */
  isPaused(dagId: string): Promise<boolean>;
  pause(dagId: string, paused: boolean): Promise<void>;
}

const lastKeyOf = (dagId: string): string => `dag/last/${dagId}`;
const pausedKeyOf = (dagId: string): string => `dag/paused/${dagId}`;
const LAST_TRIES = 100;

/** In the cluster's key-value store. */
export const clusterTicks: Ticks = {
  async claim(dagId, at) {
    return (await kv.get(tickKey(dagId, at))) === undefined;
  },
  async passed(dagId, at) {
    for (let tries = 0; tries < LAST_TRIES; tries += 1) {
      const last = await kv.get<Date>(lastKeyOf(dagId));
      if (last !== undefined && last >= at) break;
      if (await kv.cas(lastKeyOf(dagId), last, at)) break;
    }
  },
  last: (dagId) => kv.get<Date>(lastKeyOf(dagId)),
  isPaused: async (dagId) => (await kv.get(pausedKeyOf(dagId))) === true,
  pause: (dagId, paused) => (paused ? kv.set(pausedKeyOf(dagId), true) : kv.delete(pausedKeyOf(dagId))),
};

/** In this process, for tests. */
export class MemoryTicks implements Ticks {
  readonly #claimed = new Set<string>();
  readonly #last = new Map<string, Date>();
  readonly #paused = new Set<string>();

  async claim(dagId: string, at: Date): Promise<boolean> {
    if (this.#claimed.has(tickKey(dagId, at))) return false;
    this.#claimed.add(tickKey(dagId, at));
    return true;
  }

  async passed(dagId: string, at: Date): Promise<void> {
    const last = this.#last.get(dagId);
    if (last === undefined || at > last) this.#last.set(dagId, at);
  }

  async last(dagId: string): Promise<Date | undefined> {
    return this.#last.get(dagId);
  }

  async isPaused(dagId: string): Promise<boolean> {
    return this.#paused.has(dagId);
  }

  async pause(dagId: string, paused: boolean): Promise<void> {
    if (paused) this.#paused.add(dagId);
    else this.#paused.delete(dagId);
  }
}
