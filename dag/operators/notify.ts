// notify: callbacks that tell people. They may be combined with others, and change no state.

import { request } from "node:http";
import { request as secureRequest } from "node:https";
import { type Check, type Checks, checkOptions, object, text } from "../../sdk/contract.ts";
import { InvalidArgumentError } from "../../sdk/index.ts";
import { type In, Node, nodesIn } from "../graph/node.ts";
import type { Callback, CallbackInfo, DagTaskOptions } from "../graph/options.ts";
import { task } from "../graph/task.ts";
import { ctx } from "../run/context.ts";
import { masked } from "../run/secrets.ts";
import { type Connection, connection, connectionOf } from "./connection.ts";

type Text = string | ((told: CallbackInfo) => string);

export interface WebhookOptions {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** What is posted, as JSON. Default all that is told. */
  readonly body?: ((told: CallbackInfo) => unknown) | undefined;
}

export interface EmailOptions {
  readonly to: string | readonly string[];
  /** Default that of the connection: its `from=…`, else its user. */
  readonly from?: string | undefined;
  readonly subject?: Text | undefined;
  readonly text?: Text | undefined;
  readonly html?: Text | undefined;
  /** The server: a connection by name, or its URI, `smtp://user:password@host:587` or `smtps://…`. Default "smtp". */
  readonly connection?: string | undefined;
}

const TIMEOUT_MS = 10_000;
const TRIES = 3;

export interface SlackOptions {
  /** An incoming webhook. */
  readonly webhook: string;
  readonly text?: Text | undefined;
  readonly channel?: string | undefined;
}

/** A way to tell people: as a callback of tasks and graphs; with options of a task, a task of its own. */
export interface Notifier<I extends object> {
  (inputs: I): Callback;
  (inputs: In<I>, options: DagTaskOptions): Node<void>;
}

const words: Check = (value) => (typeof value === "function" || text(value) === undefined ? undefined : "a text, or a function");
const address: Check = (value) => (
  typeof value === "string" && /^https?:$/.test(URL.canParse(value) ? new URL(value).protocol : "") ? undefined : "a URL"
);
const callable: Check = (value) => (typeof value === "function" ? undefined : "a function");
const people: Check = (value) => {
  const all = [value].flat();
  return all.length > 0 && all.every((one) => text(one) === undefined) ? undefined : "an address, or a list of them";
};

export const notify = {
  slack: notifier(
    "slack", "webhook", { webhook: address, text: words, channel: text },
    ({ webhook, text: said, channel }: SlackOptions, told) => (
      post(webhook, { text: textOf(said, told), ...(channel === undefined ? {} : { channel }) })
    ),
  ),
  email: notifier(
    "email", "to", { to: people, from: text, subject: words, text: words, html: words, connection: text },
    (inputs: EmailOptions, told) => again(() => sendMail(inputs, told)),
  ),
  webhook: notifier(
    "webhook", "url", { url: address, headers: object, body: callable },
    ({ url, headers, body = bodyOf }: WebhookOptions, told) => post(url, body(told), headers),
  ),
} as const;

/** `needed`: the one input without which there is nobody to tell. */
function notifier<I extends object>(
  id: string, needed: string, checks: Checks, tell: (inputs: I, told: CallbackInfo) => Promise<void>,
): Notifier<I> {
  // What comes from other tasks is known when it is there.
  const known = Object.fromEntries(Object.entries(checks).map(([name, check]): [string, Check] => (
    [name, (value) => (nodesIn(value).length > 0 ? undefined : check(value))]
  )));
  const notifying = (inputs: I, options?: DagTaskOptions): unknown => {
    const given = inputs instanceof Node ? { [needed]: inputs } : checkOptions(`notify.${id}`, inputs, known);
    if (!Object.hasOwn(given, needed)) throw new InvalidArgumentError(`notify.${id} needs ${needed}`);
    if (options === undefined) return (told: CallbackInfo) => tell(inputs, told);
    const run = (given: I): Promise<void> => {
      const { run: of, task: own, attempt } = ctx();
      return tell(given, { run: of, task: own, attempt });
    };
    return task(options.id ?? id, run, options)(inputs as never);
  };
  return notifying as Notifier<I>;
}

function textOf(text: Text | undefined, told: CallbackInfo): string {
  if (typeof text === "function") return text(told);
  if (text !== undefined) return text;
  const { run, task, error, nextAt, state } = told;
  const what = `${run.dagId}: ${task === undefined ? "" : `task ${task.id} of `}run ${run.id}`;
  if (state === "skipped") return `${what} was skipped`;
  if (error === undefined) return `${what} succeeded`;
  const again = nextAt === undefined ? "" : `; the next try begins at ${nextAt.toISOString()}`;
  const how = state === "cancelled" ? "was cancelled" : "failed";
  return `${what} ${how}: ${error instanceof Error ? error.message : String(error)}${again}`;
}

function bodyOf(told: CallbackInfo): unknown {
  const { run: { id, dagId, logicalDate }, task, attempt, error, nextAt, state } = told;
  const failure = error === undefined ? {} : { error: textOf(undefined, told) };
  return { run: { id, dagId, logicalDate }, task, attempt, state, nextAt, ...failure };
}

/** At least once: what was not answered is sent again. */
async function again(act: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await act();
    } catch (error) {
      if (tries === TRIES) throw error;
    }
  }
}

function post(url: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<void> {
  const text = masked(JSON.stringify(body));
  return again(async () => {
    const status = await send(url, text, headers);
    if (status >= 300) throw new Error(`${new URL(url).host} answered ${status}`);
  });
}

async function sendMail(options: EmailOptions, told: CallbackInfo): Promise<void> {
  const { to, from, subject, text, html, connection: named = "smtp" } = options;
  const { createTransport } = await import("nodemailer");
  const server = /^smtps?:/.test(named) ? connectionOf("of notify.email", named) : await connection(named);
  const transport = createTransport({ ...serverOf(named, server), connectionTimeout: TIMEOUT_MS, socketTimeout: TIMEOUT_MS });
  try {
    await transport.sendMail({
      to: [to].flat(), from: from ?? server.extra.from ?? server.user, subject: masked(textOf(subject, told)),
      text: masked(textOf(text, told)), ...(html === undefined ? {} : { html: masked(textOf(html, told)) }),
    });
  } finally {
    transport.close();
  }
}

function serverOf(named: string, { scheme, host, port, user, password }: Connection): object {
  if (scheme !== "smtp" && scheme !== "smtps") {
    throw new InvalidArgumentError(`notify.email: connection ${named} is ${scheme}://…; it must be smtp:// or smtps://`);
  }
  // smtp takes TLS where the server offers it.
  const auth = user === "" ? {} : { auth: { user, pass: password } };
  return { host, port: port ?? (scheme === "smtps" ? 465 : 587), secure: scheme === "smtps", ...auth };
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
