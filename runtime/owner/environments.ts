// The runtime environments that this process's work runs in: its own, which its tasks and actors inherit, and those it makes
// for them.
//
// Making one packs and sends what the agent does not have yet, so it takes a while: work that needs it waits in its pool. What
// can be wrong is told to that work, and a later call of the same kind tries again.

import { existsSync, readFileSync, realpathSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { CodeShipper, FileNames } from "../closure/index.ts";
import {
  blobIdOf, decodeDefinition, encodeDefinition, fileNames, folderUrl, lockedSet, mergeDefinitions, packageSet, packFolder,
  PIECE_BYTES_MAX, type BlobId, type EnvironmentDefinition, type HookCode, type PackageSet, type WorkerEnvironment,
} from "../environment/index.ts";
import { ConnectionError, InvalidArgumentError } from "../errors.ts";

/** As users ask for one, checked. */
export interface EnvironmentRequest {
  readonly envVars?: Readonly<Record<string, string>> | undefined;
  readonly nodeArgs?: readonly string[] | undefined;
  /** `path` is absolute. */
  readonly workingDir?: { readonly path: string; readonly maxBytes: number } | undefined;
  /** "name@range" each, or the absolute path of a package-lock.json. */
  readonly packages?: readonly string[] | string | undefined;
  readonly setupHook?: (() => unknown) | undefined;
  /** URL of a module that each worker runs before anything else. */
  readonly entry?: string | undefined;
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
  readonly #fileNames: FileNames | undefined;
  readonly #shipper: CodeShipper;
  readonly #write: Write;
  readonly #uses = new Map<string, EnvironmentUse>();
  #own: EnvironmentUse;
  #definition: Promise<EnvironmentDefinition> | undefined;

  /** `started`: what this process was started in; undefined for none, and for a driver. */
  constructor(started: WorkerEnvironment | undefined, shipper: CodeShipper, write: Write) {
    this.#started = started;
    this.#fileNames = started?.files && fileNames(started.files);
    this.#shipper = shipper;
    this.#write = write;
    this.#own = ready(started?.id ?? "");
  }

  /** What work runs in that asks for nothing else. */
  get own(): EnvironmentUse {
    return this.#own;
  }

  /** A driver's own: its job's. Work that is submitted from now on waits for it. */
  async adopt(request: EnvironmentRequest): Promise<void> {
    const definition = this.#define(request);
    this.#definition = definition;
    this.#own = new RequestedUse(async () => this.#send(await definition));
    await this.#own.prepare();
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
    if (request === undefined) return "";
    const { setupHook, ...plain } = request;
    return JSON.stringify([plain, setupHook === undefined ? "" : this.#shipper.capture(setupHook).id]);
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  async #inherited(): Promise<EnvironmentDefinition> {
    return this.#started === undefined ? {} : decodeDefinition(readFileSync(this.#started.definition));
  }

  async #define(request: EnvironmentRequest): Promise<EnvironmentDefinition> {
    const { envVars, nodeArgs, workingDir, packages, setupHook, entry } = request;
    const inherited = (this.#definition ??= this.#inherited());
    const folder = workingDir === undefined ? {} : await this.#pack(workingDir.path, workingDir.maxBytes);
    return mergeDefinitions({ origin: this.#fileNames?.origin(folderUrl(".")) ?? folderUrl("."), ...(await inherited) }, {
      envVars, nodeArgs, entry, ...folder,
      packages: packages === undefined ? undefined : await this.#packageSet(packages),
      setupHook: setupHook && this.#hook(setupHook),
    });
  }

  async #packageSet(packages: readonly string[] | string): Promise<PackageSet> {
    if (typeof packages !== "string") return packageSet(packages);
    const lockFile = this.#placeOf(packages);
    const texts = await Promise.all(["package.json", basename(lockFile)].map(async (name) => {
      const file = join(dirname(lockFile), name);
      return readFile(file, "utf8").catch((error: unknown) => {
        throw new InvalidArgumentError(`runtimeEnv.packages: ${file} can't be read`, {}, error);
      });
    }));
    return lockedSet(lockFile, texts[0], texts[1]);
  }

  #hook(setupHook: () => unknown): HookCode {
    const { id, bytes, name } = this.#shipper.capture(setupHook);
    return { id, name, code: Buffer.from(bytes).toString("base64") };
  }

  /** What a path of the process that made this worker's environment is here. */
  #placeOf(path: string, end = ""): string {
    return this.#fileNames === undefined ? path : pathOf(this.#fileNames.here(pathToFileURL(path + end).href));
  }

  /** Packs a folder and sends it. The copy that this worker runs in is not packed again. */
  async #pack(path: string, maxBytes: number): Promise<Pick<EnvironmentDefinition, "origin" | "workingDir">> {
    const there = this.#placeOf(path, "/");
    const copy = this.#started?.files?.folder;
    if (copy !== undefined && isSameFolder(there, copy)) return {};
    const { blob, bytes, slice } = await packFolder(there, maxBytes);
    await this.#upload(blob, bytes, slice);
    const url = folderUrl(there);
    return { origin: this.#fileNames?.origin(url) ?? url, workingDir: { blob, bytes } };
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
      const before = have;
      const bytes = piece(have, Math.min(PIECE_BYTES_MAX, total - have));
      ({ total: have } = await this.#write({ blob, offset: have, bytes, total }));
      if (have <= before) throw new ConnectionError(`the agent took nothing at byte ${before} of ${total} of a runtimeEnv`);
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
