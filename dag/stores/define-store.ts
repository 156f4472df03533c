// defineStore() and store(): stores by name. A definition is known in the process that made it, and on the cluster from the
// first run that this process starts.

import { homedir } from "node:os";
import { join } from "node:path";
import { InvalidArgumentError, kv, NotFoundError } from "../../sdk/index.ts";
import { isInTask } from "../run/context.ts";
import { type Check, type Checks, checkOptions, object, REDUCE_BRAND, storageFolder, text } from "../../sdk/contract.ts";
import { isWithoutCluster, keys } from "../run/keys.ts";
import { FolderStore } from "./folder-store.ts";
import { type HttpPlace, HttpStore } from "./http-store.ts";
import { hideSecrets, type KeptDefinition, sealed, unsealed } from "./sealed-definition.ts";
import type { S3Place } from "./s3-bucket.ts";
import { S3Store } from "./s3-store.ts";
import {
  type ByteRange, bytesOf, checkKey, checkRange, type Content, noSuchFile, type Store, type StoreClient, type StoredFile,
} from "./store.ts";

/** One of them. */
export interface StoreDefinition {
  /** A folder, the same on every machine that uses it. */
  readonly dir?: string | undefined;
  readonly s3?: S3Place | undefined;
  /** A web server, only read; its URL, or with headers. */
  readonly http?: string | HttpPlace | undefined;
}

const KEY = "dag/store/";
const defined = new Map<string, StoreDefinition>();
const published = new Map<string, StoreDefinition>();

/** Gives a place for files a name. A second definition of a name replaces the first. */
export function defineStore(name: string, definition: StoreDefinition): Store {
  checkName(name);
  checkDefinition(name, definition);
  hideSecrets(definition);
  defined.set(name, definition);
  return new NamedStore(name, definition);
}

/**
 * A store by its name. `default` is there without a definition: a folder beside the cluster's storage.
 *
 * @throws NotFoundError when there is none of that name; in the code of tasks, where the cluster is asked, with its first use.
 */
export function store(name: string): Store {
  checkName(name);
  const known = defined.get(name);
  if (known === undefined && name !== DEFAULT && !isInTask()) throw unknown(name);
  return new NamedStore(name, known);
}

/** A folder that has no name as a store. */
export function folderAt(dir: string): Store {
  checkDefinition("of files", { dir });
  return new NamedStore(dir, { dir });
}

/** What checkpoints go to that name no other store. */
const DEFAULT = "default";

/** Beside what the cluster keeps of itself; where it keeps nothing, a folder of the user. */
async function defaultDefinition(): Promise<StoreDefinition> {
  const beside = isWithoutCluster() ? "" : await storageFolder();
  const state = process.env.XDG_STATE_HOME ?? join(homedir(), ".local", "state");
  return { dir: beside === "" ? join(state, "troupe", "store") : `${beside}-store` };
}

/** Tells the cluster what this process has defined; once. */
export async function publishStores(): Promise<void> {
  for (const [name, definition] of defined) {
    if (published.get(name) === definition) continue;
    await kv.set(KEY + name, sealed(definition));
    published.set(name, definition);
  }
}

/** Clients by definition: handles of one store share it, wherever they came from. */
const clients = new Map<string, StoreClient>();

/** A store as it is handed around: it is opened with its first use, in each process anew. */
export class NamedStore implements Store {
  readonly name: string;
  readonly definition: StoreDefinition | undefined;

  constructor(name: string, definition: StoreDefinition | undefined) {
    this.name = name;
    this.definition = definition;
  }

  /** @internal With a definition that is whole wherever it is used, and nowhere on the way. */
  [REDUCE_BRAND](): readonly [restore: Function, args: readonly unknown[]] {
    return [storeFrom, [this.name, this.definition && sealed(this.definition)]];
  }

  toJSON(): string {
    return `[store ${this.name}]`;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toJSON();
  }

  async put(key: string, content: Content): Promise<StoredFile> {
    checkKey(this.name, key);
    return (await opened(this)).put(key, content);
  }

