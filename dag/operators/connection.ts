// Connections and variables: what graphs are told by name, not by value.

import { openSealed, sealForCluster } from "../../sdk/contract.ts";
import { InvalidArgumentError, kv, NotFoundError } from "../../sdk/index.ts";
import { isWithoutCluster, keys } from "../run/keys.ts";
import { isSecretName, keepSecret, keepSecretsAround, secretsOf } from "../run/secrets.ts";

export interface Connection {
  readonly uri: string;
  readonly scheme: string;
  readonly host: string;
  readonly port: number | undefined;
  readonly user: string;
  readonly password: string;
  readonly path: string;
  /** What stands after the question mark. */
  readonly extra: Readonly<Record<string, string>>;
}

const VARIABLES = "dag/variable/";
const CONNECTIONS = "dag/connection/";

/**
 * By the environment variable `TROUPE_CONN_<NAME>` (a URI), then from the cluster. Its secrets are "***" in all that tasks tell.
 *
 * @throws NotFoundError.
 */
export async function connection(name: string): Promise<Connection> {
  checkName("connection", name);
  const named = `TROUPE_CONN_${name.toUpperCase().replaceAll(/[^A-Z0-9]/g, "_")}`;
  const uri = process.env[named] ?? (await keptUri(name));
  if (uri !== undefined) return connectionOf(name, uri);
  throw new NotFoundError(`connection ${name} is not known: set ${named}, or setConnection("${name}", uri)`);
}

/** Keeps a connection in the cluster. */
export async function setConnection(name: string, uri: string): Promise<void> {
  checkName("connection", name);
  const { password, extra } = connectionOf(name, uri);
  const hasSecrets = password !== "" || Object.keys(extra).some((one) => isSecretName(one) || /key/i.test(one));
  await keys().set(CONNECTIONS + name, hasSecrets && !isWithoutCluster() ? { sealed: sealForCluster(uri) } : uri);
}

type KeptUri = string | { readonly sealed: string };

async function keptUri(name: string): Promise<string | undefined> {
  const found = await keys().get<KeptUri>(CONNECTIONS + name);
  return found === undefined ? undefined : uriOf(found);
}

function uriOf(kept: KeptUri): string {
  return typeof kept === "string" ? kept : openSealed(kept.sealed);
}

const LEARN_EVERY_MS = 5000;
let learntAt = 0;

/** For who tells what tasks told, and may not have read a connection itself: those of the environment and of the cluster. */
export async function learnSecrets(): Promise<void> {
  if (Date.now() - learntAt < LEARN_EVERY_MS) return;
  learntAt = Date.now();
  keepSecretsAround();
  for await (const [key, uri] of kv.scan<KeptUri>(CONNECTIONS)) {
    connectionOf(key.slice(CONNECTIONS.length), uriOf(uri));
  }
  for await (const [key, value] of kv.scan(VARIABLES)) {
    if (typeof value === "string" && isSecretName(key.slice(VARIABLES.length))) keepSecret(value);
  }
}

export function connectionOf(name: string, uri: string): Connection {
  if (typeof uri !== "string" || !URL.canParse(uri)) {
    throw new InvalidArgumentError(`connection ${name} is no URI, such as postgres://user:password@host:5432/database`);
  }
  const url = new URL(uri);
  for (const secret of secretsOf(url)) keepSecret(secret);
  const decoded = (text: string): string => {
    try {
      return decodeURIComponent(text);
    } catch {
      throw new InvalidArgumentError(`connection ${name}: a % in its URI is written %25`);
    }
  };
  return {
    uri,
    scheme: url.protocol.slice(0, -1),
    host: url.hostname,
    port: url.port === "" ? undefined : Number(url.port),
    user: decoded(url.username),
    password: decoded(url.password),
    path: decoded(url.pathname.replace(/^\//, "")),
    extra: Object.fromEntries(url.searchParams),
  };
}

export interface Variable<T> {
  /** Undefined when it was never set. */
  get(): Promise<T | undefined>;
  set(value: T): Promise<void>;
  /** Changes it by what it is; of several at once each sees what the one before made. Gives what it is now. */
  update(change: (value: T | undefined) => T | Promise<T>): Promise<T>;
}

/** A value that all runs of the cluster share, kept with its head. */
export function variable<T = unknown>(name: string): Variable<T> {
  checkName("variable", name);
  const key = VARIABLES + name;
  // By its name, as with environment variables.
  const seen = <V>(value: V): V => {
    if (typeof value === "string" && isSecretName(name)) keepSecret(value);
    return value;
  };
  return {
    get: async () => seen(await keys().get<T>(key)),
    set: (value) => keys().set(key, seen(value)),
    update: async (change) => {
      for (;;) {
        const before = seen(await keys().get<T>(key));
        const after = seen(await change(before));
        if (await keys().cas(key, before, after)) return after;
      }
    },
  };
}

function checkName(what: string, name: unknown): void {
  if (typeof name === "string" && /^[\w.-]{1,200}$/.test(name)) return;
  throw new InvalidArgumentError(`${what}: the name must be letters, digits, "_", "-" and ".", not ${String(name)}`);
}
