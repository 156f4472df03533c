// Graphs in the files of a folder: whatever they export.

import { readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { InvalidArgumentError } from "../../sdk/index.ts";
import type { Dag } from "../dag.ts";
import type { DagDefinition } from "../graph/dag.ts";
import { definedWhile } from "../graph/defined.ts";

export type AnyDag = Dag<object, unknown> & { readonly definition: DagDefinition<object, unknown> };

export interface FolderOfDags {
  readonly dags: readonly AnyDag[];
  /** Graphs that were made and not exported, by their files. */
  readonly warnings: readonly string[];
}

const SOURCE = /\.(?:mjs|js|cjs|mts|cts|ts)$/;
const NO_GRAPHS = /\.d\.[mc]?ts$|\.test\.[^.]+$/;

/**
 * Loads a file, or the files of a folder.
 *
 * @throws InvalidArgumentError for what can't be read or loaded, and for two graphs of one id.
 */
export async function dagsIn(path: string): Promise<FolderOfDags> {
  const found = new Map<string, { readonly dag: AnyDag; readonly file: string }>();
  const warnings: string[] = [];
  for (const file of filesOf(path)) {
    const made = await definedWhile(async () => {
      for (const dag of dagsOf(await load(file))) {
        const before = found.get(dag.id);
        if (before !== undefined && before.dag !== dag) {
          const other = before.file === file ? "" : ` and ${before.file}`;
          throw new InvalidArgumentError(`two graphs have the id ${dag.id}, in ${file}${other}: give one of them another id`);
        }
        found.set(dag.id, { dag, file });
      }
    });
    for (const definition of made) {
      if ([...found.values()].some(({ dag }) => dag.definition === definition)) continue;
      const { id } = definition;
      warnings.push(`dag ${id} in ${file} is made and not exported: nothing runs it; write export const … = dag("${id}", …)`);
    }
  }
  return { dags: [...found.values()].map(({ dag }) => dag), warnings };
}

function dagsOf(exported: Readonly<Record<string, unknown>>): AnyDag[] {
  const values = Object.values(exported).flatMap((value) => (Array.isArray(value) ? (value as unknown[]) : [value]));
  return values.filter((value): value is AnyDag => typeof value === "function" && "definition" in value);
}

async function load(file: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return (await import(pathToFileURL(file).href)) as Record<string, unknown>;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const hint = code === "ERR_UNKNOWN_FILE_EXTENSION" ? "; for TypeScript set NODE_OPTIONS='--import tsx'" : "";
    throw new InvalidArgumentError(`${file} can't be loaded: ${message}${hint}`, {}, error);
  }
}

function filesOf(path: string): string[] {
  const from = resolve(path);
  try {
    if (!statSync(from).isDirectory()) return [from];
    return readdirSync(from).filter((name) => SOURCE.test(name) && !NO_GRAPHS.test(name)).sort().map((name) => join(from, name));
  } catch (error) {
    throw new InvalidArgumentError(`graphs can't be read from ${path}: ${(error as Error).message}`, {}, error);
  }
}
