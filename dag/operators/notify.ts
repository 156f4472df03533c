// notify: callbacks that tell people. They may be combined with others, and change no state.

import { request } from "node:http";
import { request as secureRequest } from "node:https";
import type { Callback, CallbackInfo } from "../graph/options.ts";

type Text = string | ((told: CallbackInfo) => string);

export interface WebhookOptions {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** What is posted, as JSON. Default all that is told. */
  readonly body?: ((told: CallbackInfo) => unknown) | undefined;
}

const TIMEOUT_MS = 10_000;
const TRIES = 3;

export const notify = {
  /** Posts to an incoming webhook of Slack. */
  slack:
    ({ webhook, text, channel }: { readonly webhook: string; readonly text?: Text; readonly channel?: string }): Callback =>
    (told) =>
      post(webhook, { text: textOf(text, told), ...(channel === undefined ? {} : { channel }) }),
  webhook:
    ({ url, headers, body = bodyOf }: WebhookOptions): Callback =>
    (told) =>
      post(url, body(told), headers),
} as const;

function textOf(text: Text | undefined, told: CallbackInfo): string {
  if (typeof text === "function") return text(told);
  if (text !== undefined) return text;
  const { run, task, error } = told;
  const what = task === undefined ? `run ${run.id}` : `task ${task.id} of run ${run.id}`;
  if (error === undefined) return `${run.dagId}: ${what} succeeded`;
  return `${run.dagId}: ${what} failed: ${error instanceof Error ? error.message : String(error)}`;
}

function bodyOf({ run, task, attempt, error, nextAt }: CallbackInfo): unknown {
  const { id, dagId, logicalDate } = run;
  const failure = error === undefined ? {} : { error: textOf(undefined, { run, error }) };
  return { run: { id, dagId, logicalDate }, task, attempt, nextAt, ...failure };
}

/** At least once: what was not answered is sent again. */
async function post(url: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      const status = await send(url, JSON.stringify(body), headers);
      if (status < 300) return;
      throw new Error(`${new URL(url).host} answered ${status}`);
    } catch (error) {
      if (tries === TRIES) throw error;
    }
  }
}

function send(url: string, text: string, headers: Readonly<Record<string, string>>): Promise<number> {
  return new Promise((resolve, reject) => {
    const options = { method: "POST", timeout: TIMEOUT_MS, headers: { "content-type": "application/json", ...headers } };
    const call = (url.startsWith("https:") ? secureRequest : request)(url, options, (response) => {
      response.resume();
      response.once("end", () => resolve(response.statusCode ?? 0));
      response.once("error", reject);
    });
    call.once("timeout", () => call.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)));
    call.once("error", reject);
    call.end(text);
  });
}
