// Serves the API over HTTP: one table of routes, bounded bodies, errors as JSON, streams as NDJSON.

import { createServer, type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { ConnectionError, InvalidArgumentError, NotFoundError, TroupeError } from "../../sdk/index.ts";
import { masked } from "../run/secrets.ts";
import { BASE, openApi } from "./openapi.ts";
import { Refused } from "./refused.ts";
import { type Route, ROUTES, type Served } from "./routes.ts";
import { problemOf, type Schema } from "./schema-check.ts";
import { SCHEMAS } from "./schemas.ts";

export interface ApiPlace {
  /** 0 is any free one. */
  readonly port: number;
  /** Default 127.0.0.1. */
  readonly host?: string | undefined;
}

export interface ApiParts {
  readonly served: Served;
  readonly version: string;
  readonly isToken: (given: string) => boolean;
  /** Before anything is told: texts that hide secrets must know them. */
  readonly learnSecrets: () => Promise<void>;
}

export interface ApiServer {
  readonly url: string;
  close(): void;
}

const BODY_BYTES_MAX = 1024 * 1024;
/** What is read of a body that is too large, so that whoever sends it hears why it is refused. */
const READ_BYTES_MAX = 64 * 1024 * 1024;
/** Lists in lists in lists: more is for nobody, and too much for whoever walks through it. */
const BODY_DEPTH_MAX = 200;
const REQUEST_MS = 10_000;
const CONNECTIONS_MAX = 1000;
const HEADERS = {
  "Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
};

/** @throws ConnectionError when the port can't be had. */
export function serveApi(parts: ApiParts, { port, host = "127.0.0.1" }: ApiPlace): Promise<ApiServer> {
  const server = createServer((request, response) => void respond(parts, request, response));
  server.requestTimeout = REQUEST_MS;
  server.headersTimeout = REQUEST_MS;
  server.maxConnections = CONNECTIONS_MAX;
  server.on("clientError", refuseConnection);
  return new Promise((resolve, reject) => {
    server.once("error", (error) => {
      reject(new ConnectionError(`the API can't be served at ${host}:${port}: ${error.message}`, {}, error));
    });
    server.listen(port, host, () => {
      const { port: own } = server.address() as AddressInfo;
      resolve({
        url: `http://${host.includes(":") ? `[${host}]` : host}:${own}${BASE}`,
        close: () => {
          server.close();
          server.closeAllConnections();
        },
      });
    });
  });
}

/** What is no HTTP is answered too. */
function refuseConnection({ code, message }: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable || code === "ECONNRESET") return void socket.destroy();
  const status = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 }[code ?? ""] ?? 400;
  const body = `${JSON.stringify({ error: { code: "INVALID_ARGUMENT", message: `this is no request: ${message}` } })}\n`;
  const headers = { ...HEADERS, Connection: "close", "Content-Length": Buffer.byteLength(body) };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join("")}\r\n${body}`);
}

async function respond(parts: ApiParts, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    const url = urlOf(request);
    if (url.pathname === `${BASE}/openapi.json` && request.method === "GET") return send(response, 200, openApi(parts.version));
    const { route, path } = routeOf(request.method ?? "", url.pathname);
    if (!route.open) checkToken(request, parts);
    const query = queryOf(route, url.searchParams);
    const body = await bodyOf(route, request);
    await parts.learnSecrets();
    const signal = closed(response);
    const answer = await route.answer(parts.served, { path, query: query as never, body: body as never, signal });
    if (route.streams) return await stream(response, answer as AsyncIterable<unknown>);
    send(response, route.status ?? 200, answer);
  } catch (error) {
    fail(response, error);
  }
}

function urlOf({ url = "/" }: IncomingMessage): URL {
  try {
    return new URL(url, "http://api");
  } catch {
    throw new Refused(400, "INVALID_ARGUMENT", `${url} is no path`);
  }
}

function closed(response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  response.once("close", () => controller.abort());
  return controller.signal;
}

function routeOf(method: string, pathname: string): { route: Route; path: Record<string, string> } {
  const allowed: string[] = [];
  for (const { pattern, route } of PATTERNS) {
    const match = pattern.exec(pathname);
    if (match === null) continue;
    if (route.method !== method) {
      allowed.push(route.method);
      continue;
    }
    return { route, path: Object.fromEntries(Object.entries(match.groups ?? {}).map(([name, text]) => [name, decoded(text)])) };
  }
  const ways = allowed.join(", ");
  if (ways !== "") throw new Refused(405, "METHOD_NOT_ALLOWED", `${pathname} takes ${ways}, not ${method}`, { Allow: ways });
  throw new Refused(404, "NOT_FOUND", `there is nothing at ${pathname}; ${BASE}/openapi.json tells what there is`);
}

const PATTERNS = ROUTES.map((route) => ({
  route, pattern: new RegExp(`^${BASE}${route.path.replaceAll(/\{(\w+)\}/g, "(?<$1>[^/]+)")}$`),
}));

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Refused(400, "INVALID_ARGUMENT", `${text} in the path can't be decoded`);
  }
}

