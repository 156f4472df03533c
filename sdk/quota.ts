// The quota of a job: what its tasks, actors and placement groups may hold together at once, in the whole cluster.
//
// A program that was submitted with a quota has it in TROUPE_QUOTA; its own option can only ask for less.

import { InvalidArgumentError } from "../runtime/errors.ts";
import { parseResources, type Resources } from "../scheduler/index.ts";
import { bytesOf } from "./byte-sizes.ts";

/** Amounts by the names of `cluster.resources()`; memory also as text, "2GiB". Of what is not named it may hold all there is. */
export type Quota = Readonly<Record<string, number | string>>;

export const QUOTA_VARIABLE = "TROUPE_QUOTA";

/** The smaller of what was asked for and what the program was submitted with; undefined when neither names one. */
export function quotaOf(option: Quota | undefined): Resources | undefined {
  const own = option === undefined ? undefined : parseQuota("init option quota", option);
  const text = process.env[QUOTA_VARIABLE] ?? "";
  if (text === "") return own;
  const given = parseQuota(QUOTA_VARIABLE, jsonOf(text));
  const names = new Set([...Object.keys(own ?? {}), ...Object.keys(given)]);
  return Object.fromEntries([...names].map((name) => [name, Math.min(own?.[name] ?? Infinity, given[name] ?? Infinity)]));
}

/** @throws InvalidArgumentError. */
export function parseQuota(where: string, quota: unknown): Resources {
  if (typeof quota !== "object" || quota === null || Array.isArray(quota)) {
    throw new InvalidArgumentError(`${where} must be amounts by resource, such as {"CPU": 2}, not ${JSON.stringify(quota)}`);
  }
  const amounts = Object.entries(quota).filter(([, amount]) => amount !== undefined);
  const plain = amounts.map(([name, amount]) => [name, name === "memory" ? (bytesOf(amount) ?? amount) : amount]);
  const parsed = parseResources(Object.fromEntries(plain), where);
  if ("text" in parsed) throw new InvalidArgumentError(parsed.text);
  // None of it is an amount too.
  return Object.fromEntries(amounts.map(([name]) => [name, parsed.resources[name] ?? 0]));
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
