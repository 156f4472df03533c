// Where services that serve the same graphs agree on who makes the next run: a place on the board changes hands with the making
// of the run, in one step, so one of them makes it.

import { isDeepStrictEqual } from "node:util";
import { kv } from "../../sdk/index.ts";
import { isOver, type RunState } from "../engine/states.ts";
import { recordKey } from "../journal/records.ts";
import { runs } from "../run/run-registry.ts";
import { eventsAfter, newestNumber, type Numbered } from "../time/asset-log.ts";
import type { AssetEvent } from "../time/assets.ts";

/** What is to be there before a run is made, and is there after. */
export interface Turn {
  readonly key: string;
  readonly before: unknown;
  readonly after: (runId: string) => unknown;
}

/** How a run stands. */
export interface Standing {
  readonly state: RunState;
  readonly endedAt?: Date | undefined;
}

export interface Board {
  get<T>(key: string): Promise<T | undefined>;
  cas(key: string, before: unknown, after: unknown): Promise<boolean>;
  /** Undefined when nothing is known of it any more. */
  standing(runId: string): Promise<Standing | undefined>;
  newestNumber(): Promise<number>;
  eventsAfter(number: number): Promise<readonly Numbered[]>;
}

export const continuousKey = (dagId: string): string => `dag/continuous/${dagId}`;

export const clusterBoard: Board = {
  get: kv.get, cas: kv.cas, newestNumber, eventsAfter,
  standing: (runId) => kv.get<Standing>(recordKey(runId)),
};

/** In this process, for tests. */
export class MemoryBoard implements Board {
  readonly #values = new Map<string, unknown>();
  readonly #events: Numbered[] = [];

  async get<T>(key: string): Promise<T | undefined> {
    return this.#values.get(key) as T | undefined;
  }

  async cas(key: string, before: unknown, after: unknown): Promise<boolean> {
    if (!isDeepStrictEqual(this.#values.get(key), before)) return false;
    this.#values.set(key, after);
    return true;
  }

  async standing(runId: string): Promise<Standing | undefined> {
    const run = runs.find(runId);
    return run && { state: run.state, endedAt: run.endedAt };
  }

  async newestNumber(): Promise<number> {
    return this.#events.length;
  }

  async eventsAfter(number: number): Promise<readonly Numbered[]> {
    return this.#events.slice(number);
  }

  heard(event: AssetEvent): void {
    this.#events.push([this.#events.length + 1, event]);
  }
}

export function isOpen(standing: Standing | undefined): boolean {
  return standing !== undefined && !isOver(standing.state);
}
