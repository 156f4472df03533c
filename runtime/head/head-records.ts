// What a head keeps of its own so that the next one goes on where it ended: nodes, jobs, code, groups, and those actors that
// may be started again.
//
// Everything else is learnt anew from the agents. A record is kept by its kind and id; who acknowledges what it says waits for
// it first. Where nothing outlives the head, nothing is kept, and nobody waits.

import { failureOf, HeadUnavailableError, type TroupeError } from "../errors.ts";
import type { OpenStorage, StoreChange } from "../storage/index.ts";

export type RecordKind = "node" | "job" | "actor" | "group" | "code" | "hold";

/** `bytes` undefined: it is kept no longer. */
export interface RecordChange {
  readonly kind: RecordKind;
  readonly id: string;
  readonly bytes: Uint8Array | undefined;
}

/** When it is on the disk; undefined when there is nothing to wait for. */
export type Kept = Promise<void> | undefined;

const PREFIX = "head/";
const PAGE = 1000;

export class HeadRecords {
  readonly #storage: OpenStorage;
  readonly #failed: (error: TroupeError) => void;

  /** `failed`: what could not be written may have been acknowledged already, so that head must end. */
  constructor(storage: OpenStorage, failed: (error: TroupeError) => void) {
    this.#storage = storage;
    this.#failed = failed;
  }

  get lasting(): boolean {
    return this.#storage.lasting;
  }

  keep(kind: RecordKind, id: string, bytes: Uint8Array | undefined): Kept {
    return this.change([{ kind, id, bytes }]);
  }

  /** All of them or none. Later changes are never on the disk without earlier ones. */
  change(changes: readonly RecordChange[]): Kept {
    if (!this.lasting || changes.length === 0) return undefined;
    const written = changes.map(({ kind, id, bytes }): StoreChange => {
      const key = `${PREFIX}${kind}/${id}`;
      return bytes === undefined ? { kind: "delete", key } : { kind: "set", key, value: bytes };
    });
    const kept = this.#storage.commit(written).then(() => {}, (error: unknown) => {
      const why = new HeadUnavailableError(`the head can't write to its storage and ends: ${failureOf(error).text}`, {}, error);
      this.#failed(why);
      throw why;
    });
    // Who does not wait for it needs no word of it: the head ends.
    kept.catch(() => {});
    return kept;
  }

  /** Of one kind, in the order of their ids. */
  *all(kind: RecordKind): IterableIterator<readonly [id: string, bytes: Uint8Array]> {
    if (!this.lasting) return;
    const prefix = `${PREFIX}${kind}/`;
    for (let after: string | undefined; ;) {
      const page = this.#storage.scan({ prefix, after, limit: PAGE });
      for (const { key, value } of page) yield [key.slice(prefix.length), value];
      if (page.length < PAGE) return;
      after = page[page.length - 1].key;
    }
  }
}

/** The same for what nobody waits for. When it can't be kept, nobody is told: the head ends. */
export function onceKept(kept: Kept, then: () => void): void {
  if (kept === undefined) then();
  else kept.then(then, () => {});
}

/** At once when there is nothing to wait for. */
export function afterKept<T>(kept: Kept, then: () => T): T | Promise<T> {
  return kept === undefined ? then() : kept.then(then);
}
