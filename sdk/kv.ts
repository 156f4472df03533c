// kv: the cluster's key-value store. Small, ordered, durable where the cluster's head is (`troupe start`), with compare-and-set.

import { InvalidArgumentError } from "../runtime/errors.ts";
import { currentSession } from "../runtime/owner/index.ts";
import { decodeValue, encodeValue } from "./durable-values.ts";
import { checkOptions, text, whole } from "../runtime/option-checks.ts";

/** One part of a batch. A check holds when the key has just this value; with `undefined`, when there is no such key. */
export type KvChange =
  | { readonly type: "set"; readonly key: string; readonly value: unknown }
  | { readonly type: "delete"; readonly key: string }
  | { readonly type: "check"; readonly key: string; readonly value: unknown };

export interface ScanOptions {
  /** Only keys after this one, in the order of their UTF-8 bytes. */
  readonly after?: string | undefined;
  /** At most so many entries. */
  readonly limit?: number | undefined;
}

/** Entries an answer, of those that fit into it. */
const PAGE = 1000;

const bytesOf = (value: unknown, key: string): Uint8Array => encodeValue(value, `kv[${JSON.stringify(key)}]`);

/** Undefined when there is no such key. */
export async function getKey<T = unknown>(key: string): Promise<T | undefined> {
  const { entries } = await currentSession().ask("readKeys", { key: checked(key), exact: true, limit: 1 }, "entries");
  return entries.length === 0 ? undefined : decodeValue<T>(entries[0].value);
}

export async function setKey(key: string, value: unknown): Promise<void> {
  await commit([{ type: "set", key, value }]);
}

export async function deleteKey(key: string): Promise<void> {
  await commit([{ type: "delete", key }]);
}

/** Sets the key if it has just the expected value; `undefined` expects that there is none. Whether it was set. */
export function compareAndSetKey(key: string, expected: unknown, value: unknown): Promise<boolean> {
  return commit([{ type: "check", key, value: expected }, { type: "set", key, value }]);
}

/** All changes, or none when a check does not hold. Whether they were made. */
export async function changeKeys(changes: readonly KvChange[]): Promise<boolean> {
  if (!Array.isArray(changes)) throw new InvalidArgumentError("kv.batch takes a list of changes");
  return commit(changes);
}

/** Entries whose keys begin with the prefix, in order. What changes meanwhile may be seen before or after. */
export async function* scanKeys<T = unknown>(
  prefix: string, options: ScanOptions = {},
): AsyncGenerator<[key: string, value: T]> {
  const { after = "", limit = Infinity } = checkOptions("kv.scan", options, { after: text, limit: whole(0) });
  if (typeof prefix !== "string") throw new InvalidArgumentError(`kv.scan: the prefix must be a text, not ${typeof prefix}`);
  let [from, left] = [after, limit];
  while (left > 0) {
    const query = { key: prefix, exact: false, after: from, limit: Math.min(PAGE, left) };
    const { entries } = await currentSession().ask("readKeys", query, "entries");
    if (entries.length === 0) return;
    for (const { key, value } of entries) yield [key, decodeValue<T>(value)];
    from = entries[entries.length - 1].key;
    left -= entries.length;
  }
}

/** The folder of the head's machine in which the cluster keeps what outlives it; "" when nothing does. */
export async function storageFolder(): Promise<string> {
  const { entries } = await currentSession().ask("readKeys", { key: "troupe/storage", exact: true, limit: 1 }, "entries");
  return Buffer.from(entries[0]?.value ?? []).toString();
}

/**
 * Keys are texts of up to 1 KiB, values plain data of up to 1 MiB. What was answered is kept: with `troupe start` on the disk of
 * the head's machine, in a private cluster as long as it lives.
 */
export const kv = {
  get: getKey, set: setKey, delete: deleteKey, cas: compareAndSetKey, batch: changeKeys, scan: scanKeys,
} as const;

async function commit(changes: readonly KvChange[]): Promise<boolean> {
  const encoded = changes.map(({ type, key, ...rest }) => {
    const value = "value" in rest ? rest.value : undefined;
    if (type !== "set" && type !== "delete" && type !== "check") {
      throw new InvalidArgumentError(`kv: a change has the type set, delete or check, not ${String(type)}`);
    }
    const exists = type === "check" && value !== undefined;
    const hasBytes = type === "set" || exists;
    return { kind: type, key: checked(key), exists, ...(hasBytes ? { value: bytesOf(value, key) } : {}) };
  });
  return (await currentSession().ask("commitKeys", { changes: encoded }, "committed")).applied;
}

function checked(key: string): string {
  if (typeof key === "string" && key !== "") return key;
  throw new InvalidArgumentError(`kv: a key must be a non-empty text, not ${typeof key === "string" ? '""' : typeof key}`);
}
