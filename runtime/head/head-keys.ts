// The cluster's key-value store, as the head answers for it: limits, and one commit after the other.

import { InvalidArgumentError } from "../errors.ts";
import type { OpenStorage, StoreChange } from "../storage/index.ts";
import type { AnswerBody, CallContext, CommitKeys, ReadKeys } from "../transport/index.ts";

/** A key's UTF-8 bytes; LMDB takes keys of up to 1978. */
const KEY_BYTES = 1024;
const VALUE_BYTES = 1024 * 1024;
const COMMIT_BYTES = 16 * 1024 * 1024;
const COMMIT_CHANGES = 10_000;
/** Of one answer; who wants more asks on from its last key. */
const ANSWER_BYTES = 4 * 1024 * 1024;
/** Keys of users lie beside what the head itself may keep. */
const PREFIX = "kv/";
/** Conditional batches that were applied: one that is asked again, of a later head too, is not refused for its own effect. */
const APPLIED = "applied/";
const APPLIED_KEPT = 4096;
/** Where the storage lies: read by graphs, which keep files beside it. Its value is the path itself, not an encoded one. */
const FOLDER_KEY = "troupe/storage";
const NOTHING = new Uint8Array(0);

export class HeadKeys {
  readonly #storage: OpenStorage;

  readonly #applied: string[];

  constructor(storage: OpenStorage) {
    this.#storage = storage;
    this.#applied = storage.scan({ prefix: APPLIED, limit: APPLIED_KEPT }).map(({ key }) => key);
  }

  async commit({ changes }: CommitKeys, { origin, id, attempt }: CallContext): Promise<AnswerBody> {
    const bytes = changes.reduce((sum, { value }) => sum + value.length, 0);
    if (changes.length > COMMIT_CHANGES || bytes > COMMIT_BYTES) {
      throw new InvalidArgumentError(
        `kv: a batch may have ${COMMIT_CHANGES} changes and ${COMMIT_BYTES} bytes, not ${changes.length} and ${bytes}: ` +
        "make several",
      );
    }
    const written = changes.map(changeOf);
    if (this.#storage.lasting && changes.some(({ kind }) => kind === "check")) {
      const key = `${APPLIED}${origin} ${id}`;
      if (attempt > 1 && this.#storage.get(key) !== undefined) return { committed: { applied: true, refused: "" } };
      written.push({ kind: "set", key, value: NOTHING }, ...this.#forgotten());
      this.#applied.push(key);
    }
    const refused = await this.#storage.commit(written);
    return { committed: { applied: refused === undefined, refused: refused?.slice(PREFIX.length) ?? "" } };
  }

  #forgotten(): StoreChange[] {
    const oldest = this.#applied.length >= APPLIED_KEPT ? this.#applied.shift() : undefined;
    return oldest === undefined ? [] : [{ kind: "delete", key: oldest }];
  }

  read({ key, exact, after, limit }: ReadKeys): AnswerBody {
    if (exact && key === FOLDER_KEY) return { entries: { entries: [{ key, value: Buffer.from(this.#storage.folder) }] } };
    if (exact) {
      const value = this.#storage.get(keyOf(key));
      return { entries: { entries: value === undefined ? [] : [{ key, value }] } };
    }
    const from = after === "" ? undefined : PREFIX + after;
    const entries: { key: string; value: Uint8Array }[] = [];
    let bytes = 0;
    const most = Math.min(Math.max(limit, 1), COMMIT_CHANGES);
    for (const entry of this.#storage.scan({ prefix: PREFIX + key, after: from, limit: most })) {
      bytes += entry.value.length;
      if (entries.length > 0 && bytes > ANSWER_BYTES) break;
      entries.push({ key: entry.key.slice(PREFIX.length), value: entry.value });
    }
    return { entries: { entries } };
  }
}

function keyOf(key: string): string {
  const bytes = Buffer.byteLength(key);
  if (bytes > 0 && bytes <= KEY_BYTES) return PREFIX + key;
  throw new InvalidArgumentError(`kv: a key has from 1 to ${KEY_BYTES} bytes, not ${bytes}`);
}

function changeOf({ kind, key, value, exists }: CommitKeys["changes"][number]): StoreChange {
  const name = keyOf(key);
  if (kind === "delete") return { kind, key: name };
  if (kind === "check") return { kind, key: name, value: exists ? value : undefined };
  if (kind !== "set") throw new InvalidArgumentError(`kv: a change is a check, set or delete, not ${kind}`);
  if (value.length > VALUE_BYTES) {
    const text = `kv: the value of ${key} has ${value.length} bytes; at most ${VALUE_BYTES}`;
    throw new InvalidArgumentError(`${text}: put() large ones and keep the ref`);
  }
  return { kind, key: name, value };
}
