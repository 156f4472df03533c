// Graphs with their code, as they were when runs were made of them: whoever goes on with a run has just these.

import { createHash } from "node:crypto";
import { ConnectionError, decodeProgram, encodeProgram, getRuntimeContext, kv, NotFoundError } from "../../sdk/index.ts";
import type { DagOptions } from "../graph/dag.ts";
import type { Graph } from "../graph/graph.ts";
import { programKey, versionKey } from "./records.ts";

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
const kept = new WeakMap<Graph, { readonly jobId: string; readonly until: number; readonly keeping: Promise<KeptProgram> }>();
/** How long it is believed to be there: much shorter than it stays when nothing names it. */
const KNOWN_MS = 3_600_000;
const UNNAMED_MS = 24 * 3_600_000;
const TRIES = 10;

/** Written after the pieces, and gone with them: who finds it finds all of it. */
interface Version {
  readonly pieces: number;
  /** When somebody wanted it to be kept. */
  readonly at: number;
}

export function programOf({ id, graph, options }: Program): Program {
  const { maxActiveTasks, timeoutMs, deadline, retention, onSuccess, onFailure } = options;
  return { id, graph, options: { maxActiveTasks, timeoutMs, deadline, retention, onSuccess, onFailure } };
}

/** Keeps it, once a graph. A graph whose code can't leave this process has runs all the same. */
export function keepProgram(program: Program): Promise<KeptProgram> {
  const { jobId } = getRuntimeContext();
  const known = kept.get(program.graph);
  if (known?.jobId === jobId && Date.now() < known.until) return known.keeping;
  const keeping = keep(programOf(program));
  kept.set(program.graph, { jobId, until: Date.now() + KNOWN_MS, keeping });
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
  for (let tries = 0; tries < TRIES; tries += 1) {
    const known = await kv.get<Version>(versionKey(hash));
    if (known === undefined) await keepPieces(hash, bytes);
    const version: Version = { pieces: Math.ceil(bytes.length / PIECE_BYTES), at: Date.now() };
    if (await kv.cas(versionKey(hash), known, version)) return { hash };
  }
  throw new ConnectionError(`the code of ${name} can't be kept: others change what is kept of it all the while`);
}

async function keepPieces(hash: string, bytes: Uint8Array): Promise<void> {
  for (let piece = 0; piece * PIECE_BYTES < bytes.length; piece += 1) {
    await kv.set(programKey(hash, piece + 1), bytes.subarray(piece * PIECE_BYTES, (piece + 1) * PIECE_BYTES));
  }
}

/** Forgets those that nothing names any more, and that nobody has wanted to be kept for a day. */
export async function collectPrograms(named: ReadonlySet<string>, now: number): Promise<void> {
  for await (const [key, version] of kv.scan<Version>(versionKey())) {
    const hash = key.slice(versionKey().length);
    if (named.has(hash) || now - version.at < UNNAMED_MS) continue;
    const pieces = Array.from({ length: version.pieces }, (_, piece) => programKey(hash, piece + 1));
    await kv.batch([
      { type: "check", key, value: version },
      ...[key, ...pieces].map((one) => ({ type: "delete" as const, key: one })),
    ]);
  }
}

/** @throws NotFoundError. */
export function loadProgram(hash: string): Promise<Program> {
  return loadCode<Program>(hash);
}

/** @throws NotFoundError. */
export async function loadCode<T>(hash: string): Promise<T> {
  const head = await kv.get<Version>(versionKey(hash));
  if (head === undefined) throw new NotFoundError(`the graph version ${hash} is not kept`);
  const pieces: Uint8Array[] = [];
  for (let i = 1; i <= head.pieces; i += 1) pieces.push((await kv.get<Uint8Array>(programKey(hash, i))) ?? new Uint8Array());
  return decodeProgram<T>(Buffer.concat(pieces));
}
