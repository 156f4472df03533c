// Apache Arrow values as IPC streams, with the user's own copy of apache-arrow: the module that made a value also writes it, and
// the reading side makes values of the classes its user compares with. The package is loaded only when a value is met.

import { createRequire } from "node:module";
import { dirname, isAbsolute, join } from "node:path";
import { pathToFileURL } from "node:url";
import { SerializationError } from "../errors.ts";
import { checkArrowStream } from "./arrow-check.ts";
import { ARROW_BATCH, ARROW_TABLE, ARROW_VECTOR } from "./format.ts";
import { Refusal } from "./refusal.ts";

type Constructor = new (...args: unknown[]) => object;
interface ArrowTable {
  readonly batches: readonly object[];
  getChildAt(index: number): object | null;
}
interface StreamWriter {
  writeAll(value: unknown): unknown;
  toUint8Array(sync: true): Uint8Array;
  /** Not public; when it is there, the chunks need not be joined. */
  readonly _sink?: { readonly _values?: unknown };
}
interface ArrowModule {
  readonly Table: Constructor;
  readonly RecordBatch: Constructor;
  readonly Vector: Constructor;
  readonly RecordBatchStreamWriter: new () => StreamWriter;
  tableFromIPC(bytes: Uint8Array): ArrowTable;
}

/** Which of a package's two copies: require() and import give different classes. */
const REQUIRED = 0;
const IMPORTED = 1;
interface Candidate {
  readonly kind: number;
  readonly load: () => ArrowModule;
  /** Of an imported copy. */
  readonly path?: string;
}

export interface ArrowData {
  readonly form: number;
  readonly kind: number;
  readonly pieces: readonly Uint8Array[];
}

/** By the look, since the class cannot be known before the package is loaded. */
export function looksLikeArrow(value: object): boolean {
  if (!("getChildAt" in value) || typeof value.getChildAt !== "function") return false;
  if ("schema" in value) return "batches" in value || "data" in value;
  return "type" in value && "data" in value && "isValid" in value;
}

/**
 * Written by the copy that made the value and by no other: apache-arrow's `instanceof` holds between its copies, but what one
 * writes of another's values is broken. Throws Refusal when that copy cannot be found from the program.
 */
export function encodeArrow(value: object): ArrowData {
  for (const { kind, load } of candidates()) {
    const module = tryLoad(load);
    if (module === undefined) continue;
    if (isMadeBy(module.Table, value)) return { form: ARROW_TABLE, kind, pieces: write(module, value) };
    if (isMadeBy(module.RecordBatch, value)) return { form: ARROW_BATCH, kind, pieces: write(module, new module.Table([value])) };
    if (isMadeBy(module.Vector, value)) {
      return { form: ARROW_VECTOR, kind, pieces: write(module, new module.Table({ vector: value })) };
    }
  }
  throw new Refusal(
    value,
    "is an Apache Arrow value whose apache-arrow package cannot be found from the program",
    "install apache-arrow beside it (on Node 22 use 22.12 or newer), or send tableToIPC(table)",
  );
}

function isMadeBy(Class: Constructor, value: object): boolean {
  return Object.prototype.isPrototypeOf.call(Class.prototype as object, value);
}

function write(module: ArrowModule, table: object): readonly Uint8Array[] {
  const writer = new module.RecordBatchStreamWriter();
  writer.writeAll(table);
  const chunks = writer._sink?._values;
  if (Array.isArray(chunks) && chunks.length > 0 && chunks.every((chunk) => chunk instanceof Uint8Array)) return chunks;
  return [writer.toUint8Array(true)];
}

/** `bytes` are read in place. Throws whatever apache-arrow makes of bad ones. */
export function decodeArrow(form: number, kind: number, bytes: Uint8Array): object {
  checkArrowStream(bytes);
  const table = moduleToRead(kind).tableFromIPC(bytes);
  if (form === ARROW_TABLE) return table;
  const part = form === ARROW_BATCH ? table.batches[0] : form === ARROW_VECTOR ? table.getChildAt(0) : undefined;
  if (part === undefined || part === null) throw new SerializationError("an Apache Arrow value has no data", { path: "" });
  return part;
}

function moduleToRead(kind: number): ArrowModule {
  const all = candidates();
  for (const candidate of [...all.filter((each) => each.kind === kind), ...all.filter((each) => each.kind !== kind)]) {
    const module = tryLoad(candidate.load);
    if (module !== undefined) return module;
  }
  throw new SerializationError("the value holds Apache Arrow data: install apache-arrow where it is read", { path: "" });
}

const LOADER_OPTION = /--(?:import|loader|experimental-loader|require)\b|(?:^| )-r /;

/**
 * Under a loader such as tsx, require() gives another copy of apache-arrow than the program's import, and only an import, which
 * takes a turn, reaches that. For start-up: does nothing without a loader or without the package.
 */
export async function preloadArrow(): Promise<void> {
  if (!LOADER_OPTION.test([...process.execArgv, process.env.NODE_OPTIONS ?? ""].join(" "))) return;
  const all = [...candidates()];
  for (const [index, { kind, path }] of all.entries()) {
    if (path === undefined) continue;
    const module = (await import(pathToFileURL(path).href)) as ArrowModule;
    all[index] = { kind, path, load: () => module };
  }
  found = all;
}

let found: readonly Candidate[] | undefined;

/** The copies reachable from the program, the working folder and this package, in this order. */
function candidates(): readonly Candidate[] {
  if (found !== undefined && found.length > 0) return found;
  const all: Candidate[] = [];
  const paths = new Set<string>();
  for (const from of [process.argv[1], join(process.cwd(), "index.js"), import.meta.url]) {
    if (from === undefined || !(isAbsolute(from) || from.startsWith("file:"))) continue;
    const requireFrom = createRequire(from);
    const required = resolved(requireFrom);
    if (required === undefined || paths.has(required)) continue;
    paths.add(required);
    const { module } = requireFrom(join(dirname(required), "package.json")) as { module?: string };
    if (module !== undefined) {
      const path = join(dirname(required), module);
      all.push({ kind: IMPORTED, path, load: () => requireFrom(path) as ArrowModule });
    }
    all.push({ kind: REQUIRED, load: () => requireFrom(required) as ArrowModule });
  }
  found = all;
  return all;
}

function resolved(requireFrom: NodeJS.Require): string | undefined {
  try {
    return requireFrom.resolve("apache-arrow");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "MODULE_NOT_FOUND") return undefined;
    throw error;
  }
}


/** Releases of Node that cannot require() an ES module have only the other copy. */
function tryLoad(load: () => ArrowModule): ArrowModule | undefined {
  try {
    return load();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_REQUIRE_ESM") return undefined;
    throw error;
  }
}
