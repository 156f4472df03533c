// Checks of options at the door: one clear error names the option, the value and what is allowed.

import { inspect } from "node:util";
import { InvalidArgumentError } from "./errors.ts";

/** What is allowed, in words, when the value is not. */
export type Check = (value: unknown) => string | undefined;
export type Checks = Readonly<Record<string, Check>>;

export const bool: Check = (value) => (typeof value === "boolean" ? undefined : "true or false");
export const text: Check = (value) => (typeof value === "string" && value.length > 0 ? undefined : "a non-empty string");
export const amount: Check = (value) =>
  typeof value === "number" && value >= 0 && Number.isFinite(value) ? undefined : "a number of 0 or more";
export const abortSignal: Check = (value) => (value instanceof AbortSignal ? undefined : "an AbortSignal");
export const object: Check = (value) => (
  typeof value === "object" && value !== null && !Array.isArray(value) ? undefined : "an object"
);

export const list: Check = (value) => (Array.isArray(value) ? undefined : "a list");

/** What a caller may wait; without end is allowed. */
const patience: Check = (value) => (typeof value === "number" && value >= 0 ? undefined : "milliseconds of 0 or more");
export const strings: Check = (value) =>
  object(value) === undefined && Object.values(value as object).every((one) => typeof one === "string")
    ? undefined
    : "an object of strings";

/** The longest that a timer can wait. */
const LIMIT_MAX_MS = 2_147_483_647;
export const limit: Check = (value) =>
  typeof value === "number" && value > 0 && value <= LIMIT_MAX_MS ? undefined : `milliseconds above 0, at most ${LIMIT_MAX_MS}`;

export function whole(least: number, most = Number.MAX_SAFE_INTEGER): Check {
  return (value) =>
    Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most
      ? undefined
      : `a whole number of ${least} or more${most < Number.MAX_SAFE_INTEGER ? `, at most ${most}` : ""}`;
}

export function oneOf(...allowed: readonly string[]): Check {
  return (value) => (allowed.includes(value as string) ? undefined : `one of ${allowed.map((one) => `'${one}'`).join(", ")}`);
}

/** Options without those that were given as undefined. @throws InvalidArgumentError for unknown names and wrong values. */
export function checkOptions<T extends object>(
  what: string, options: T, checks: Checks,
): T {
  if (object(options) !== undefined)
    throw new InvalidArgumentError(`${what} options must be an object, not ${describeValue(options)}`);
  const given: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const rule = Object.hasOwn(checks, name) ? checks[name] : undefined;
    if (rule === undefined) throw new InvalidArgumentError(unknownOption(what, name, checks));
    const allowed = rule(value);
    if (allowed !== undefined)
      throw new InvalidArgumentError(`${what} option ${name} must be ${allowed}, not ${describeValue(value)}`);
    given[name] = value;
  }
  return given as T;
}

function unknownOption(what: string, name: string, checks: Checks): string {
  return `${what} option ${name} is not known; known are: ${Object.keys(checks).sort().join(", ")}`;
}

const WAIT_CHECKS: Checks = { timeoutMs: patience, signal: abortSignal };

/** Options of a wait, which may have `more` than those of any wait. */
export function checkWait<O extends object | undefined>(what: string, options: O, more?: Checks): O {
  if (options === undefined) return options;
  return checkOptions(what, options, more === undefined ? WAIT_CHECKS : { ...WAIT_CHECKS, ...more });
}

/** The namespace that was given with a name, if one was. */
export function checkName(what: string, name: unknown, options: { readonly namespace?: string | undefined }): string | undefined {
  if (text(name) !== undefined) throw new InvalidArgumentError(`${what}: the name must be a non-empty string`);
  return checkOptions(what, options, { namespace: text }).namespace;
}

/** A value in a message is cut after so much. */
const TEXT_MAX = 80;

export function describeValue(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "function") return "a function";
  if (typeof value !== "object" || value === null) return String(value);
  const text = inspect(value, { depth: 1, breakLength: Infinity, maxArrayLength: 3, maxStringLength: 20 });
  return text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}…` : text;
}
