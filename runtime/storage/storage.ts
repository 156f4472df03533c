// What outlives a head: an ordered map of texts to bytes that changes by atomic, conditional, fenced batches.
//
// Whoever opens a store takes it over: its epoch is raised, durably, and every batch of an earlier opener is refused from
// then on. A batch that was answered is kept, whatever dies.

import { HeadUnavailableError } from "../errors.ts";

export type StoreChange =
  /** Holds when the key has this value; without one, when it has none. */
  | { readonly kind: "check"; readonly key: string; readonly value?: Uint8Array | undefined }
  | { readonly kind: "set"; readonly key: string; readonly value: Uint8Array }
  | { readonly kind: "delete"; readonly key: string };

export interface Entry {
  readonly key: string;
  readonly value: Uint8Array;
}

export interface Range {
  readonly prefix: string;
  /** Only keys after this one. */
  readonly after?: string | undefined;
  readonly limit: number;
}

/** Undefined when all of it was applied; otherwise the key whose check did not hold, and nothing was. */
export type Outcome = string | undefined;

export interface Storage {
  /** What was answered is there for whoever opens it next. */
  readonly lasting: boolean;
  /** Where that is; "" for what does not last. */
  readonly folder: string;
  /** Takes the store over, and gives the new epoch. Called once. */
  open(): Promise<number>;
  get(key: string): Uint8Array | undefined;
  /** In the order of the keys' UTF-8 bytes. */
  scan(range: Range): Entry[];
  /** @throws HeadUnavailableError when another opener has taken the store over. */
  commit(epoch: number, changes: readonly StoreChange[]): Promise<Outcome>;
  close(): Promise<void>;
}

export function fenced(): HeadUnavailableError {
  return new HeadUnavailableError("another head has taken over the storage of this cluster: this one can't write any more");
}
