// The runtime environments that this process's work runs in: its own, which its tasks and actors inherit, and those it makes
// for them.
//
// Making one packs and sends what the agent does not have yet, so it takes a while: work that needs it waits in its pool. What
// can be wrong is told to that work, and a later call of the same kind tries again.

import { existsSync, readFileSync, realpathSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import {
  blobIdOf, decodeDefinition, encodeDefinition, fileNames, folderUrl, mergeDefinitions, packFolder, PIECE_BYTES_MAX,
  type BlobId, type EnvironmentDefinition, type WorkerEnvironment,
} from "../environment/index.ts";

/** As users ask for one, checked. */
export interface EnvironmentRequest {
  readonly envVars?: Readonly<Record<string, string>> | undefined;
  readonly nodeArgs?: readonly string[] | undefined;
  /** `path` is absolute. */
  readonly workingDir?: { readonly path: string; readonly maxBytes: number } | undefined;
}

/** What the work of one scheduling class runs in. */
export interface EnvironmentUse {
  /** "" for none; undefined until everything of it is with the agent. */
  readonly id: string | undefined;
  /** Sees to that. */
  prepare(): Promise<string>;
}

/** Sends a piece of a blob to the agent; answers how many bytes of the blob it has. */
type Write = (piece: {
  readonly blob: BlobId; readonly offset: number; readonly bytes: Uint8Array; readonly total: number;
}) => Promise<{ readonly total: number }>;

export class Environments {
  readonly #started: WorkerEnvironment | undefined;
  readonly #write: Write;
  readonly #uses = new Map<string, EnvironmentUse>();
  #own: EnvironmentUse;
  #definition: EnvironmentDefinition | undefined;

  /** `started`: what this process was started in; undefined for none, and for a driver. */
  constructor(started: WorkerEnvironment | undefined, write: Write) {
    this.#started = started;
    this.#write = write;
    this.#own = ready(started?.id ?? "");
  }

  /** What work runs in that asks for nothing else. */
  get own(): EnvironmentUse {
    return this.#own;
  }

  /** A driver's own: its job's. */
  async adopt(request: EnvironmentRequest): Promise<void> {
    const definition = await this.#define(request);
    this.#own = ready(await this.#send(definition));
    this.#definition = definition;
  }

  /** What work runs in that asks for this beside what it inherits. */
  use(request: EnvironmentRequest | undefined): EnvironmentUse {
    if (request === undefined) return this.#own;
    const key = this.keyOf(request);
    let use = this.#uses.get(key);
    if (use === undefined) {
      use = new RequestedUse(async () => this.#send(await this.#define(request)));
      this.#uses.set(key, use);
    }
    return use;
  }

  /** Equal for requests that ask for the same. */
  keyOf(request: EnvironmentRequest | undefined): string {
    return request === undefined ? "" : JSON.stringify(request);
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #inherited(): EnvironmentDefinition {
    this.#definition ??= this.#started === undefined ? {} : decodeDefinition(readFileSync(this.#started.definition));
    return this.#definition;
  }

  async #define({ envVars, nodeArgs, workingDir }: EnvironmentRequest): Promise<EnvironmentDefinition> {
    const folder = workingDir === undefined ? {} : await this.#pack(workingDir.path, workingDir.maxBytes);
    return mergeDefinitions(this.#inherited(), { envVars, nodeArgs, ...folder });
  }

  /** Packs a folder and sends it. The copy that this worker runs in is not packed again. */
  async #pack(path: string, maxBytes: number): Promise<Pick<EnvironmentDefinition, "origin" | "workingDir">> {
    const files = this.#started?.files;
    const names = files && fileNames(files);
    const there = names === undefined ? path : pathOf(names.here(pathToFileURL(`${path}/`).href));
    if (files?.folder !== undefined && isSameFolder(there, files.folder)) return {};
    const { blob, bytes, slice } = await packFolder(there, maxBytes);
    await this.#upload(blob, bytes, slice);
    const url = folderUrl(there);
    return { origin: names?.origin(url) ?? url, workingDir: { blob, bytes } };
  }

  /** Its id, when the agent has it. */
  async #send(definition: EnvironmentDefinition): Promise<string> {
    const bytes = encodeDefinition(definition);
    if (bytes === undefined) return "";
    const id = blobIdOf(bytes);
    await this.#upload(id, bytes.length, (offset, length) => bytes.subarray(offset, offset + length));
    return id;
  }

  /** Sends what the agent lacks of a blob. */
  async #upload(blob: BlobId, total: number, piece: (offset: number, length: number) => Uint8Array): Promise<void> {
    let { total: have } = await this.#write({ blob, offset: 0, bytes: NOTHING, total });
    while (have < total) {
      const bytes = piece(have, Math.min(PIECE_BYTES_MAX, total - have));
      ({ total: have } = await this.#write({ blob, offset: have, bytes, total }));
    }
  }
}

const NOTHING = new Uint8Array(0);

function pathOf(url: string): string {
  return fileURLToPath(url).replace(/(?<=.)\/$/, "");
}

function isSameFolder(path: string, other: string): boolean {
  return existsSync(path) && realpathSync(path) === realpathSync(other);
}

function ready(id: string): EnvironmentUse {
  return { id, prepare: () => Promise.resolve(id) };
}

class RequestedUse implements EnvironmentUse {
  readonly #make: () => Promise<string>;
  #making: Promise<string> | undefined;
  id: string | undefined;

  constructor(make: () => Promise<string>) {
    this.#make = make;
  }

  prepare(): Promise<string> {
    this.#making ??= this.#make().then(
      (id) => (this.id = id),
      (error: unknown) => {
        this.#making = undefined;
        throw error;
      },
    );
    return this.#making;
  }
}
