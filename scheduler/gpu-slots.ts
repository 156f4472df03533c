// Which GPUs of a node a lease or actor has. The pool says whether there is enough; here it is said of which.
//
// Parts of a GPU go where something is taken already, so that whole ones stay free. When only parts of several are left, what
// asks for more than any of them has is put on the one with most room.

import { UNITS_PER_ONE } from "./resources.ts";

export class GpuSlots {
  /** Taken of each. */
  readonly #taken: number[];

  constructor(total: number) {
    this.#taken = Array.from({ length: Math.ceil(total / UNITS_PER_ONE) }, () => 0);
  }

  /** Their numbers, from 0, in order. */
  take(units: number): readonly number[] {
    if (units === 0 || this.#taken.length === 0) return NONE;
    const count = Math.min(this.#taken.length, Math.ceil(units / UNITS_PER_ONE));
    const byRoom = [...this.#taken.keys()].sort((one, other) => this.#taken[one] - this.#taken[other] || one - other);
    const fitting = units < UNITS_PER_ONE ? byRoom.filter((id) => this.#taken[id] + units <= UNITS_PER_ONE).at(-1) : undefined;
    const fullest = fitting === undefined ? undefined : byRoom.find((id) => this.#taken[id] === this.#taken[fitting]);
    const ids = fullest === undefined ? byRoom.slice(0, count).sort((one, other) => one - other) : [fullest];
    for (const id of ids) this.#taken[id] += units / ids.length;
    return ids;
  }

  give(ids: readonly number[], units: number): void {
    for (const id of ids) this.#taken[id] = Math.max(0, this.#taken[id] - units / ids.length);
  }
}

const NONE: readonly number[] = [];
