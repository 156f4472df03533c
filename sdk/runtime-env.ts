// What work runs in: the type of the option `runtimeEnv` of init, tasks and actors, and its checks at the door.

import { resolve } from "node:path";
import { InvalidArgumentError } from "../runtime/errors.ts";
import { FOLDER_BYTES_MAX, nodeArgProblem, packageProblem } from "../runtime/environment/index.ts";
import type { EnvironmentRequest } from "../runtime/owner/index.ts";
import { bytesOf } from "./byte-sizes.ts";

/**
 * Work with an environment runs in worker processes of its own, started for it. A task or actor inherits what it does not give
 * itself: from the task or actor that submits it, else from init. Variables are merged, every other field replaces.
 */
export interface RuntimeEnv {
  /**
   * A folder of this machine that goes along: packed and sent once, unpacked once a node, and the current folder of the worker.
   * Code that is imported from it here is imported from the copy there. The workers of a node share the copy: write elsewhere.
   * What .troupeignore (else .gitignore) names, node_modules and .git stay behind. At most 100 MiB, unless `maxBytes` says
   * otherwise.
   */
  workingDir?: string | { readonly path: string; readonly maxBytes?: number | string | undefined } | undefined;
  /**
   * Packages that npm installs once a node, for shipped code and the workingDir: names and ranges, a list of "name" and
   * "name@range", or the path of a package-lock.json for exactly what it says. Workers have their own troupe.
   */
  packages?: Readonly<Record<string, string>> | readonly string[] | string | undefined;
  /** Environment variables of the worker, from its start. */
  envVars?: Readonly<Record<string, string>> | undefined;
  /** Options of Node for the worker, each one text: "--max-old-space-size=512". */
  nodeArgs?: readonly string[] | undefined;
  /** Runs in each new worker, once, before its first task. What it throws fails the work. */
  setupHook?: (() => unknown) | undefined;
}

/** Linux takes no longer text of one variable or option when it starts a process. */
const TEXT_BYTES_MAX = 128 * 1024 - 1;
const TEXTS_BYTES_MAX = 1024 * 1024;

/** The environment as it is asked for, its fields in one order; throws for what can't be one. */
export function checkRuntimeEnv(where: string, env: RuntimeEnv): EnvironmentRequest {
  if (typeof env !== "object" || env === null || Array.isArray(env)) refuse(where, `must be an object, not ${show(env)}`);
  for (const name of Object.keys(env)) {
    if (!Object.hasOwn(CHECKS, name)) refuse(`${where}.${name}`, `is not known; known are: ${Object.keys(CHECKS).join(", ")}`);
  }
  const request: Record<string, unknown> = {};
  for (const [name, check] of Object.entries(CHECKS)) {
    const value = env[name as keyof RuntimeEnv];
    if (value !== undefined) request[name] = check(`${where}.${name}`, value as never);
  }
  return request;
}

/** Of options that were checked: they have the checked form. */
export function requestOf(env: RuntimeEnv | undefined): EnvironmentRequest | undefined {
  return env as EnvironmentRequest | undefined;
}

const CHECKS = {
  workingDir: checkWorkingDir, packages: checkPackages, envVars: checkEnvVars, nodeArgs: checkNodeArgs, setupHook: checkHook,
} as const;

function checkWorkingDir(
  where: string, given: NonNullable<RuntimeEnv["workingDir"]>,
): NonNullable<EnvironmentRequest["workingDir"]> {
  const { path, maxBytes = FOLDER_BYTES_MAX } = typeof given === "string" ? { path: given } : given;
  if (typeof path !== "string" || path === "") refuse(where, `must be a folder's path or { path, maxBytes }, not ${show(given)}`);
  const bytes = bytesOf(maxBytes);
  if (bytes === undefined) refuse(`${where}.maxBytes`, `must be bytes, or text such as "512MiB", not ${show(maxBytes)}`);
  return { path: resolve(path), maxBytes: bytes };
}

function checkPackages(where: string, given: NonNullable<RuntimeEnv["packages"]>): readonly string[] | string {
  if (typeof given === "string") {
    if (!given.endsWith(".json")) refuse(where, `must be the path of a package-lock.json, not ${show(given)}`);
    return resolve(given);
  }
  if (typeof given !== "object" || given === null) {
    refuse(where, `must be an object of ranges, a list of "name@range", or the path of a package-lock.json, not ${show(given)}`);
  }
  const packages = Array.isArray(given) ? given : Object.entries(given).map(([name, range]) => withRange(where, name, range));
  for (const one of packages) {
    if (typeof one !== "string") refuse(where, `must be a list of "name@range"; it has ${show(one)}`);
    const problem = packageProblem(one);
    if (problem !== undefined) refuse(where, `can't be installed: ${problem}`);
  }
  return [...packages].sort();
}

function withRange(where: string, name: string, range: unknown): string {
  if (typeof range !== "string") refuse(`${where}.${name}`, `must be a text such as "^1.2.0", not ${show(range)}`);
  return `${name}@${range}`;
}

function checkHook(where: string, hook: unknown): () => unknown {
  if (typeof hook !== "function") refuse(where, `must be a function, not ${show(hook)}`);
  return hook as () => unknown;
}

function checkEnvVars(where: string, envVars: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  if (typeof envVars !== "object" || envVars === null || Array.isArray(envVars)) {
    refuse(where, `must be an object of strings, not ${show(envVars)}`);
  }
  const entries = Object.entries(envVars).sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [name, value] of entries) {
    if (typeof value !== "string") refuse(`${where}.${name}`, `must be a string, not ${show(value)}`);
    if (name === "" || /[=\0]/.test(name)) refuse(where, `has a name that no variable can have: ${JSON.stringify(name)}`);
    if (name === "NODE_OPTIONS") refuse(`${where}.${name}`, "is not possible: give the options as runtimeEnv.nodeArgs");
    if (value.includes("\0")) refuse(`${where}.${name}`, "has a zero byte");
  }
  checkSizes(where, entries.map(([name, value]) => `${name}=${value}`));
  return Object.fromEntries(entries);
}

function checkNodeArgs(where: string, nodeArgs: readonly string[]): readonly string[] {
  if (!Array.isArray(nodeArgs)) refuse(where, `must be a list of strings, not ${show(nodeArgs)}`);
  for (const arg of nodeArgs) {
    if (typeof arg !== "string") refuse(where, `must be a list of strings; it has ${show(arg)}`);
    const problem = nodeArgProblem(arg);
    if (problem !== undefined) refuse(where, `can't start a worker: ${problem}`);
  }
  checkSizes(where, nodeArgs);
  return [...nodeArgs];
}

function checkSizes(where: string, texts: readonly string[]): void {
  let sum = 0;
  for (const text of texts) {
    const bytes = Buffer.byteLength(text);
    if (bytes > TEXT_BYTES_MAX) refuse(where, `has a text of ${bytes} bytes; at most ${TEXT_BYTES_MAX} are possible`);
    sum += bytes;
  }
  if (sum > TEXTS_BYTES_MAX) refuse(where, `has ${sum} bytes in all; at most ${TEXTS_BYTES_MAX} are possible: put() the data`);
}

function refuse(where: string, what: string): never {
  throw new InvalidArgumentError(`${where} ${what}`);
}

function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  return Array.isArray(value) ? "a list" : value === null ? "null" : typeof value;
}
