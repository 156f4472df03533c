// Brings objects that have a value into this node's store, for a wait that asks for them there.

import { Deque, once } from "../../core/index.ts";
import { ObjectLostError } from "../../errors.ts";
import type { Borrowing } from "./borrowing.ts";
import { heldRef, isOpen, type ObjectEntry } from "./object-ref.ts";
import type { Recovery } from "../recovery/recovery.ts";
import type { StoredObjects } from "./stored-objects.ts";
import type { Waiting } from "./waiting.ts";

/** An object that is said to be there, and is not, so often is left to `get`, which says so. */
const LOSSES_MAX = 10;

export interface BringingParts {
  readonly stored: StoredObjects;
  readonly waiting: Waiting;
  readonly borrowing: Borrowing;
  readonly recovery: Pick<Recovery, "missing">;
}

export class Bringing {
  readonly #parts: BringingParts;
  readonly #underway = new Map<ObjectEntry, Promise<void>>();

  constructor(parts: BringingParts) {
    this.#parts = parts;
  }

  /** It can be read at once; what has failed has no bytes to bring. */
  isHere(entry: ObjectEntry): boolean {
    if (isOpen(entry)) return false;
    const stored = entry.state === "ready" ? entry.value?.stored : undefined;
    return !stored || this.#parts.stored.isHere(stored);
  }

  /** Resolves when it is, or can't be brought: whoever reads it hears why. */
  bring(entry: ObjectEntry): Promise<void> {
    return once(this.#underway, entry, () => this.#bring(entry));
  }

  /** Brings what it is given, so many at once, and tells of each; until its end. */
  crew(atOnce: number, brought: (entry: ObjectEntry) => void): { bring(entry: ObjectEntry): void; end(): void } {
    const waiting = new Deque<ObjectEntry>();
    let underway = 0;
    let isOver = false;
    const next = () => {
      while (!isOver && underway < atOnce) {
        const entry = waiting.popFront();
        if (entry === undefined) return;
        underway += 1;
        void this.bring(entry).then(() => {
          underway -= 1;
          if (!isOver) brought(entry);
          next();
        });
      }
    };
    return {
      bring: (entry) => {
        waiting.pushBack(entry);
        next();
      },
      end: () => (isOver = true),
    };
  }

  async #bring(entry: ObjectEntry): Promise<void> {
    const { stored, waiting, borrowing, recovery } = this.#parts;
    for (let losses = 0; losses < LOSSES_MAX && !this.isHere(entry); losses += 1) {
      if (isOpen(entry)) await waiting.settled(entry, (one) => borrowing.want(one)).catch(() => {});
      const place = entry.state === "ready" ? entry.value?.stored : undefined;
      if (!place) return;
      try {
        return await stored.bring(heldRef(entry), place);
      } catch (error) {
        if (!(error instanceof ObjectLostError)) return;
        recovery.missing(entry, place, error.message);
      }
    }
  }
}
