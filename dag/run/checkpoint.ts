// Checkpoints: results in a store outside of the cluster, written before their tasks are done. A file is one encoded value,
// named by its hash, so nothing that is late can change what a run has recorded; reading one runs no code.

import { createHash } from "node:crypto";
import { blockOf, decodeValue, type Encoded, InvalidArgumentError, kv, NotFoundError, planValue } from "../../sdk/index.ts";
import type { ResultRecord } from "../journal/records.ts";
import { NamedStore } from "../stores/define-store.ts";
import type { Store } from "../stores/store.ts";

export type Checkpoint = Required<ResultRecord>["checkpoint"];

/** A result that is safe in a store. */
export interface SafeResult {
  readonly size: number;
  readonly hash: string;
  readonly checkpoint: Checkpoint;
}

const DEFAULT = "default";

/** The store that `true`, or a store, means. */
export function storeOf(option: true | Store): Store {
  return option === true ? named(DEFAULT) : option;
}

/** Whoever reads it asks the cluster what the name means. */
function named(name: string): Store {
  return new NamedStore(name, undefined);
}

/** Resolves when the value is durable. @throws InvalidArgumentError for what can't outlive its process. */
export async function writeCheckpoint(store: Store, folder: string, value: unknown): Promise<SafeResult> {
  const encoded = planValue(value, `the checkpoint ${folder}`);
  const hash = createHash("sha256");
  for (const bytes of blockOf(encoded)) hash.update(bytes);
  const digest = hash.digest("hex").slice(0, 32);
  const key = `${folder}/${digest}`;
  await store.put(key, streamOf(encoded));
  return { size: encoded.size, hash: digest, checkpoint: { store: store.name, key } };
}

/** @throws NotFoundError when it is gone, InvalidArgumentError when it is not what was written. */
export async function readCheckpoint({ size, hash, checkpoint }: SafeResult): Promise<unknown> {
  const bytes = await named(checkpoint.store).get(checkpoint.key);
  const found = createHash("sha256").update(bytes).digest("hex").slice(0, 32);
  if (bytes.length !== size || found !== hash) {
    const text = `it has ${bytes.length} bytes with the hash ${found}, not ${size} with ${hash}`;
    throw new InvalidArgumentError(`${text}: it was damaged`);
  }
  return decodeValue(bytes);
}

const cacheKey = (taskId: string, key: string): string => `dag/cache/${taskId}/${key}`;

/** A result that was kept for the same key before; undefined also when it is of no use any more. */
export async function readCache(taskId: string, key: string): Promise<{ result: SafeResult; value: unknown } | undefined> {
  const result = await kv.get<SafeResult>(cacheKey(taskId, key));
  if (result === undefined) return undefined;
  try {
    return { result, value: await readCheckpoint(result) };
  } catch (error) {
    if (error instanceof NotFoundError || error instanceof InvalidArgumentError) return undefined;
    throw error;
  }
}

export async function writeCache(taskId: string, key: string, { size, hash, checkpoint }: SafeResult): Promise<void> {
  await kv.set(cacheKey(taskId, key), { size, hash, checkpoint });
}

async function* streamOf(encoded: Encoded): AsyncGenerator<Uint8Array> {
  yield* blockOf(encoded);
}
