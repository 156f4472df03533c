// Files of stores, and of the workers' machines, as tasks: lists of them, and their rows as Arrow tables.

import { createWriteStream } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Table } from "apache-arrow";
import { InvalidArgumentError } from "../../sdk/index.ts";
import type { In, Node } from "../graph/node.ts";
import type { DagTaskOptions } from "../graph/options.ts";
import { task } from "../graph/task.ts";
import { ctx } from "../run/context.ts";
import { tableOf } from "../sql/arrow-result.ts";
import { IN_MEMORY, withDatabase } from "../sql/duckdb-file.ts";
import { loadArrow, loadDuckDb } from "../sql/packages.ts";
import { folderAt, store as storeOf } from "../stores/define-store.ts";
import type { Store, StoredFile } from "../stores/store.ts";

export interface ListInputs {
  /** A store, its name, or the folder of the worker's machine that is given as `dir`. */
  readonly store?: string | Store | undefined;
  readonly dir?: string | undefined;
  readonly prefix?: string | undefined;
  /** Of keys, with `*` for any part of a name and `**` for any of a key, such as "in/*.csv". */
  readonly pattern?: string | undefined;
}

/** Files in the order of their keys. */
export function listFiles(inputs: In<ListInputs>, options: DagTaskOptions = {}): Node<StoredFile[]> {
  return task(options.id ?? "listFiles", runList, options)(inputs);
}

export async function runList({ store, dir, prefix = "", pattern }: ListInputs): Promise<StoredFile[]> {
  const files: StoredFile[] = [];
  const fits = pattern === undefined ? undefined : patternOf(pattern);
  for await (const file of placeOf("listFiles", store, dir).list(prefix)) if (fits?.test(file.key) !== false) files.push(file);
  return files;
}

export type FileFormat = "csv" | "json" | "ndjson" | "parquet" | "arrow";

export interface LoadInputs {
  /** A store or its name. Without one the file is one of the worker's machine. */
  readonly store?: string | Store | undefined;
  /** The key in the store, or the file's path. */
  readonly key?: string | undefined;
  readonly path?: string | undefined;
  /** Default by the name's end; `.gz` after it is unpacked. */
  readonly format?: FileFormat | undefined;
  /** Only these, in this order. */
  readonly columns?: readonly string[] | undefined;
}

/** The rows of a file; types are those of the file, in texts found by what is there. */
export function loadFile(inputs: In<LoadInputs>, options: DagTaskOptions = {}): Node<Table> {
  return task(options.id ?? "loadFile", runLoad, options)(inputs);
}

export async function runLoad({ store, key, path, format, columns }: LoadInputs): Promise<Table> {
  const name = store === undefined ? path : key;
  if (name === undefined) throw new InvalidArgumentError("loadFile: give { path }, or { store, key }");
  const kind = format ?? formatOf(name);
  if (store === undefined) return tableAt(name, kind, columns);
  const folder = await mkdtemp(join(tmpdir(), "troupe-load-"));
  try {
    const copy = join(folder, `file${name.endsWith(".gz") ? ".gz" : ""}`);
    await pipeline(placeOf("loadFile", store).read(name), createWriteStream(copy), { signal: ctx().signal });
    return await tableAt(copy, kind, columns);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function tableAt(path: string, format: FileFormat, columns: readonly string[] | undefined): Promise<Table> {
  const [duckdb, arrow] = await Promise.all([loadDuckDb(), loadArrow()]);
  if (format === "arrow") {
    const table = arrow.tableFromIPC(await readFile(path));
    return columns === undefined ? table : table.select([...columns]);
  }
  const names = columns === undefined ? "*" : columns.map((name) => `"${name.replaceAll('"', '""')}"`).join(", ");
  const query = `select ${names} from ${READERS[format](`'${path.replaceAll("'", "''")}'`)}`;
  return withDatabase(IN_MEMORY, ctx().signal, async (database) => tableOf(await database.run(query), duckdb, arrow));
}

const READERS: Readonly<Record<Exclude<FileFormat, "arrow">, (file: string) => string>> = {
  csv: (file) => `read_csv(${file}, sample_size = -1)`,
  json: (file) => `read_json(${file}, format = 'auto', sample_size = -1)`,
  ndjson: (file) => `read_json(${file}, format = 'newline_delimited', sample_size = -1)`,
  parquet: (file) => `read_parquet(${file})`,
};

/** Of keys: `*` is any part of a name, `**` any of a key. */
function patternOf(pattern: string): RegExp {
  const parts = pattern.split(/(\*\*\/?|\*|\?)/).map((part) => (
    ({ "**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]" })[part] ?? part.replaceAll(/[.+^${}()|[\]\\]/g, "\\$&")
  ));
  return new RegExp(`^${parts.join("")}$`);
}

const FORMATS: Readonly<Record<string, FileFormat>> = {
  csv: "csv", tsv: "csv", json: "json", ndjson: "ndjson", jsonl: "ndjson", parquet: "parquet", arrow: "arrow", feather: "arrow",
};

function formatOf(name: string): FileFormat {
  const end = /\.([a-z]+)(\.gz)?$/i.exec(name)?.[1].toLowerCase() ?? "";
  if (Object.hasOwn(FORMATS, end)) return FORMATS[end];
  const known = [...new Set(Object.values(FORMATS))].join(", ");
  throw new InvalidArgumentError(`loadFile: what ${name} holds can't be told by its name: give format, one of ${known}`);
}

function placeOf(what: string, store: string | Store | undefined, dir?: string): Store {
  if (dir !== undefined) return folderAt(dir);
  if (store === undefined) throw new InvalidArgumentError(`${what}: give a store or its name`);
  return typeof store === "string" ? storeOf(store) : store;
}
