// A bucket of S3, or of a server that speaks its protocol, as a store. A file of up to one part is put at once; larger ones
// in parts, which nobody sees before the last request.

import { InvalidArgumentError } from "../../sdk/index.ts";
import { bodyOf, rangeHeader } from "./request.ts";
import { S3Bucket, type S3Place } from "./s3-bucket.ts";
import { type ByteRange, type Content, noSuchFile, piecesOf, type StoreClient, type StoredFile } from "./store.ts";

const PART_BYTES = 16 * 1024 * 1024;
const PARTS_MAX = 10_000;
/** Parts under way at once. */
const LANES = 3;
const KEYS_A_PAGE = 1000;

export class S3Store implements StoreClient {
  readonly #name: string;
  readonly #bucket: S3Bucket;
  readonly #prefix: string;

  constructor(name: string, place: S3Place) {
    this.#name = name;
    this.#bucket = new S3Bucket(name, place);
    this.#prefix = place.prefix ?? "";
  }

  async put(key: string, content: Content): Promise<StoredFile> {
    const pieces = piecesOf(content, PART_BYTES);
    const first = (await pieces.next()).value as Buffer;
    const second = first.length < PART_BYTES ? undefined : (await pieces.next()).value;
    if (second === undefined || second.length === 0) {
      await this.#done("PUT", key, {}, first);
      return { key, size: first.length, modifiedAt: new Date() };
    }
    return { key, size: await this.#putParts(key, [first, second], pieces), modifiedAt: new Date() };
  }

  async *read(key: string, { start = 0, end = Infinity }: ByteRange = {}): AsyncGenerator<Uint8Array> {
    const response = await this.#bucket.ask("GET", this.#prefix + key, {}, undefined, rangeHeader(start, end));
    if (response.status === 404) throw noSuchFile(this.#name, key);
    // A range that begins behind the file's end.
    if (response.status === 416) return;
    yield* bodyOf(response);
  }

  async *list(prefix: string): AsyncGenerator<StoredFile> {
    let token: string | undefined;
    do {
      const query = {
        "list-type": "2", "encoding-type": "url", "max-keys": String(KEYS_A_PAGE), prefix: this.#prefix + prefix,
        ...(token === undefined ? {} : { "continuation-token": token }),
      };
      const response = await this.#bucket.ask("GET", "", query);
      if (response.status === 404) throw new InvalidArgumentError(`store ${this.#name}: there is no bucket ${this.#bucket.name}`);
      const page = await response.text();
      for (const part of partsOf(page, "Contents")) {
        const key = decodeURIComponent(textOf(part, "Key").replaceAll("+", "%20")).slice(this.#prefix.length);
        yield { key, size: Number(textOf(part, "Size")), modifiedAt: new Date(textOf(part, "LastModified")) };
      }
      token = textOf(page, "IsTruncated") === "true" ? textOf(page, "NextContinuationToken") : undefined;
    } while (token !== undefined);
  }

  async stat(key: string): Promise<StoredFile | undefined> {
    const response = await this.#bucket.ask("HEAD", this.#prefix + key);
    if (response.status === 404) return undefined;
    const { headers } = response;
    return {
      key,
      size: Number(headers.get("content-length")),
      modifiedAt: new Date(headers.get("last-modified") ?? 0),
    };
  }

  async delete(key: string): Promise<void> {
    await (await this.#bucket.ask("DELETE", this.#prefix + key)).body?.cancel();
  }

  async #putParts(key: string, first: readonly Buffer[], rest: AsyncIterable<Buffer>): Promise<number> {
    const uploadId = textOf(await this.#done("POST", key, { uploads: "" }), "UploadId");
    const lanes = new Set<Promise<void>>();
    const etags: string[] = [];
    let size = 0;
    const failed = { reason: undefined as Error | undefined };
    const putPart = async (piece: Buffer): Promise<void> => {
      const number = etags.push("");
      if (number > PARTS_MAX) throw new InvalidArgumentError(`store ${this.#name}: ${key} is larger than ${PARTS_MAX} parts`);
      size += piece.length;
      const lane = this.#part(key, uploadId, number, piece).then((etag) => { etags[number - 1] = etag; });
      lanes.add(lane);
      void lane.catch((error: Error) => { failed.reason ??= error; }).finally(() => lanes.delete(lane));
      if (lanes.size >= LANES) await Promise.race(lanes);
      if (failed.reason !== undefined) throw failed.reason;
    };
    try {
      for (const piece of first) await putPart(piece);
      for await (const piece of rest) if (piece.length > 0) await putPart(piece);
      await Promise.all(lanes);
      if (failed.reason !== undefined) throw failed.reason;
      await this.#complete(key, uploadId, etags, size);
      return size;
    } catch (error) {
      await Promise.allSettled(lanes);
      // What can't be taken back is left to the bucket's rules for uploads that were given up.
      await this.#bucket.ask("DELETE", this.#prefix + key, { uploadId }).catch(() => {});
      throw error;
    }
  }

  async #part(key: string, uploadId: string, number: number, piece: Buffer): Promise<string> {
    const response = await this.#bucket.ask("PUT", this.#prefix + key, { partNumber: String(number), uploadId }, piece);
    await response.body?.cancel();
    if (response.status === 404) throw new Error(`store ${this.#name}: the upload of ${key} was ended by the server`);
    return response.headers.get("etag") ?? "";
  }

  async #complete(key: string, uploadId: string, etags: readonly string[], size: number): Promise<void> {
    const parts = etags.map((etag, i) => `<Part><PartNumber>${i + 1}</PartNumber><ETag>${etag}</ETag></Part>`).join("");
    const body = Buffer.from(`<CompleteMultipartUpload>${parts}</CompleteMultipartUpload>`);
    const response = await this.#bucket.ask("POST", this.#prefix + key, { uploadId }, body);
    const answer = await response.text();
    // The request before this one may have done it, and its answer been lost.
    if (response.status === 404 && (await this.stat(key))?.size === size) return;
    // An error may come after the status, which is 200 then.
    if (answer.includes("<Error>")) throw new Error(`store ${this.#name}: ${key}: ${textOf(answer, "Message")}`);
  }

  /** The answer's text. */
  async #done(
    method: string, key: string, query: Readonly<Record<string, string>>, body?: Buffer,
  ): Promise<string> {
    const response = await this.#bucket.ask(method, this.#prefix + key, query, body);
    if (response.status !== 404) return response.text();
    throw new InvalidArgumentError(`store ${this.#name}: there is no bucket ${this.#bucket.name}`);
  }
}

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

function partsOf(xml: string, tag: string): string[] {
  return [...xml.matchAll(new RegExp(`<${tag}>(.*?)</${tag}>`, "gs"))].map(([, inner]) => inner);
}

function textOf(xml: string, tag: string): string {
  return (partsOf(xml, tag)[0] ?? "").replace(/&(amp|lt|gt|quot|apos);/g, (_, name: string) => ENTITIES[name]);
}
