// http: a request as a task.

import { describeValue } from "../../sdk/contract.ts";
import { InvalidArgumentError } from "../../sdk/index.ts";
import { type In, Node } from "../graph/node.ts";
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
  if (!(inputs instanceof Node)) checkUrl(inputs);
  return task(options.id ?? "http", request, options)(inputs);
}

/** Those that are known where the graph is built, and all of them where it is asked. */
function checkUrl(inputs: unknown): asserts inputs is HttpInputs {
  const { url } = (inputs ?? {}) as { readonly url?: unknown };
  const protocol = typeof url === "string" && URL.canParse(url) ? new URL(url).protocol : "";
  if (url instanceof Node || protocol === "http:" || protocol === "https:") return;
  throw new InvalidArgumentError(`http: url must be one that begins with http:// or https://, not ${describeValue(url)}`);
}

export async function request(inputs: HttpInputs): Promise<HttpResponse> {
  checkUrl(inputs);
  const { url, headers = {}, body, method = body === undefined ? "GET" : "POST", accept } = inputs;
  const isRaw = body === undefined || typeof body === "string" || body instanceof Uint8Array;
  const [response, text] = await answerOf(`${method} ${url}`, url, {
    method, signal: ctx().signal,
    headers: isRaw ? headers : { "content-type": "application/json", ...headers },
    ...(body === undefined ? {} : { body: isRaw ? (body as string) : JSON.stringify(body) }),
  });
  if (accept === undefined ? response.status >= 400 : !accept.includes(response.status)) {
    throw new Error(`${method} ${url} was answered with ${response.status}: ${text.slice(0, BODY_CHARS)}`);
  }
  // Answers without a body say what it would have been.
  const isJson = text !== "" && /\bjson\b/.test(response.headers.get("content-type") ?? "");
  return {
    status: response.status, headers: Object.fromEntries(response.headers),
    body: isJson ? jsonOf(`${method} ${url}`, text) : text,
  };
}

async function answerOf(what: string, url: string, init: RequestInit): Promise<readonly [Response, string]> {
  try {
    const response = await fetch(url, init);
    return [response, await response.text()];
  } catch (error) {
    init.signal?.throwIfAborted();
    const { message, cause } = error as Error;
    throw new Error(`${what}: ${cause instanceof Error ? `${message}: ${cause.message}` : message}`, { cause: error });
  }
}

function jsonOf(what: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${what} was answered with what is no JSON: ${(error as Error).message}`);
  }
}
