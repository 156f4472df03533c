// bash and sh: commands as tasks.
//
// Exit 0 is success, 99 a skip, all else a failure with the last lines of stderr. The last line of stdout is the result, as
// JSON where it, or all of it, is that; a line that is a flat JSON object is told as metrics. A command ends with its
// attempt, and everything it started with it.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { In, Node } from "../graph/node.ts";
import { type DagTaskOptions, mergeOptions } from "../graph/options.ts";
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

/** Runs a command with bash; gives the last line it printed. */
export function bash(inputs: In<BashInputs>, options: DagTaskOptions = {}): Node<unknown> {
  return task(options.id ?? "bash", runBash, options)(inputs);
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
  return `'${String(value).replaceAll("'", String.raw`'\''`)}'`;
}

export async function runBash({ cmd, env = {}, cwd }: BashInputs): Promise<unknown> {
  const { signal, logger } = ctx();
  for (const [name, value] of Object.entries(env)) if (isSecretName(name)) keepSecret(value);
  const child = spawn("bash", ["-c", cmd], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
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
  createInterface(child.stdout).on("line", (line) => {
    if (line.trim() !== "") last = line.slice(0, LINE_CHARS);
    if (all.length <= OUTPUT_CHARS) all += `${line}\n`;
    tellMetrics(line);
  });
  createInterface(child.stderr).on("line", (line) => {
    stderr.push(line.slice(0, LINE_CHARS));
    if (stderr.length > STDERR_LINES) stderr.shift();
    logger.warn(line);
  });
  try {
    const code = await new Promise<number | NodeJS.Signals>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (exit, killed) => resolve(exit ?? killed ?? "SIGKILL"));
    });
    signal.throwIfAborted();
    if (code === SKIP_CODE) ctx().skip(`the command ended with ${SKIP_CODE}`);
    if (code !== 0) throw new Error(`the command ended with ${code}${stderr.length > 0 ? `: ${stderr.join("\n")}` : ""}`);
    return resultOf(last, all);
  } finally {
    signal.removeEventListener("abort", end);
    // What the command left in the background is its own.
    end();
  }
}

/** Any flat JSON object among the lines that a child process of a task prints is metrics. */
function tellMetrics(line: string): void {
  if (!line.trimStart().startsWith("{")) return;
  const value = valueOf(line);
  if (typeof value !== "object" || value === null) return;
  for (const [name, number] of Object.entries(value)) if (typeof number === "number") ctx().metric(name, number);
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