  get(key: string, range: ByteRange = {}): Promise<Buffer> {
    return bytesOf(this.read(key, range));
  }

  async *read(key: string, range: ByteRange = {}): AsyncGenerator<Uint8Array> {
    checkKey(this.name, key);
    checkRange(this.name, range);
    const client = await opened(this);
    // Of an empty range only whether the file is there is asked.
    if (range.end === undefined || range.end > (range.start ?? 0)) yield* client.read(key, range);
    else if ((await client.stat(key)) === undefined) throw noSuchFile(this.name, key);
  }

  async *list(prefix = ""): AsyncGenerator<StoredFile> {
    if (prefix !== "") checkKey(this.name, prefix.replace(/\/$/, ""));
    yield* (await opened(this)).list(prefix);
  }

  async stat(key: string): Promise<StoredFile | undefined> {
    checkKey(this.name, key);
    return (await opened(this)).stat(key);
  }

  async delete(key: string): Promise<void> {
    checkKey(this.name, key);
    await (await opened(this)).delete(key);
  }
}

/** @internal As it has travelled. */
export function storeFrom(name: string, kept: KeptDefinition | undefined): Store {
  return new NamedStore(name, kept && unsealed(kept));
}

async function opened({ name, definition }: NamedStore): Promise<StoreClient> {
  const found = definition ?? defined.get(name) ?? (await kept(name));
  if (found === undefined && name !== DEFAULT) throw unknown(name);
  const known = found ?? (await defaultDefinition());
  const id = JSON.stringify([name, known]);
  const client = clients.get(id) ?? clientOf(name, known);
  clients.set(id, client);
  return client;
}

async function kept(name: string): Promise<StoreDefinition | undefined> {
  const found = await keys().get<KeptDefinition>(KEY + name);
  return found && unsealed(found);
}

function clientOf(name: string, { dir, s3, http }: StoreDefinition): StoreClient {
  if (dir !== undefined) return new FolderStore(name, dir);
  if (s3 !== undefined) return new S3Store(name, s3);
  return new HttpStore(name, typeof http === "object" ? http : { url: http! });
}

/** Checked by what it is. */
const anything: Check = () => undefined;
const anyText: Check = (value) => (typeof value === "string" ? undefined : "a text");
const S3_CHECKS: Checks = {
  bucket: anyText, prefix: anyText, endpoint: anyText, region: anyText, connection: anyText,
  accessKeyId: anyText, secretAccessKey: anyText, sessionToken: anyText,
};

function checkDefinition(name: string, definition: StoreDefinition): void {
  const { dir, s3, http } = checkOptions(`store ${name}:`, definition, { dir: text, s3: object, http: anything });
  if (s3 !== undefined) checkOptions(`store ${name}: s3`, s3, S3_CHECKS);
  if (typeof http === "object") checkOptions(`store ${name}: http`, http, { url: text, headers: object });
  const given = [dir, s3, http].filter((one) => one !== undefined);
  if (given.length !== 1) {
    throw new InvalidArgumentError(`store ${name}: give one of { dir: "…" }, { s3: { bucket: "…" } } and { http: "…" }`);
  }
  if (s3 !== undefined && !s3.bucket && !s3.connection) {
    throw new InvalidArgumentError(`store ${name}: s3 needs the name of a bucket, or of a connection`);
  }
  const url = typeof http === "object" ? http.url : http;
  if (http !== undefined && !/^https?:$/.test(URL.canParse(url ?? "") ? new URL(url!).protocol : "")) {
    throw new InvalidArgumentError(`store ${name}: http needs a URL, not ${JSON.stringify(url)}`);
  }
}

function checkName(name: unknown): asserts name is string {
  if (typeof name === "string" && /^[\w.-]{1,200}$/.test(name)) return;
  throw new InvalidArgumentError(`store: the name must be letters, digits, "_", "-" and ".", not ${String(name)}`);
}

function unknown(name: string): NotFoundError {
  return new NotFoundError(`store ${name} is not known: define it with defineStore("${name}", { dir: "…" })`);
}
