// The environments of one node: made once each, kept while a job or a worker needs them, as files below the session's folder.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { BlobStore } from "./blob-store.ts";
import { decodeDefinition, type BlobId, type EnvironmentDefinition } from "./definition.ts";
import { HeldFiles } from "./held-files.ts";

/** What a node keeps for nobody is removed, the longest unused first, when its environments take more than this. */
export const KEPT_BYTES_MAX = 8 * 1024 ** 3;

/** What a worker is told of the environment it is started in. */
export interface WorkerEnvironment {
  readonly id: BlobId;
  /** File of the definition. */
  readonly definition: string;
}

/** How a worker process is started in an environment. */
export interface Launch {
  readonly worker: WorkerEnvironment;
  readonly envVars: Readonly<Record<string, string>>;
  readonly nodeArgs: readonly string[];
}

export class EnvironmentSite {
  readonly blobs: BlobStore;
  readonly #held = new HeldFiles(KEPT_BYTES_MAX);
  /** Makings and removals of one thing, one after the other. */
  readonly #busy = new Map<string, Promise<unknown>>();

  constructor(folder: string) {
    this.blobs = new BlobStore(join(folder, "blobs"));
  }

  /** A piece of a blob, for a job that may need it. */
  async write(id: BlobId, offset: number, bytes: Uint8Array, total: number, holder: string): Promise<number> {
    const have = await this.blobs.write(id, offset, bytes, total);
    if (have === total) this.#keepBlob(id, holder);
    return have;
  }

  /** Makes what is missing of an environment and holds all of it. `fetch` brings a blob here. */
  async make(id: BlobId, holder: string, fetch: (id: BlobId) => Promise<void>): Promise<Launch> {
    await this.#blob(id, holder, fetch);
    const definition = await this.#definition(id);
    const { envVars = {}, nodeArgs = [] } = definition;
    return { worker: { id, definition: this.blobs.pathOf(id) }, envVars, nodeArgs };
  }

  /** Also for `holder`: an environment that was made. */
  hold(id: BlobId, holder: string): void {
    this.#held.hold(blobKey(id), holder);
  }

  isHeld(id: BlobId): boolean {
    return this.#held.isHeld(blobKey(id));
  }

  release(holder: string): void {
    this.#held.release(holder);
    for (const key of this.#held.takeSurplus()) void this.#alone(key, () => this.#remove(key));
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  async #definition(id: BlobId): Promise<EnvironmentDefinition> {
    return decodeDefinition(await readFile(this.blobs.pathOf(id)));
  }

  #blob(id: BlobId, holder: string, fetch: (id: BlobId) => Promise<void>): Promise<void> {
    return this.#alone(blobKey(id), async () => {
      if (this.blobs.sizeOf(id) === undefined) await fetch(id);
      this.#keepBlob(id, holder);
    });
  }

  #keepBlob(id: BlobId, holder: string): void {
    this.#held.keep(blobKey(id), this.blobs.sizeOf(id) ?? 0);
    this.#held.hold(blobKey(id), holder);
  }

  async #remove(key: string): Promise<void> {
    if (key.startsWith(BLOB)) await this.blobs.remove(key.slice(BLOB.length));
  }

  /** One at a time for each key. */
  #alone<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#busy.get(key) ?? Promise.resolve();
    const working = before.then(work, work);
    this.#busy.set(key, working);
    const done = () => {
      if (this.#busy.get(key) === working) this.#busy.delete(key);
    };
    working.then(done, done);
    return working;
  }
}

const BLOB = "blob:";

function blobKey(id: BlobId): string {
  return BLOB + id;
}
