// The file that spilled objects and the overflow lie in.
//
// It has no name, so it ends with its agent however that ends, and nobody can find or change it; where the file system makes no
// such files it has one until it is open. `/proc` leads processes of this user to it, as it leads them to the store's memories.

import { constants, type FileHandle, open, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { Native } from "../../native/index.ts";
import { ConnectionError, OutOfDiskError } from "../errors.ts";

/** Storage of spilled objects: in tests one with faults. */
export interface SpillStorage {
  /** Where clients map it; "" when they can't. */
  readonly path: string;
  /** All of the bytes, or rejects. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** Fills `into`, or rejects. */
  read(offset: number, into: Uint8Array): Promise<void>;
  /** There are blocks for the range from now on: writing to a mapping of it raises no signal. Throws OutOfDiskError. */
  reserve(offset: number, length: number): void;
  /** The range's bytes are nobody's. */
  punch(offset: number, length: number): void;
  close(): Promise<void>;
}

/** Longer writes are made piece by piece: the disk has other work too. */
const PIECE_BYTES = 8 * 1024 * 1024;

export async function openSpillFile(folder: string, native: Native | undefined): Promise<SpillStorage> {
  try {
    return new SpillFile(folder, await openNameless(folder), native);
  } catch (error) {
    throw new OutOfDiskError(`objects can't be spilled to ${folder}: ${(error as Error).message}`, {}, error);
  }
}

/** Linux's O_TMPFILE, which Node does not name. */
const NEVER_NAMED = process.platform === "linux" ? 0o20000000 | constants.O_DIRECTORY : 0;

async function openNameless(folder: string): Promise<FileHandle> {
  if (NEVER_NAMED !== 0) {
    try {
      return await open(folder, NEVER_NAMED | constants.O_RDWR, 0o600);
    } catch (error) {
      // EISDIR: of a kernel that does not know the flag.
      if (!["EOPNOTSUPP", "EISDIR", "EINVAL"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    }
  }
  const name = join(folder, `spill-${process.pid}`);
  const file = await open(name, "wx+", 0o600);
  await unlink(name);
  return file;
}

class SpillFile implements SpillStorage {
  readonly path: string;
  readonly #folder: string;
  readonly #file: FileHandle;
  readonly #native: Native | undefined;
  #canPunch = true;

  constructor(folder: string, file: FileHandle, native: Native | undefined) {
    this.#folder = folder;
    this.#file = file;
    this.#native = native;
    this.path = native === undefined ? "" : `/proc/${process.pid}/fd/${file.fd}`;
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const length = Math.min(PIECE_BYTES, bytes.length - done);
      const { bytesWritten } = await this.#file.write(bytes, done, length, offset + done).catch((error: unknown) => {
        throw this.#failed("writing", error);
      });
      if (bytesWritten === 0) throw new OutOfDiskError(`the disk of ${this.#folder} takes no more bytes`);
      done += bytesWritten;
    }
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    for (let done = 0; done < into.length;) {
      const length = Math.min(PIECE_BYTES, into.length - done);
      const { bytesRead } = await this.#file.read(into, done, length, offset + done).catch((error: unknown) => {
        throw this.#failed("reading", error);
      });
      if (bytesRead === 0) throw new ConnectionError(`the spill file in ${this.#folder} ends before byte ${offset + done}`);
      done += bytesRead;
    }
  }

  reserve(offset: number, length: number): void {
    try {
      this.#native?.reserve(this.#file.fd, offset, length);
    } catch (error) {
      throw this.#failed("reserving a part of", error);
    }
  }

  /** Where holes can't be made the range is used again all the same. */
  punch(offset: number, length: number): void {
    if (!this.#canPunch || this.#native === undefined) return;
    try {
      this.#native.punch(this.#file.fd, offset, length);
    } catch (error) {
      this.#canPunch = false;
      process.emitWarning(`the spill file in ${this.#folder} keeps its size: ${(error as Error).message}`);
    }
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  #failed(doing: string, error: unknown): Error {
    const { code, message } = error as NodeJS.ErrnoException;
    const text = `${doing} the spill file in ${this.#folder} failed: ${message}`;
    return code === "ENOSPC" || code === "EDQUOT" || /No space/.test(message)
      ? new OutOfDiskError(`${text}; free the disk, or start the node with another spill folder`, {}, error)
      : new ConnectionError(text, {}, error);
  }
}
