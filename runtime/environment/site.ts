// The environments of one node: made once each, kept while a job or a worker needs them, as files below the session's folder.

import { lstat, mkdir, readdir, readFile, rename, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { BlobStore } from "./blob-store.ts";
import { decodeDefinition, type BlobId, type EnvironmentDefinition, type PackageSet, type WorkingDirBlob } from "./definition.ts";
import { fileNames, type EnvironmentFiles } from "./file-places.ts";
import { HeldFiles } from "./held-files.ts";
import { type Installer, packageKey } from "./packages.ts";
import { unpackFolder } from "./unpacking.ts";

/** What a node keeps for nobody is removed, the longest unused first, when its environments take more than this. */
export const KEPT_BYTES_MAX = 8 * 1024 ** 3;

/** What a worker is told of the environment it is started in. */
export interface WorkerEnvironment {
  readonly id: BlobId;
  /** File of the definition. */
  readonly definition: string;
  /** Undefined when it is about no files. */
  readonly files?: EnvironmentFiles | undefined;
  /** Its setupHook runs in each worker before it takes work. */
  readonly hasHook: boolean;
}

/** How a worker process is started in an environment. */
export interface Launch {
  readonly worker: WorkerEnvironment;
  /** Where it runs; undefined for the agent's own folder. */
  readonly folder: string | undefined;
  readonly envVars: Readonly<Record<string, string>>;
  readonly nodeArgs: readonly string[];
}

export interface SiteParts {
  /** Made when it is needed. */
  readonly folder: string;
  /** Of this package, which code in the folders imports by its name. */
  readonly packageRoot: string;
  readonly install: Installer;
  /** Default: on this process's own loop. */
  readonly unpack?: typeof unpackFolder | undefined;
  /** Default 8 GiB. */
  readonly keptBytes?: number | undefined;
}

export class EnvironmentSite {
  readonly blobs: BlobStore;
  readonly #folder: string;
  readonly #packageRoot: string;
  readonly #install: Installer;
  readonly #unpack: typeof unpackFolder;
  /** Environments that are there, and the keys of what each consists of. */
  readonly #made = new Map<BlobId, { readonly launch: Launch; readonly keys: readonly string[]; readonly archive: string }>();
  readonly #held: HeldFiles;
  /** Makings and removals of one thing, one after the other. */
  readonly #busy = new Map<string, Promise<unknown>>();

  constructor({ folder, packageRoot, install, unpack = unpackFolder, keptBytes = KEPT_BYTES_MAX }: SiteParts) {
    this.#held = new HeldFiles(keptBytes);
    this.#folder = folder;
    this.#packageRoot = packageRoot;
    this.#install = install;
    this.#unpack = unpack;
    this.blobs = new BlobStore(join(folder, "blobs"));
  }

  /** A piece of a blob, for a job that may need it. */
  write(id: BlobId, offset: number, bytes: Uint8Array, total: number, holder: string): Promise<number> {
    return this.#alone(blobKey(id), async () => {
      const have = await this.blobs.write(id, offset, bytes, total);
      if (have === total) this.#keepBlob(id, holder);
      return have;
    });
  }

  /** Makes what is missing of an environment and holds all of it. `fetch` brings a blob here. */
  async make(id: BlobId, holder: string, fetch: (id: BlobId) => Promise<void>): Promise<Launch> {
    await this.#blob(id, holder, fetch);
    const { envVars = {}, nodeArgs = [], origin, workingDir, packages, setupHook, entry } = await this.#definition(id);
    const installed = packages === undefined ? PLAIN : await this.#packages(packages, holder);
    const folder = workingDir && (await this.#copy(installed, workingDir, holder, fetch));
    const packageFolder = packages && join(this.#folder, installed);
    const files = origin === undefined ? undefined : { origin, folder, packages: packageFolder };
    const worker = { id, definition: this.blobs.pathOf(id), files, hasHook: setupHook !== undefined };
    const launch = { worker, folder, envVars, nodeArgs: [...nodeArgs, ...entryArgs(entry, files)] };
    const keys = [blobKey(id), installed, ...(workingDir ? [join(installed, workingDir.blob)] : [])];
    this.#made.set(id, { launch, keys, archive: blobKey(workingDir?.blob ?? id) });
    this.#removeSurplus();
    return launch;
  }

  /** How workers of an environment are started; undefined for one that is not there, or no longer. */
  launchOf(id: BlobId): Launch | undefined {
    return this.#made.get(id)?.launch;
  }

  /** Also for `holder`: an environment that was made, and what other nodes make it from. */
  hold(id: BlobId, holder: string): void {
    const { keys, archive } = this.#made.get(id) ?? { keys: [], archive: "" };
    for (const key of [...keys, archive]) this.#held.hold(key, holder);
  }

  release(holder: string): void {
    this.#held.release(holder);
    this.#removeSurplus();
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

  /**
   * The unpacked folder: below the packages, where Node looks for what modules in it import. So there is one for each set of
   * packages that it is used with, and it holds that set.
   */
  async #copy(
    installed: string, { blob, bytes }: WorkingDirBlob, holder: string, fetch: (id: BlobId) => Promise<void>,
  ): Promise<string> {
    const key = join(installed, blob);
    await this.#linkPackage();
    await this.#whole(key, holder, async (folder) => {
      await this.#blob(blob, holder, fetch);
      return this.#unpack(this.blobs.pathOf(blob), folder, { bytes });
    });
    this.#held.hold(installed, key);
    return join(this.#folder, key);
  }

  /** Key of the folder whose node_modules has them. */
  async #packages(packages: PackageSet, holder: string): Promise<string> {
    const key = packageKey(packages);
    await this.#linkPackage();
    await this.#whole(key, holder, async (folder) => {
      await mkdir(folder, { mode: 0o700 });
      await this.#install(folder, packages);
      return bytesIn(folder);
    });
    return key;
  }

  /** A folder that is there as a whole or not at all. `fill` answers its bytes. */
  #whole(key: string, holder: string, fill: (folder: string) => Promise<number>): Promise<void> {
    const folder = join(this.#folder, key);
    return this.#alone(key, async () => {
      if (this.#held.hold(key, holder)) return;
      await rm(`${folder}.part`, { recursive: true, force: true });
      try {
        const bytes = await fill(`${folder}.part`);
        await rename(`${folder}.part`, folder);
        this.#held.keep(key, bytes);
        this.#held.hold(key, holder);
      } catch (error) {
        await rm(`${folder}.part`, { recursive: true, force: true });
        throw error;
      }
    });
  }

  /** Modules in the folders find this very package by its name: another copy of it would be in no cluster. */
  async #linkPackage(): Promise<void> {
    const modules = join(this.#folder, "node_modules");
    await this.#alone(modules, async () => {
      await mkdir(join(this.#folder, PLAIN), { recursive: true, mode: 0o700 });
      await mkdir(modules, { recursive: true, mode: 0o700 });
      await symlink(this.#packageRoot, join(modules, "troupe")).catch(unlessThere);
    });
  }

  #removeSurplus(): void {
    for (const key of this.#held.takeSurplus()) {
      for (const [id, { keys }] of this.#made) if (keys.includes(key)) this.#made.delete(id);
      // What can't be removed now is in the way of nobody: it is no longer in the books, and ends with the session.
      this.#alone(key, () => this.#remove(key)).catch(() => {});
    }
  }

  async #remove(key: string): Promise<void> {
    if (key.startsWith(BLOB)) return this.blobs.remove(key.slice(BLOB.length));
    await rm(join(this.#folder, key), { recursive: true, force: true });
    // A copy holds its packages no longer.
    this.#held.release(key);
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
/** Folder of the copies that have no packages. */
const PLAIN = "plain";

/** After the other options: what they load is there for it. */
function entryArgs(entry: string | undefined, files: EnvironmentFiles | undefined): string[] {
  if (entry === undefined) return [];
  return [`--import=${files === undefined ? entry : fileNames(files).here(entry)}`];
}

/** What the files of a folder take, links not followed. */
async function bytesIn(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += (await lstat(join(entry.parentPath, entry.name))).size;
  }
  return bytes;
}

function unlessThere(error: NodeJS.ErrnoException): void {
  if (error.code !== "EEXIST") throw error;
}

function blobKey(id: BlobId): string {
  return BLOB + id;
}
