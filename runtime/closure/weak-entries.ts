// Contents of WeakMaps and WeakSets. An entry is seen only through its key, so it travels when its key travels for another
// reason.

import type { Capture } from "./capture.ts";
import type { ObjectBuild, Slot } from "./payload.ts";
import { memberStep, type Trail } from "./refusal.ts";

export interface WeakHolder {
  /** Entries of the payload: grows while keys are found. */
  readonly entries: [number, Slot][];
  readonly waiting: Map<WeakKey, unknown>;
  readonly trail: Trail;
}

export function weakBuild(capture: Capture, value: WeakMap<WeakKey, unknown> | WeakSet<WeakKey>, trail: Trail): ObjectBuild {
  const entries: [number, Slot][] = [];
  capture.weak.push({ entries, waiting: new Map(capture.parts.inspector().weakEntries(value)), trail });
  return { as: value instanceof WeakMap ? "weakmap" : "weakset", entries };
}

/** Takes in entries whose keys were captured by now; true when there were any: their values may bring new keys. */
export function takeWeakEntries(capture: Capture): boolean {
  let isTaken = false;
  for (const { entries, waiting, trail } of capture.weak) {
    const found: [number, WeakKey][] = [];
    for (const key of waiting.keys()) {
      const index = capture.indexOf(key);
      if (index !== undefined) found.push([index, key]);
    }
    // V8's order differs from process to process; equal code has equal bytes.
    for (const [index, key] of found.sort(([a], [b]) => a - b)) {
      entries.push([index, capture.slot(waiting.get(key), memberStep(trail, "entry"))]);
      waiting.delete(key);
      isTaken = true;
    }
  }
  return isTaken;
}
