// http: a request as a task.

import type { In, Node } from "../graph/node.ts";
import type { DagTaskOptions } from "../graph/options.ts";
import { task } from "../graph/task.ts";
import { ctx } from "../run/context.ts";

export interface HttpInputs {
  readonly url: string;
  /** Default GET, with a body POST. */
  readonly method?: string | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Texts and bytes as they are, all else as JSON. */
  readonly body?: unknown;
  /** Statuses that are no failure. Default all below 400. */
  readonly accept?: readonly number[] | undefined;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON where the response says so, else text. */
  readonly body: unknown;
}

const BODY_CHARS = 500;

export function http(inputs: In<HttpInputs>, options: DagTaskOptions = {}): Node<HttpResponse> {
  return task(options.id ?? "http", request, options)(inputs);
}

export async function request({ url, method, headers = {}, body, accept }: HttpInputs): Promise<HttpResponse> {
  const isRaw = body === undefined || typeof body === "string" || body instanceof Uint8Array;
  const response = await fetch(url, {
    method: method ?? (body === undefined ? "GET" : "POST"), signal: ctx().signal,
    headers: isRaw ? headers : { "content-type": "application/json", ...headers },
    ...(body === undefined ? {} : { body: isRaw ? (body as string) : JSON.stringify(body) }),
  });
  const text = await response.text();
  if (accept === undefined ? response.status >= 400 : !accept.includes(response.status)) {
    throw new Error(`${method ?? "request to"} ${url} was answered with ${response.status}: ${text.slice(0, BODY_CHARS)}`);
  }
  const isJson = /\bjson\b/.test(response.headers.get("content-type") ?? "");
  return { status: response.status, headers: Object.fromEntries(response.headers), body: isJson ? JSON.parse(text) : text };
}
