// Objects that were brought into the memory for a reader, held until it has pinned them itself.

import type { Clock, Timer } from "../../seams.ts";
import type { ObjectHandle, ReadableObject, StoreClient } from "../../store/index.ts";

/** A reader that does not come within this time asks again. */
const HOLD_MS = 2000;

interface Hold {
  readonly reader: number;
  readonly object: ReadableObject;
  readonly timer: Timer;
}

export class HeldObjects {
  readonly #clock: Clock;
  readonly #client: StoreClient;
  readonly #holds = new Map<string, Hold>();

  constructor(clock: Clock, client: StoreClient) {
    this.#clock = clock;
    this.#client = client;
  }

  /** False when the object is not in the memory. */
  hold(reader: number, handle: ObjectHandle): boolean {
    const key = keyOf(reader, handle);
    const object = this.#client.open(handle);
    if (object === undefined) return false;
    this.#end(key);
    this.#holds.set(key, { reader, object, timer: this.#clock.after(HOLD_MS, () => this.#end(key)) });
    return true;
  }

  /** Safe to call twice. */
  opened(reader: number, handle: ObjectHandle): void {
    this.#end(keyOf(reader, handle));
  }

  readerGone(reader: number): void {
    for (const [key, hold] of [...this.#holds]) if (hold.reader === reader) this.#end(key);
  }

  #end(key: string): void {
    const hold = this.#holds.get(key);
    if (hold === undefined) return;
    this.#holds.delete(key);
    hold.timer.cancel();
    hold.object.release();
  }
}

function keyOf(reader: number, { slot, generation }: ObjectHandle): string {
  return `${reader}/${slot}/${generation}`;
}
