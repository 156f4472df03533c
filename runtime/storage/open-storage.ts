// A storage that one head has taken over: every commit carries its epoch.

import type { Entry, Outcome, Range, Storage, StoreChange } from "./storage.ts";

export class OpenStorage {
  readonly #storage: Storage;
  readonly epoch: number;

  private constructor(storage: Storage, epoch: number) {
    this.#storage = storage;
    this.epoch = epoch;
  }

  static async open(storage: Storage): Promise<OpenStorage> {
    return new OpenStorage(storage, await storage.open());
  }

  get lasting(): boolean {
    return this.#storage.lasting;
  }

  get folder(): string {
    return this.#storage.folder;
  }

  get(key: string): Uint8Array | undefined {
    return this.#storage.get(key);
  }

  scan(range: Range): Entry[] {
    return this.#storage.scan(range);
  }

  commit(changes: readonly StoreChange[]): Promise<Outcome> {
    return this.#storage.commit(this.epoch, changes);
  }

  close(): Promise<void> {
    return this.#storage.close();
  }
}
