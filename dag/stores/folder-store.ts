// A folder as a store: keys are paths below it. A file is written aside, forced to the disk and renamed, so that whoever
// looks sees the file before or the whole new one, also after a power cut.

import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { type ByteRange, type Content, noSuchFile, type StoreClient, type StoredFile, whole } from "./store.ts";

/** Names of files that are not whole yet. */
const PART = /^\.part-[0-9a-f]{16}$/;

export class FolderStore implements StoreClient {
  readonly #name: string;
  readonly #root: string;

  constructor(name: string, dir: string) {
    this.#name = name;
    this.#root = resolve(dir);
  }

  async put(key: string, content: Content): Promise<StoredFile> {
    const path = this.#path(key);
    const folder = dirname(path);
    await makeFolder(folder);
    const part = join(folder, `.part-${randomBytes(8).toString("hex")}`);
    try {
      const file = await open(part, "wx", 0o600);
      try {
        for await (const piece of whole(content)) await file.writeFile(piece);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(part, path);
    } catch (error) {
      await rm(part, { force: true });
      throw error;
    }
    await syncFolder(folder);
    return (await this.stat(key)) ?? this.#gone(key);
  }

  async *read(key: string, { start = 0, end = Infinity }: ByteRange = {}): AsyncGenerator<Uint8Array> {
    if ((await this.stat(key)) === undefined) throw noSuchFile(this.#name, key);
    // Node's end is the last byte that is read.
    yield* createReadStream(this.#path(key), { start, end: end - 1 }) as AsyncIterable<Uint8Array>;
  }

  async *list(prefix: string): AsyncGenerator<StoredFile> {
    // Nothing above the last folder of the prefix is looked at.
    const folder = prefix.slice(0, prefix.lastIndexOf("/") + 1);
    for await (const key of this.#keysIn(folder)) {
      if (!key.startsWith(prefix)) continue;
      const found = await this.stat(key);
      if (found !== undefined) yield found;
    }
  }

  async stat(key: string): Promise<StoredFile | undefined> {
    const found = await orUndefined(stat(this.#path(key)));
    return found?.isFile() === true ? { key, size: found.size, modifiedAt: found.mtime } : undefined;
  }

  async delete(key: string): Promise<void> {
    const path = this.#path(key);
    if ((await orUndefined(lstat(path)))?.isDirectory() === true) return;
    await rm(path, { force: true });
    await orUndefined(syncFolder(dirname(path)));
  }

  /** In the order of whole keys, in which "a.b" comes before "a/b". */
  async *#keysIn(folder: string): AsyncGenerator<string> {
    const entries = (await orUndefined(readdir(join(this.#root, folder), { withFileTypes: true }))) ?? [];
    const names = entries
      .filter(({ name }) => !PART.test(name))
      .map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name))
      .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    for (const name of names) {
      if (name.endsWith("/")) yield* this.#keysIn(folder + name);
      else yield folder + name;
    }
  }

  #path(key: string): string {
    return join(this.#root, key);
  }

  #gone(key: string): never {
    throw noSuchFile(this.#name, key);
  }
}

/** With its parents, each of them durable in the one above. */
async function makeFolder(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let made = folder; made.length >= first.length; made = dirname(made)) await syncFolder(dirname(made));
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function orUndefined<T>(looked: Promise<T>): Promise<T | undefined> {
  try {
    return await looked;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}
