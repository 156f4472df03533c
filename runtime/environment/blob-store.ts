// Bytes by their hash, as files of one folder: packed folders and definitions on their way between processes.
//
// A blob is written in order, piece by piece, by any number of writers at once: each is told how much there is and goes on from
// there, so a repeat changes nothing and a broken upload is taken up again. It is there when all of it is, and its hash is right.

import { createHash, type Hash } from "node:crypto";
import { mkdir, open, rename, rm, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { InvalidArgumentError, NotFoundError } from "../errors.ts";
import { isBlobId, type BlobId } from "./definition.ts";

/** Largest piece of one read or write. */
export const PIECE_BYTES_MAX = 1024 * 1024;
/** Largest blob: what a folder may hold at most, whatever its user allows. */
export const BLOB_BYTES_MAX = 4 * 1024 ** 3;
/** Uploads that are not complete; more at once are a mistake of those who send. */
const UPLOADS_MAX = 256;

interface Upload {
  readonly total: number;
  readonly file: FileHandle;
  readonly hash: Hash;
  have: number;
}

export class BlobStore {
  readonly #folder: string;
  readonly #sizes = new Map<BlobId, number>();
  readonly #uploads = new Map<BlobId, Upload>();
  /** Writes of one blob, one after the other. */
  readonly #writing = new Map<BlobId, Promise<number>>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Its size when it is complete. */
  sizeOf(id: BlobId): number | undefined {
    return this.#sizes.get(id);
  }

  pathOf(id: BlobId): string {
    return join(this.#folder, id);
  }

  /** Adds a piece if it is the next one. Answers how many bytes there are: all of them when the blob is complete. */
  write(id: BlobId, offset: number, bytes: Uint8Array, total: number): Promise<number> {
    if (!isBlobId(id)) throw new InvalidArgumentError(`${JSON.stringify(id)} is no name of a blob`);
    if (total < 1 || total > BLOB_BYTES_MAX || bytes.length > PIECE_BYTES_MAX) {
      throw new InvalidArgumentError(`a blob has 1 to ${BLOB_BYTES_MAX} bytes, in pieces of ${PIECE_BYTES_MAX} at most`);
    }
    const before = this.#writing.get(id) ?? Promise.resolve(0);
    const write = () => this.#write(id, offset, bytes, total);
    const writing = before.then(write, write);
    this.#writing.set(id, writing);
    const done = () => {
      if (this.#writing.get(id) === writing) this.#writing.delete(id);
    };
    writing.then(done, done);
    return writing;
  }

  async read(id: BlobId, offset: number, length: number): Promise<{ bytes: Uint8Array; total: number }> {
    const total = this.#sizes.get(id);
    if (total === undefined) throw new NotFoundError(`blob ${id} is not on this node`);
    const bytes = Buffer.allocUnsafeSlow(Math.max(0, Math.min(length, PIECE_BYTES_MAX, total - offset)));
    const file = await open(this.pathOf(id), "r");
    try {
      const { bytesRead } = await file.read(bytes, 0, bytes.length, offset);
      return { bytes: bytes.subarray(0, bytesRead), total };
    } finally {
      await file.close();
    }
  }

  async remove(id: BlobId): Promise<void> {
    this.#sizes.delete(id);
    await rm(this.pathOf(id), { force: true });
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  async #write(id: BlobId, offset: number, bytes: Uint8Array, total: number): Promise<number> {
    const complete = this.#sizes.get(id);
    if (complete !== undefined) return complete;
    const begun = this.#uploads.get(id);
    // One of the two is wrong, and only the hash of the whole can tell.
    if (begun !== undefined && begun.total !== total) await this.#drop(id, begun);
    const upload = this.#uploads.get(id) ?? (await this.#begin(id, total));
    if (offset !== upload.have || bytes.length === 0) return upload.have;
    if (offset + bytes.length > total) throw new InvalidArgumentError(`a piece of blob ${id} runs over its end`);
    try {
      await upload.file.write(bytes, 0, bytes.length, offset);
      upload.hash.update(bytes);
      upload.have += bytes.length;
      if (upload.have === total) await this.#complete(id, upload);
    } catch (error) {
      await this.#drop(id, upload);
      throw error;
    }
    return upload.have;
  }

  async #begin(id: BlobId, total: number): Promise<Upload> {
    if (this.#uploads.size >= UPLOADS_MAX) await this.#dropOldest();
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const file = await open(`${this.pathOf(id)}.part`, "w", 0o600);
    const upload: Upload = { total, file, hash: createHash("sha256"), have: 0 };
    this.#uploads.set(id, upload);
    return upload;
  }

  async #complete(id: BlobId, upload: Upload): Promise<void> {
    const found = upload.hash.digest("hex");
    if (found !== id) throw new InvalidArgumentError(`the bytes sent as blob ${id} have the hash ${found}`);
    await upload.file.close();
    await rename(`${this.pathOf(id)}.part`, this.pathOf(id));
    this.#uploads.delete(id);
    this.#sizes.set(id, upload.total);
  }

  async #dropOldest(): Promise<void> {
    for (const [id, upload] of this.#uploads) {
      if (!this.#writing.has(id)) return this.#drop(id, upload);
    }
    throw new InvalidArgumentError(`${UPLOADS_MAX} blobs are being sent at once`);
  }

  async #drop(id: BlobId, upload: Upload): Promise<void> {
    this.#uploads.delete(id);
    // Closed already when its hash was wrong, or the disk failed.
    await upload.file.close().catch(() => {});
    await rm(`${this.pathOf(id)}.part`, { force: true });
  }
}
