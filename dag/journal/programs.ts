// Graphs with their code, as they were when runs were made of them: whoever goes on with a run has just these.

import { createHash } from "node:crypto";
import { decodeProgram, encodeProgram, getRuntimeContext, kv, type KvChange, NotFoundError } from "../../sdk/index.ts";
import type { DagOptions } from "../graph/dag.ts";
import type { Graph } from "../graph/graph.ts";
import { programKey } from "./records.ts";

/** What it takes to carry a run of it out. */
export interface Program {
  readonly id: string;
  readonly graph: Graph;
  readonly options: RunOptions;
}
export type RunOptions = Pick<
  DagOptions<object>, "maxActiveTasks" | "timeoutMs" | "deadline" | "retention" | "onSuccess" | "onFailure"
>;

export interface KeptProgram {
  /** Undefined when the code can't be kept. */
  readonly hash: string | undefined;
  readonly reason?: string | undefined;
}

const PIECE_BYTES = 512 * 1024;
/** By the job they were kept in: each cluster has its own. */
const kept = new WeakMap<Graph, { readonly jobId: string; readonly keeping: Promise<KeptProgram> }>();

export function programOf({ id, graph, options }: Program): Program {
  const { maxActiveTasks, timeoutMs, deadline, retention, onSuccess, onFailure } = options;
  return { id, graph, options: { maxActiveTasks, timeoutMs, deadline, retention, onSuccess, onFailure } };
}

/** Keeps it, once a graph. A graph whose code can't leave this process has runs all the same. */
export function keepProgram(program: Program): Promise<KeptProgram> {
  const { jobId } = getRuntimeContext();
  const known = kept.get(program.graph);
  if (known?.jobId === jobId) return known.keeping;
  const keeping = keep(programOf(program));
  kept.set(program.graph, { jobId, keeping });
  keeping.catch(() => kept.delete(program.graph));
  return keeping;
}

function keep(program: Program): Promise<KeptProgram> {
  return keepCode(program, `dag ${program.id}`);
}

/** Any value with code in it; equal ones once. */
export async function keepCode(value: unknown, name: string): Promise<KeptProgram> {
  let bytes: Uint8Array;
  try {
    bytes = encodeProgram(value, name);
  } catch (error) {
    return { hash: undefined, reason: (error as Error).message };
  }
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 32);
  if ((await kv.get(programKey(hash, 0))) !== undefined) return { hash };
  const changes: KvChange[] = [];
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    changes.push({ type: "set", key: programKey(hash, changes.length + 1), value: bytes.subarray(at, at + PIECE_BYTES) });
  }
  for (const change of changes) await kv.batch([change]);
  // Written last: who finds it finds all of it.
  await kv.set(programKey(hash, 0), { pieces: changes.length });
  return { hash };
}

/** @throws NotFoundError. */
export function loadProgram(hash: string): Promise<Program> {
  return loadCode<Program>(hash);
}

/** @throws NotFoundError. */
export async function loadCode<T>(hash: string): Promise<T> {
  const head = await kv.get<{ readonly pieces: number }>(programKey(hash, 0));
  if (head === undefined) throw new NotFoundError(`the graph version ${hash} is not kept`);
  const pieces: Uint8Array[] = [];
  for (let i = 1; i <= head.pieces; i += 1) pieces.push((await kv.get<Uint8Array>(programKey(hash, i))) ?? new Uint8Array());
  return decodeProgram<T>(Buffer.concat(pieces));
}
