// A database of DuckDB: a file that one process at a time has open, or memory that lasts for one query.

import { setTimeout as sleep } from "node:timers/promises";
import type { DuckDBConnection } from "@duckdb/node-api";
import { getRuntimeContext, InvalidArgumentError } from "../../sdk/index.ts";
import { connection } from "../operators/connection.ts";
import { loadDuckDb } from "./packages.ts";

/** Another process has the file for as long as one query. */
const LOCK_MS = 120_000;
const LOCK_EVERY_MS = 50;
const MEMORY_SHARE = 0.5;

export const IN_MEMORY = "duckdb:";

/** Gives a connection to the database for as long as `use` takes. `named`: a URI, or the name of a connection. */
export async function withDatabase<T>(
  named: string, signal: AbortSignal, use: (database: DuckDBConnection) => Promise<T>,
): Promise<T> {
  const { DuckDBInstance } = await loadDuckDb();
  const path = pathOf(named, named.startsWith("duckdb:") ? named : (await connection(named)).uri);
  const instance = await opened(() => DuckDBInstance.fromCache(path, limits()), path, signal);
  try {
    const database = await instance.connect();
    const stop = (): void => database.interrupt();
    signal.addEventListener("abort", stop, { once: true });
    try {
      return await use(database);
    } finally {
      signal.removeEventListener("abort", stop);
      database.closeSync();
    }
  } finally {
    instance.closeSync();
  }
}

function pathOf(named: string, uri: string): string {
  const url = new URL(uri);
  if (url.protocol !== "duckdb:") {
    throw new InvalidArgumentError(
      `sql: connection ${named} is ${url.protocol}//…; it must be duckdb:///path/to/file, or duckdb:`,
    );
  }
  const path = decodeURIComponent(url.pathname);
  return path === "" || path === "/" ? ":memory:" : path;
}

/** Without bounds DuckDB takes the machine: a task has what it asked for. */
function limits(): Record<string, string> {
  const { CPU = 1, memory } = resources();
  const threads = String(Math.max(1, Math.floor(CPU)));
  return typeof memory === "number" ? { threads, memory_limit: `${Math.floor(memory * MEMORY_SHARE)}B` } : { threads };
}

function resources(): Readonly<Record<string, number>> {
  try {
    return getRuntimeContext().resources;
  } catch {
    // Graphs that are tested run without a cluster.
    return {};
  }
}

async function opened<T>(open: () => Promise<T>, path: string, signal: AbortSignal): Promise<T> {
  for (let waited = 0; ; waited += LOCK_EVERY_MS) {
    try {
      return await open();
    } catch (error) {
      if (!/could not set lock/i.test(String(error))) throw error;
      if (waited >= LOCK_MS) throw new Error(`sql: ${path} was locked by another process for ${LOCK_MS} ms`, { cause: error });
    }
    await sleep(LOCK_EVERY_MS, undefined, { signal });
  }
}
