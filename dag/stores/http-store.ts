// Files of a web server as a store that is only read. Lists come from the server's index of a folder as JSON: an array of
// names, or of `{ name, type, size, mtime }` as nginx gives them with `autoindex_format json`.

import { InvalidArgumentError } from "../../sdk/index.ts";
import { bodyOf, rangeHeader, type Request, send } from "./request.ts";
import { type ByteRange, noSuchFile, type StoreClient, type StoredFile } from "./store.ts";

export interface HttpPlace {
  /** What keys are appended to. */
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

interface IndexEntry {
  readonly name: string;
  readonly type?: string;
}

export class HttpStore implements StoreClient {
  readonly #name: string;
  readonly #root: URL;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(name: string, { url, headers = {} }: HttpPlace) {
    this.#name = name;
    this.#root = new URL(url.endsWith("/") ? url : `${url}/`);
    this.#headers = headers;
  }

  put(): Promise<never> {
    return this.#readOnly();
  }

  delete(): Promise<never> {
    return this.#readOnly();
  }

  async *read(key: string, { start = 0, end = Infinity }: ByteRange = {}): AsyncGenerator<Uint8Array> {
    const response = await this.#ask("GET", key, rangeHeader(start, end));
    if (response.status === 404) throw noSuchFile(this.#name, key);
    // A range that begins behind the file's end.
    if (response.status === 416) return;
    if (response.status === 206 || (start === 0 && end === Infinity)) yield* bodyOf(response);
    else yield* sliced(bodyOf(response), start, end);
  }

  async *list(prefix: string): AsyncGenerator<StoredFile> {
    for await (const key of this.#keysIn(prefix.slice(0, prefix.lastIndexOf("/") + 1))) {
      if (!key.startsWith(prefix)) continue;
      const found = await this.stat(key);
      if (found !== undefined) yield found;
    }
  }

  async stat(key: string): Promise<StoredFile | undefined> {
    const response = await this.#ask("HEAD", key);
    if (response.status === 404) return undefined;
    const { headers } = response;
    const modifiedAt = new Date(headers.get("last-modified") ?? 0);
    return { key, size: Number(headers.get("content-length") ?? 0), modifiedAt };
  }

  async *#keysIn(folder: string): AsyncGenerator<string> {
    const response = await this.#ask("GET", folder);
    if (response.status === 404) return;
    const text = await response.text();
    const entries = entriesOf(text);
    if (entries === undefined) {
      throw new InvalidArgumentError(
        `store ${this.#name}: ${this.#url(folder).href} is no list of names as JSON; name the files instead, or have the ` +
        "server give its index as JSON",
      );
    }
    const names = entries.map(({ name, type }) => (type === "directory" && !name.endsWith("/") ? `${name}/` : name));
    for (const name of names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))) {
      if (name.endsWith("/")) yield* this.#keysIn(folder + name);
      else yield folder + name;
    }
  }

  async #ask(method: string, key: string, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    const url = this.#url(key);
    const request: Request = { method, url, headers: new Headers({ ...this.#headers, ...headers }) };
    const response = await send(() => request);
    if (response.status < 400 || response.status === 404 || response.status === 416) return response;
    await response.body?.cancel();
    throw new Error(`store ${this.#name}: ${method} ${url.href} was answered with ${response.status}`);
  }

  #url(key: string): URL {
    return new URL(key.split("/").map(encodeURIComponent).join("/"), this.#root);
  }

  async #readOnly(): Promise<never> {
    throw new InvalidArgumentError(`store ${this.#name} is a web server's: it is only read`);
  }
}

function entriesOf(text: string): IndexEntry[] | undefined {
  try {
    const list = JSON.parse(text) as unknown;
    if (!Array.isArray(list)) return undefined;
    return list.map((entry: unknown) => (typeof entry === "string" ? { name: entry } : (entry as IndexEntry)));
  } catch {
    return undefined;
  }
}

/** Of servers that know no ranges. */
async function* sliced(pieces: AsyncIterable<Uint8Array>, start: number, end: number): AsyncGenerator<Uint8Array> {
  let at = 0;
  for await (const piece of pieces) {
    const part = piece.subarray(Math.max(start - at, 0), Math.max(end - at, 0));
    at += piece.length;
    if (part.length > 0) yield part;
    if (at >= end) return;
  }
}
