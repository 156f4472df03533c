// A store in a folder, with LMDB behind it: a batch is answered when it is on the disk. Batches that arrive while one is
// written are written together.

import { mkdir } from "node:fs/promises";
import type { RootDatabase } from "lmdb";
import { holds } from "./memory-storage.ts";
import { type Entry, fenced, type Outcome, type Range, type Storage, type StoreChange } from "./storage.ts";

/** Before every key of a user of the store, so that what is the store's own lies beside them. */
const KEYS = Buffer.from("k/");
const EPOCH = Buffer.from("m/epoch");
/** After every key that begins with another: no UTF-8 text has this byte. */
const AFTER_ALL = Buffer.from([0xff]);

const keyOf = (key: string): Buffer => Buffer.concat([KEYS, Buffer.from(key)]);

export interface LmdbOptions {
  /** False: what was answered outlives its process, but not the machine. Default true. */
  readonly synced?: boolean;
}

export class LmdbStorage implements Storage {
  readonly lasting = true;
  readonly folder: string;
  readonly #synced: boolean;
  #env: RootDatabase<Buffer, Buffer> | undefined;

  constructor(folder: string, { synced = true }: LmdbOptions = {}) {
    this.folder = folder;
    this.#synced = synced;
  }

  async open(): Promise<number> {
    const { open } = await import("lmdb");
    // The token of the cluster lies here, and what its users keep.
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    this.#env = open<Buffer, Buffer>({
      path: this.folder, encoding: "binary", keyEncoding: "binary", overlappingSync: false, noSync: !this.#synced,
    });
    const env = this.#env;
    return env.transaction(() => {
      const epoch = epochIn(env) + 1;
      env.put(EPOCH, Buffer.from(String(epoch)));
      return epoch;
    });
  }

  get(key: string): Uint8Array | undefined {
    return this.#opened.get(keyOf(key));
  }

  scan({ prefix, after, limit }: Range): Entry[] {
    const [start, end] = [keyOf(prefix), Buffer.concat([keyOf(prefix), AFTER_ALL])];
    const from = after === undefined ? start : keyOf(after);
    const begins = Buffer.compare(from, start) > 0 ? from : start;
    const entries: Entry[] = [];
    for (const { key, value } of this.#opened.getRange({ start: begins, end })) {
      if (entries.length >= limit) break;
      if (after !== undefined && key.equals(from)) continue;
      entries.push({ key: key.subarray(KEYS.length).toString(), value });
    }
    return entries;
  }

  async commit(epoch: number, changes: readonly StoreChange[]): Promise<Outcome> {
    const env = this.#opened;
    return env.transaction((): Outcome => {
      if (epochIn(env) !== epoch) throw fenced();
      for (const change of changes) {
        if (change.kind === "check" && !holds(change, env.get(keyOf(change.key)))) return change.key;
      }
      for (const change of changes) {
        if (change.kind === "set") env.put(keyOf(change.key), Buffer.from(change.value));
        else if (change.kind === "delete") env.remove(keyOf(change.key));
      }
      return undefined;
    });
  }

  async close(): Promise<void> {
    await this.#env?.close();
  }

  get #opened(): RootDatabase<Buffer, Buffer> {
    if (this.#env === undefined) throw new Error("the storage is used before it is open");
    return this.#env;
  }
}

function epochIn(env: RootDatabase<Buffer, Buffer>): number {
  return Number(env.get(EPOCH)?.toString() ?? 0);
}
