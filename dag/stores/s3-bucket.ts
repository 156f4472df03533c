// Requests to one bucket, signed with whatever credentials are at hand.

import { InvalidArgumentError } from "../../sdk/index.ts";
import { connection } from "../operators/connection.ts";
import { keepSecret } from "../run/secrets.ts";
import { type Request, send } from "./request.ts";

export interface S3Place {
  /** Default that of the connection. */
  readonly bucket?: string | undefined;
  /** Before every key, such as "models/". */
  readonly prefix?: string | undefined;
  /** Of a server that is not Amazon's, such as "http://127.0.0.1:9000". */
  readonly endpoint?: string | undefined;
  /** Default AWS_REGION, else us-east-1. */
  readonly region?: string | undefined;
  /** Default those of the connection, else AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN. */
  readonly accessKeyId?: string | undefined;
  readonly secretAccessKey?: string | undefined;
  readonly sessionToken?: string | undefined;
  /** A connection by name: `s3://key:secret@host:port/bucket?region=…`, `scheme=http` for a server without TLS. */
  readonly connection?: string | undefined;
}

interface Access {
  readonly root: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

const ERROR_CHARS = 500;

export class S3Bucket {
  readonly #store: string;
  readonly #place: S3Place;
  /** Of keys that were derived for signatures. */
  readonly #cache = new Map<string, ArrayBuffer>();
  #access: Promise<Access> | undefined;

  constructor(store: string, place: S3Place) {
    this.#store = store;
    this.#place = place;
    if (place.secretAccessKey !== undefined) keepSecret(place.secretAccessKey);
  }

  get name(): string {
    return this.#place.bucket ?? `of connection ${this.#place.connection}`;
  }

  /** Errors are thrown, apart from what is not there and ranges that are not. */
  async ask(
    method: string, key: string, query: Readonly<Record<string, string>> = {}, body?: Buffer,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Response> {
    const access = await (this.#access ??= accessOf(this.#store, this.#place));
    const url = new URL(`${access.root}/${key.split("/").map(encodeURIComponent).join("/")}`);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    const response = await send(() => this.#signed(access, method, url, body, headers));
    if (response.status < 400 || response.status === 404 || response.status === 416) return response;
    const text = (await response.text()).slice(0, ERROR_CHARS);
    throw new Error(`store ${this.#store}: ${method} ${url.pathname} was answered with ${response.status}: ${text}`);
  }

  async #signed(
    access: Access, method: string, url: URL, body: Buffer | undefined, headers: Readonly<Record<string, string>>,
  ): Promise<Request> {
    const [{ AwsV4Signer }, { createHash }] = await Promise.all([import("aws4fetch"), import("node:crypto")]);
    // The server refuses bytes that were changed on their way.
    const hash = createHash("sha256").update(body ?? "").digest("hex");
    const signer = new AwsV4Signer({
      method, url: url.href, service: "s3", cache: this.#cache, headers: { ...headers, "x-amz-content-sha256": hash },
      region: access.region, accessKeyId: access.accessKeyId, secretAccessKey: access.secretAccessKey,
      ...(access.sessionToken === undefined ? {} : { sessionToken: access.sessionToken }),
    });
    const signed = await signer.sign();
    return { method, url: signed.url, headers: signed.headers, body: body as Buffer<ArrayBuffer> | undefined };
  }
}

async function accessOf(store: string, place: S3Place): Promise<Access> {
  const named = place.connection === undefined ? undefined : await connection(place.connection);
  const { env } = process;
  const bucket = place.bucket ?? named?.path.split("/")[0];
  const region = place.region ?? named?.extra.region ?? env.AWS_REGION ?? "us-east-1";
  const accessKeyId = place.accessKeyId ?? (named?.user || env.AWS_ACCESS_KEY_ID);
  const secretAccessKey = place.secretAccessKey ?? (named?.password || env.AWS_SECRET_ACCESS_KEY);
  const sessionToken = place.sessionToken ?? (place.accessKeyId === undefined ? env.AWS_SESSION_TOKEN : undefined);
  if (!bucket) throw new InvalidArgumentError(`store ${store}: s3 needs the name of a bucket`);
  if (!accessKeyId || !secretAccessKey) {
    throw new InvalidArgumentError(
      `store ${store}: s3 needs accessKeyId and secretAccessKey, a connection, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY`,
    );
  }
  keepSecret(secretAccessKey);
  if (sessionToken !== undefined) keepSecret(sessionToken);
  const port = named?.port === undefined ? "" : `:${named.port}`;
  const endpoint = place.endpoint ?? (named?.host ? `${named.extra.scheme ?? "https"}://${named.host}${port}` : undefined);
  const root =
    endpoint === undefined
      ? `https://${bucket}.s3.${region}.amazonaws.com`
      : `${endpoint.replace(/\/+$/, "")}/${encodeURIComponent(bucket)}`;
  return { root, region, accessKeyId, secretAccessKey, sessionToken };
}
