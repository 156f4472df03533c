import { LmdbStorage, type LmdbOptions } from "./lmdb-storage.ts";
import { MemoryStorage } from "./memory-storage.ts";
import { OpenStorage } from "./open-storage.ts";

export { LmdbStorage, MemoryStorage, OpenStorage };
export type { Entry, Outcome, Range, Storage, StoreChange } from "./storage.ts";

/** Where a head keeps what outlives it: a folder, or with "" nowhere. */
export function openStorage(folder: string, options: LmdbOptions = {}): Promise<OpenStorage> {
  return OpenStorage.open(folder === "" ? new MemoryStorage() : new LmdbStorage(folder, options));
}
