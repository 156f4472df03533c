// Requests of stores: bounded in time, and tried again when the network or the server failed.

import { setTimeout as sleep } from "node:timers/promises";

export interface Request {
  readonly method: string;
  readonly url: URL;
  readonly headers: Headers;
  readonly body?: Uint8Array<ArrayBuffer> | undefined;
}

const TRIES = 5;
const FIRST_WAIT_MS = 100;
/** Until the server begins to answer. */
const ANSWER_MS = 60_000;
/** Between two pieces of an answer. */
const PIECE_MS = 60_000;
const BUSY = new Set([408, 429, 500, 502, 503, 504]);

/** `make` makes each try anew, since signatures are of their time. The last answer is given, whatever it is. */
export async function send(make: () => Request | Promise<Request>): Promise<Response> {
  for (let tries = 1; ; tries += 1) {
    try {
      const response = await once(await make());
      if (tries === TRIES || !BUSY.has(response.status)) return response;
      await response.body?.cancel();
    } catch (error) {
      if (tries === TRIES) throw error;
    }
    await sleep(FIRST_WAIT_MS * 2 ** (tries - 1) * (0.5 + Math.random() / 2));
  }
}

async function once({ method, url, headers, body }: Request): Promise<Response> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new Error(`no answer within ${ANSWER_MS} ms`)), ANSWER_MS);
  try {
    return await fetch(url, { method, headers, signal: late.signal, ...(body === undefined ? {} : { body }) });
  } catch (error) {
    const { message, cause } = error as Error;
    const reason = cause instanceof Error ? `${message}: ${cause.message}` : message;
    throw new Error(`${method} ${url.host}${url.pathname}: ${reason}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

/** The body as it comes; silence of a minute ends it. */
export async function* bodyOf(response: Response): AsyncGenerator<Uint8Array> {
  if (response.body === null) return;
  const reader = response.body.getReader();
  let timer: NodeJS.Timeout | undefined;
  try {
    for (;;) {
      const silence = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error(`${response.url} sent nothing for ${PIECE_MS} ms`)), PIECE_MS);
      });
      const { done, value } = await Promise.race([reader.read(), silence]);
      clearTimeout(timer);
      if (done) return;
      yield value;
    }
  } finally {
    clearTimeout(timer);
    await reader.cancel().catch(() => {});
  }
}

export function rangeHeader(start: number, end: number): Record<string, string> {
  if (start === 0 && end === Infinity) return {};
  return { range: `bytes=${start}-${end === Infinity ? "" : end - 1}` };
}