function checkToken({ headers: { authorization = "" } }: IncomingMessage, { isToken }: ApiParts): void {
  const [, token = ""] = /^Bearer (\S+)$/i.exec(authorization) ?? [];
  if (isToken(token)) return;
  const asks = { "WWW-Authenticate": "Bearer" };
  throw new Refused(401, "AUTHENTICATION", "the header Authorization: Bearer TOKEN must have the cluster's token", asks);
}

function queryOf({ query = {} }: Route, given: URLSearchParams): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const [name, text] of given) {
    const schema: Schema | undefined = Object.hasOwn(query, name) ? query[name] : undefined;
    if (schema === undefined) {
      throw new Refused(400, "INVALID_ARGUMENT", `${name} is not known; known are ${Object.keys(query).join(", ") || "none"}`);
    }
    found[name] = schema.type === "integer" && text !== "" ? Number(text) : text;
    refuse(problemOf(schema, found[name], SCHEMAS, name));
  }
  return found;
}

async function bodyOf({ body: schema }: Route, request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= BODY_BYTES_MAX) chunks.push(chunk);
    if (size > READ_BYTES_MAX) break;
  }
  if (size > BODY_BYTES_MAX) throw new Refused(413, "TOO_LARGE", `a body may have ${BODY_BYTES_MAX} bytes`);
  if (schema === undefined) return {};
  let body: unknown = {};
  try {
    if (size > 0) body = JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch (error) {
    throw new Refused(400, "INVALID_ARGUMENT", `the body is no JSON: ${(error as Error).message}`);
  }
  refuse(isDeeper(body, BODY_DEPTH_MAX) ? `body may be nested ${BODY_DEPTH_MAX} deep` : problemOf(schema, body, SCHEMAS));
  return body;
}

function isDeeper(value: unknown, most: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return most === 0 || Object.values(value).some((one) => isDeeper(one, most - 1));
}

function refuse(problem: string | undefined): void {
  if (problem !== undefined) throw new Refused(400, "INVALID_ARGUMENT", problem);
}

function send(response: ServerResponse, status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): void {
  if (response.destroyed) return;
  // What came in and was not read would be taken for the next request.
  const close = response.req.complete ? {} : { Connection: "close" };
  // What can't be written as JSON is found before anything is sent.
  const text = textOf(value);
  response.writeHead(status, { ...HEADERS, ...close, ...headers }).end(`${text}\n`);
}

/** No faster than it is read; ends when nobody reads any more. */
async function stream(response: ServerResponse, lines: AsyncIterable<unknown>): Promise<void> {
  response.writeHead(200, { ...HEADERS, "Content-Type": "application/x-ndjson; charset=utf-8" }).flushHeaders();
  for await (const line of lines) {
    if (response.destroyed) return;
    if (response.write(`${textOf(line)}\n`)) continue;
    await new Promise<void>((resolve) => response.once("drain", resolve).once("close", resolve));
  }
  response.end();
}

function fail(response: ServerResponse, error: unknown): void {
  // The answer is under way: that it stops in the middle says that something went wrong.
  if (response.headersSent) return void response.destroy();
  const { status, code, message, headers } = refusalOf(error);
  send(response, status, { error: { code, message } }, headers);
}

function refusalOf(error: unknown): Pick<Refused, "status" | "code" | "message"> & Partial<Pick<Refused, "headers">> {
  if (error instanceof Refused) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof NotFoundError) return { status: 404, code: error.code, message };
  if (error instanceof InvalidArgumentError) return { status: 400, code: error.code, message };
  if (error instanceof TroupeError) return { status: error.code === "DAG_RUN_FAILED" ? 409 : 500, code: error.code, message };
  return { status: 500, code: "INTERNAL", message };
}

/** As JSON without secrets. Results of users may hold what JSON has not. */
function textOf(value: unknown): string {
  return masked(JSON.stringify(value, plain) ?? "null");
}

function plain(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  if (value instanceof Map) return Object.fromEntries(value as Map<string, unknown>);
  const isList = value instanceof Set || (ArrayBuffer.isView(value) && !(value instanceof DataView));
  if (isList) return [...(value as Iterable<unknown>)];
  return value instanceof Error ? { name: value.name, message: value.message } : value;
}
