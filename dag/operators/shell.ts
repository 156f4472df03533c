// bash and sh: commands as tasks.
//
// Exit 0 is success, 99 a skip, all else a failure with the last lines of stderr. The last line of stdout is the result, as
// JSON where it, or all of it, is that; a line that is a flat JSON object is told as metrics, others are logs. A command ends
// with its attempt, and everything it started with it, also when the worker is killed.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { stat } from "node:fs/promises";
import { createInterface } from "node:readline";
import { describeValue } from "../../sdk/contract.ts";
import { InvalidArgumentError } from "../../sdk/index.ts";
import { type In, Node } from "../graph/node.ts";
import { type DagTaskOptions, mergeOptions } from "../graph/options.ts";
import { isPlain } from "../graph/structure.ts";
import { task } from "../graph/task.ts";
import { ctx } from "../run/context.ts";
import { isSecretName, keepSecret } from "../run/secrets.ts";

export interface BashInputs {
  readonly cmd: string;
  /** Beside those of the worker. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly cwd?: string | undefined;
}

const SKIP_CODE = 99;
const STDERR_LINES = 20;
const LINE_CHARS = 64 * 1024;
/** Of what was printed, as far as it may be one value. */
const OUTPUT_CHARS = 1024 * 1024;
/** Of the last line. A longer one is refused: a part of a value is none. */
const RESULT_CHARS = 256 * 1024 * 1024;
/**
 * Ends the group when the other end of fd 3 is closed, which is also when the worker was killed; then the command itself, in the
 * same process. The watcher is nobody's child, so that the command's own `wait` does not wait for it.
 */
const WATCHED = '( (read -r <&3; kill -KILL -- "-$$") >/dev/null 2>&1 & ); exec bash -c "$1" 3<&-';

/** Runs a command with bash; gives the last line it printed. */
export function bash(inputs: In<BashInputs>, options: DagTaskOptions = {}): Node<unknown> {
  if (!(inputs instanceof Node)) checkCommand(inputs);
  return task(options.id ?? "bash", runBash, options)(inputs);
}

function checkCommand(inputs: unknown): asserts inputs is BashInputs {
  const { cmd } = (inputs ?? {}) as { readonly cmd?: unknown };
  if ((typeof cmd === "string" && cmd !== "") || cmd instanceof Node) return;
  throw new InvalidArgumentError(`bash: cmd must be a command, as a text, not ${describeValue(cmd)}`);
}

export interface ShellTag {
  /** A command with values in it, each quoted for the shell; values may be nodes. */
  (texts: TemplateStringsArray, ...values: readonly unknown[]): Node<unknown>;
  with(options: DagTaskOptions): ShellTag;
}

export const sh: ShellTag = shellTag({});

function shellTag(options: DagTaskOptions): ShellTag {
  const tag = (texts: TemplateStringsArray, ...values: readonly unknown[]): Node<unknown> => (
    task(options.id ?? "sh", runQuoted, options)([...texts], [...values] as never)
  );
  return Object.assign(tag, { with: (more: DagTaskOptions) => shellTag(mergeOptions(options, more)) });
}

export function runQuoted(texts: readonly string[], values: readonly unknown[]): Promise<unknown> {
  return runBash({ cmd: texts.map((text, i) => (i === 0 ? text : quoted(values[i - 1]) + text)).join("") });
}

/** Lists are several words. */
function quoted(value: unknown): string {
  if (Array.isArray(value)) return value.map(quoted).join(" ");
  return `'${wordOf(value).replaceAll("'", String.raw`'\''`)}'`;
}

/** What is not there, such as the result of a task that was skipped, is an empty word. */
function wordOf(value: unknown): string {
  if (value === undefined || value === null) return "";
  if (value instanceof Date) return value.toISOString();
  return isPlain(value) ? JSON.stringify(value) : String(value);
}

export async function runBash(inputs: BashInputs): Promise<unknown> {
  checkCommand(inputs);
  const { cmd, env = {}, cwd } = inputs;
  const { signal, logger } = ctx();
  for (const [name, value] of Object.entries(env)) if (isSecretName(name)) keepSecret(String(value));
  // What the system says of it does not name it.
  if (cwd !== undefined && !(await isFolder(cwd))) throw new InvalidArgumentError(`bash: cwd ${cwd} is no folder here`);
  signal.throwIfAborted();
  const child = spawn("bash", ["-c", WATCHED, "bash", cmd], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    detached: true,
  });
  const end = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    } catch {
      // It has ended already.
    }
  };
  signal.addEventListener("abort", end, { once: true });
  let [last, all] = ["", ""];
  const stderr: string[] = [];
  const [out, err] = [createInterface(child.stdout!), createInterface(child.stderr!)];
  out.on("line", (line) => {
    if (line.trim() !== "") last = line;
    if (all.length <= OUTPUT_CHARS) all += `${line}\n`;
    if (!tellMetrics(line)) logger.info(line);
  });
  err.on("line", (line) => {
    stderr.push(line.slice(0, LINE_CHARS));
    if (stderr.length > STDERR_LINES) stderr.shift();
    logger.warn(line);
  });
  try {
    // All that it prints is heard, also of what it left in the background.
    const [[exit, killed]] = await Promise.all([once(child, "exit"), once(out, "close"), once(err, "close")]);
    const code = (exit ?? killed) as number | NodeJS.Signals;
    signal.throwIfAborted();
    if (code === SKIP_CODE) ctx().skip(`the command ended with ${SKIP_CODE}`);
    if (code !== 0) throw new Error(`the command ended with ${code}${stderr.length > 0 ? `: ${stderr.join("\n")}` : ""}`);
    if (last.length > RESULT_CHARS) throw new Error(`the last line has more than ${RESULT_CHARS} characters`);
    return resultOf(last, all);
  } finally {
    signal.removeEventListener("abort", end);
    end();
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}

/** Any flat JSON object among the lines that a child process of a task prints is metrics. True when there were some. */
function tellMetrics(line: string): boolean {
  if (line.length > LINE_CHARS || !line.trimStart().startsWith("{")) return false;
  const value = valueOf(line);
  if (typeof value !== "object" || value === null) return false;
  const numbers = Object.entries(value).filter(([, number]) => typeof number === "number");
  for (const [name, number] of numbers) ctx().metric(name, number as number);
  return numbers.length > 0;
}

/** The last line, unless all that was printed is JSON of several lines. */
function resultOf(last: string, all: string): unknown {
  const value = valueOf(last);
  if (value !== last || all.length > OUTPUT_CHARS || !/^\s*[{[]/.test(all)) return value;
  const whole = valueOf(all);
  return whole === all ? value : whole;
}

function valueOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return line;
  }
}
