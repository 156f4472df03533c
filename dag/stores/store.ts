// Stores: places for files by key, outside of the cluster's memory. What was put is whole and durable, or it is not there.

import { InvalidArgumentError, NotFoundError } from "../../sdk/index.ts";

export interface StoredFile {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  readonly modifiedAt: Date;
}

/** Bytes of a file, `end` not among them, as with `slice`. Default all. */
export interface ByteRange {
  readonly start?: number | undefined;
  readonly end?: number | undefined;
}

/** Texts are UTF-8. */
export type Content = Uint8Array | string | AsyncIterable<Uint8Array>;

export interface Store {
  readonly name: string;
  /** Settles when the file is durable. A reader sees the file before, or this one, and never a part. */
  put(key: string, content: Content): Promise<StoredFile>;
  /** @throws NotFoundError. */
  get(key: string, range?: ByteRange): Promise<Buffer>;
  /** As `get`, in pieces as they come. */
  read(key: string, range?: ByteRange): AsyncIterable<Uint8Array>;
  /** All files whose keys begin with the prefix, in the order of their keys. */
  list(prefix?: string): AsyncIterable<StoredFile>;
  /** Undefined when there is no such file. */
  stat(key: string): Promise<StoredFile | undefined>;
  /** Whether or not there is one. */
  delete(key: string): Promise<void>;
}

/** What a kind of store has to do; names and keys are checked before. */
export type StoreClient = Omit<Store, "name" | "get" | "list"> & { list(prefix: string): AsyncIterable<StoredFile> };

const KEY_BYTES = 1024;
const CONTROL = /[\u0000-\u001f\u007f\\]/;

/** Keys are the same in every kind of store: names with "/" between them. */
export function checkKey(store: string, key: unknown): void {
  const fits =
    typeof key === "string" &&
    Buffer.byteLength(key) <= KEY_BYTES &&
    !CONTROL.test(key) &&
    key.split("/").every((name) => name !== "" && name !== "." && name !== "..");
  if (fits) return;
  throw new InvalidArgumentError(
    `store ${store}: a key is names with "/" between them, of ${KEY_BYTES} bytes at most, not ${JSON.stringify(key)}`,
  );
}

export function checkRange(store: string, { start = 0, end = Infinity }: ByteRange): void {
  const whole = Number.isSafeInteger(start) && (end === Infinity || Number.isSafeInteger(end));
  if (whole && start >= 0 && end >= start) return;
  throw new InvalidArgumentError(`store ${store}: there is no range from ${String(start)} to ${String(end)}`);
}

export function noSuchFile(store: string, key: string): NotFoundError {
  return new NotFoundError(`store ${store} has no file ${key}`);
}

export async function bytesOf(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

/** Content in pieces of just `size` bytes, the last one of less; at least one. */
export async function* piecesOf(content: Content, size: number): AsyncGenerator<Buffer> {
  let [parts, length] = [[] as Uint8Array[], 0];
  for await (const part of whole(content)) {
    parts.push(part);
    length += part.length;
    if (length < size) continue;
    const joined = Buffer.concat(parts);
    let at = 0;
    for (; joined.length - at >= size; at += size) yield joined.subarray(at, at + size);
    [parts, length] = [[joined.subarray(at)], joined.length - at];
  }
  yield Buffer.concat(parts);
}

/** Content as it comes. */
export function whole(content: Content): AsyncIterable<Uint8Array> | readonly Uint8Array[] {
  if (typeof content === "string") return [Buffer.from(content)];
  if (content instanceof Uint8Array) return [content];
  if (typeof content?.[Symbol.asyncIterator] === "function") return content;
  throw new InvalidArgumentError("a store takes texts, bytes, and streams of bytes");
}
