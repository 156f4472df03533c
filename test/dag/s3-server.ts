// A server that speaks as much of S3's protocol as stores use. It checks signatures and hashes by the published rules
// (Signature Version 4), not by the client's code, and can be told to fail.

import { createHash, createHmac } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

interface Stored {
  readonly bytes: Buffer;
  readonly at: Date;
}

interface Answer {
  readonly status: number;
  readonly body?: string | Buffer;
  readonly headers?: Record<string, string | number>;
}

const REGION = "eu-test-1";
const PART_MIN = 5 * 1024 * 1024;

export class S3Server {
  readonly accessKeyId = "AKIATEST";
  readonly secretAccessKey = "c2VjcmV0/of+tests";
  readonly region = REGION;
  readonly bucket = "bucket";
  readonly files = new Map<string, Stored>();
  readonly uploads = new Map<string, Map<number, Buffer>>();
  readonly requests: string[] = [];
  /** The next requests of this method are answered with 503, or their connection is cut. */
  failures: { method: string; left: number; cut: boolean } = { method: "", left: 0, cut: false };
  /** The next requests that complete an upload are carried out, but not answered. */
  lostAnswers = 0;
  /** Keys in an answer to a list. */
  pageKeys = 3;
  endpoint = "";
  readonly #server: Server = createServer((request, response) => void this.#serve(request, response));

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    this.endpoint = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    return this;
  }

  /** For `defineStore`. */
  place(): { endpoint: string; bucket: string; region: string; accessKeyId: string; secretAccessKey: string } {
    const { endpoint, bucket, region, accessKeyId, secretAccessKey } = this;
    return { endpoint, bucket, region, accessKeyId, secretAccessKey };
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const [method, url] = [request.method!, new URL(request.url!, this.endpoint)];
    this.requests.push(`${method} ${url.pathname}${url.search}`);
    if (this.failures.left > 0 && this.failures.method === method) {
      this.failures.left -= 1;
      if (this.failures.cut) return void request.socket.destroy();
      return void response.writeHead(503).end("<Error><Message>slow down</Message></Error>");
    }
    const body = Buffer.concat(parts);
    const refused = this.#refusal(request, url, body);
    const answer = refused === undefined ? this.#answer(method, url, request, body) : errorAnswer(403, refused);
    if (method === "POST" && url.searchParams.has("uploadId") && this.lostAnswers > 0) {
      this.lostAnswers -= 1;
      return void request.socket.destroy();
    }
    response.writeHead(answer.status, { "content-length": answer.body?.length ?? 0, ...answer.headers });
    response.end(method === "HEAD" ? undefined : answer.body);
  }

  #refusal(request: IncomingMessage, url: URL, body: Buffer): string | undefined {
    const { authorization = "" } = request.headers;
    const found = /^AWS4-HMAC-SHA256 Credential=([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(authorization);
    if (found === null) return "AccessDenied";
    const [, credential, signedHeaders, signature] = found;
    const [key, day, ...scope] = credential.split("/");
    if (key !== this.accessKeyId || scope.join("/") !== `${REGION}/s3/aws4_request`) return "InvalidAccessKeyId";
    const hash = request.headers["x-amz-content-sha256"] as string;
    if (hash !== sha256(body)) return "XAmzContentSHA256Mismatch";
    if (!signedHeaders.split(";").includes("host")) return "SignatureDoesNotMatch";
    const time = request.headers["x-amz-date"] as string;
    const headers = signedHeaders.split(";").map((name) => `${name}:${String(request.headers[name]).trim()}\n`).join("");
    const canonical = [
      request.method, canonicalPath(url.pathname), canonicalQuery(url.searchParams), headers, signedHeaders, hash,
    ].join("\n");
    const text = ["AWS4-HMAC-SHA256", time, [day, ...scope].join("/"), sha256(canonical)].join("\n");
    let secret: Buffer | string = `AWS4${this.secretAccessKey}`;
    for (const step of [day, ...scope]) secret = hmac(secret, step);
    return hmac(secret, text).toString("hex") === signature ? undefined : "SignatureDoesNotMatch";
  }

  #answer(method: string, url: URL, request: IncomingMessage, body: Buffer): Answer {
    const [, bucket, ...names] = url.pathname.split("/").map(decodeURIComponent);
    const [key, query] = [names.join("/"), url.searchParams];
    if (bucket !== this.bucket) return errorAnswer(404, "NoSuchBucket");
    const uploadId = query.get("uploadId");
    if (key === "") return this.#list(query);
    if (method === "POST" && query.has("uploads")) return this.#begin();
    if (method === "PUT" && uploadId !== null) return this.#part(uploadId, Number(query.get("partNumber")), body);
    if (method === "POST" && uploadId !== null) return this.#complete(key, uploadId, body.toString());
    if (method === "DELETE" && uploadId !== null) return { status: this.uploads.delete(uploadId) ? 204 : 404 };
    if (method === "DELETE") return this.files.delete(key), { status: 204 };
    if (method === "PUT") return this.files.set(key, { bytes: body, at: new Date() }), { status: 200 };
    return this.#read(key, request.headers.range);
  }

  #read(key: string, range: string | undefined): Answer {
    const found = this.files.get(key);
    if (found === undefined) return errorAnswer(404, "NoSuchKey");
    const headers = { "last-modified": found.at.toUTCString(), "content-length": found.bytes.length };
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(range ?? "") ?? [];
    if (from === undefined) return { status: 200, body: found.bytes, headers };
    if (Number(from) >= found.bytes.length) return errorAnswer(416, "InvalidRange");
    const body = found.bytes.subarray(Number(from), to === "" ? undefined : Number(to) + 1);
    return { status: 206, body, headers: { ...headers, "content-length": body.length } };
  }

  #list(query: URLSearchParams): Answer {
    const after = query.get("continuation-token") ?? "";
    const keys = [...this.files.keys()]
      .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      .filter((key) => key.startsWith(query.get("prefix") ?? "") && key > after);
    const page = keys.slice(0, this.pageKeys);
    const contents = page.map((key) => {
      const { bytes, at } = this.files.get(key)!;
      const name = encodeURIComponent(key).replaceAll("%20", "+").replaceAll("%2F", "/");
      const [time, size] = [`<LastModified>${at.toISOString()}</LastModified>`, `<Size>${bytes.length}</Size>`];
      return `<Contents><Key>${name}</Key>${time}${size}</Contents>`;
    });
    const more = page.length < keys.length;
    const next = more ? `<NextContinuationToken>${page.at(-1)!.replaceAll("&", "&amp;")}</NextContinuationToken>` : "";
    const all = `<IsTruncated>${more}</IsTruncated>${next}${contents.join("")}`;
    return { status: 200, body: Buffer.from(`<?xml version="1.0"?><ListBucketResult>${all}</ListBucketResult>`) };
  }

  #begin(): Answer {
    const id = `upload-${this.requests.length}`;
    this.uploads.set(id, new Map());
    return { status: 200, body: `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>` };
  }

  #part(id: string, number: number, body: Buffer): Answer {
    const parts = this.uploads.get(id);
    if (parts === undefined) return errorAnswer(404, "NoSuchUpload");
    parts.set(number, body);
    return { status: 200, headers: { etag: etagOf(body) } };
  }

  #complete(key: string, id: string, xml: string): Answer {
    const parts = this.uploads.get(id);
    if (parts === undefined) return errorAnswer(404, "NoSuchUpload");
    const named = [...xml.matchAll(/<PartNumber>(\d+)<\/PartNumber><ETag>([^<]*)<\/ETag>/g)];
    const bytes = named.map(([, number]) => parts.get(Number(number)));
    const wrong = named.some(([, , etag], i) => bytes[i] === undefined || etag !== etagOf(bytes[i]));
    const small = bytes.slice(0, -1).some((part) => (part?.length ?? 0) < PART_MIN);
    // As the service does: the status is sent before it is known.
    if (wrong || small) return errorAnswer(200, small ? "EntityTooSmall" : "InvalidPart");
    this.files.set(key, { bytes: Buffer.concat(bytes as Buffer[]), at: new Date() });
    this.uploads.delete(id);
    return { status: 200, body: "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>" };
  }
}

const sha256 = (data: string | Buffer): string => createHash("sha256").update(data).digest("hex");
const etagOf = (bytes: Buffer): string => `"${createHash("md5").update(bytes).digest("hex")}"`;
const hmac = (key: string | Buffer, data: string): Buffer => createHmac("sha256", key).update(data).digest();
const strict = (text: string): string => (
  encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
);
const canonicalPath = (path: string): string => path.split("/").map((name) => strict(decodeURIComponent(name))).join("/");
const canonicalQuery = (query: URLSearchParams): string => (
  [...query].map((pair) => pair.map(strict).join("=")).sort().join("&")
);

function errorAnswer(status: number, code: string): Answer {
  return { status, body: `<Error><Code>${code}</Code><Message>${code}</Message></Error>` };
}
