// Unpacks a folder, whatever the bytes say: nothing is written outside of it, and no more than the limits.
//
// Every entry's folder must be an entry before it, files are created and never opened, and links are made last, when it is known
// where each leads: so nothing is ever written through a link. What is refused leaves nothing behind.

import { type FileHandle, mkdir, open, rm, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { InvalidArgumentError } from "../errors.ts";
import { ENTRIES_MAX, KINDS, leadsOut, MAGIC, pathProblem } from "./archive.ts";

/** Read and written at once. */
const PIECE_BYTES = 256 * 1024;

export interface UnpackLimits {
  /** Of all files together. */
  readonly bytes: number;
  readonly entries?: number | undefined;
}

/**
 * Into a folder that must not be there yet. Answers the bytes of all files.
 *
 * @throws InvalidArgumentError for bytes that are no archive, or one that would do harm.
 */
export async function unpackFolder(archive: string, folder: string, limits: UnpackLimits): Promise<number> {
  const file = await open(archive, "r");
  try {
    await mkdir(folder, { mode: 0o700 });
    return await new Unpacking(file, (await file.stat()).size, folder, limits).run();
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  } finally {
    await file.close();
  }
}

class Unpacking {
  readonly #file: FileHandle;
  readonly #size: number;
  readonly #folder: string;
  readonly #limits: Required<UnpackLimits>;
  readonly #folders = new Set<string>(["."]);
  readonly #paths = new Set<string>();
  readonly #links = new Map<string, string>();
  #position = 0;
  /** Read already, from `#position` on. */
  #ahead: Buffer = Buffer.alloc(0);
  #bytes = 0;

  constructor(file: FileHandle, size: number, folder: string, { bytes, entries = ENTRIES_MAX }: UnpackLimits) {
    this.#file = file;
    this.#size = size;
    this.#folder = folder;
    this.#limits = { bytes, entries };
  }

  async run(): Promise<number> {
    if (!(await this.#take(MAGIC.length)).equals(MAGIC)) refuse("it does not begin as one");
    for (let kind = await this.#kind(); kind !== KINDS.end; kind = await this.#kind()) await this.#entry(kind);
    const count = (await this.#take(4)).readUInt32LE(0);
    if (count !== this.#paths.size || this.#position !== this.#size) refuse("it does not end as one");
    const out = leadsOut(this.#links);
    if (out !== undefined) refuse(`its link ${JSON.stringify(out)} leads out of the folder`);
    for (const [path, target] of this.#links) await symlink(target, join(this.#folder, path));
    return this.#bytes;
  }

  async #kind(): Promise<number> {
    return (await this.#take(1))[0];
  }

  async #entry(kind: number): Promise<void> {
    const path = await this.#text();
    const problem = pathProblem(path);
    if (problem !== undefined) refuse(`its path ${JSON.stringify(path)} ${problem}`);
    if (this.#paths.has(path)) refuse(`it has ${JSON.stringify(path)} twice`);
    if (!this.#folders.has(dirname(path))) refuse(`its ${JSON.stringify(path)} comes before its folder`);
    this.#paths.add(path);
    if (this.#paths.size > this.#limits.entries) refuse(`it has more than ${this.#limits.entries} entries`);
    const place = join(this.#folder, path);
    if (kind === KINDS.folder) {
      await mkdir(place, { mode: 0o700 });
      this.#folders.add(path);
    } else if (kind === KINDS.file || kind === KINDS.program) await this.#content(place, kind === KINDS.program ? 0o700 : 0o600);
    else if (kind === KINDS.link) this.#links.set(path, await this.#text());
    else refuse(`its ${JSON.stringify(path)} is of an unknown kind`);
  }

  async #content(place: string, mode: number): Promise<void> {
    const size = (await this.#take(6)).readUIntLE(0, 6);
    this.#bytes += size;
    if (this.#bytes > this.#limits.bytes) refuse(`it has more than ${this.#limits.bytes} bytes`);
    if (size > this.#size - this.#position) refuse("a file runs over its end");
    // Only ever a new file: on a system that does not tell case apart, two names may be one.
    const out = await open(place, "wx", mode);
    try {
      for (let left = size; left > 0; ) {
        const bytes = await this.#take(Math.min(PIECE_BYTES, left));
        await out.writeFile(bytes);
        left -= bytes.length;
      }
    } finally {
      await out.close();
    }
  }

  async #text(): Promise<string> {
    const bytes = await this.#take((await this.#take(2)).readUInt16LE(0));
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      return refuse("a name in it is no text");
    }
  }

  async #take(count: number): Promise<Buffer> {
    if (count > this.#size - this.#position) refuse("it ends too early");
    if (this.#ahead.length < count) await this.#readAhead();
    const bytes = this.#ahead.subarray(0, count);
    if (bytes.length !== count) refuse("it ends too early");
    this.#ahead = this.#ahead.subarray(count);
    this.#position += count;
    return bytes;
  }

  async #readAhead(): Promise<void> {
    const bytes = Buffer.allocUnsafe(PIECE_BYTES);
    const { bytesRead } = await this.#file.read(bytes, 0, PIECE_BYTES, this.#position);
    this.#ahead = bytes.subarray(0, bytesRead);
  }
}

function refuse(why: string): never {
  throw new InvalidArgumentError(`the bytes are no packed folder: ${why}`);
}
