// Learns from the garbage collector that handles are gone.
//
// Handles that were decoded together form one group and cost one registration, so a value with 10,000 refs is one. A handle that
// is released by hand leaves its group at once. Finalizers run late (after a major collection) and never inside a synchronous
// stretch: whoever needs promptness releases.

import type { Finalizers } from "../equipment.ts";
import type { ObjectEntry } from "./object-ref.ts";

/** Counted handles that are registered as one. The handles point to it; it does not point to them. */
export class HandleGroup {
  readonly entries: (ObjectEntry | undefined)[];

  constructor(entries: (ObjectEntry | undefined)[]) {
    this.entries = entries;
  }
}

export class HandleRegistry {
  readonly #collected: ReturnType<Finalizers>;

  /** `dropped` is called once for every counted handle that is gone. */
  constructor(finalizers: Finalizers, dropped: (entry: ObjectEntry) => void) {
    this.#collected = finalizers((entries: (ObjectEntry | undefined)[]) => {
      for (const entry of entries) if (entry !== undefined) dropped(entry);
    });
  }

  /** A group for handles that the caller is about to make; it fills `entries` in the same turn. */
  group(entries: (ObjectEntry | undefined)[]): HandleGroup {
    const group = new HandleGroup(entries);
    this.#collected.register(group, entries);
    return group;
  }

  /** Takes one handle of `entry` out of its group: it was released by hand. */
  leave(group: HandleGroup, entry: ObjectEntry): void {
    const index = group.entries.indexOf(entry);
    if (index >= 0) group.entries[index] = undefined;
  }
}
