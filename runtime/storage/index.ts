export { LmdbStorage } from "./lmdb-storage.ts";
export { MemoryStorage } from "./memory-storage.ts";
export type { Entry, Outcome, Range, Storage, StoreChange } from "./storage.ts";
